// Twin of motion/search_blocks.py: vectors of blocks by which a grid becomes most like another one. Same integers.
#pragma once

#include "../../values/native/means.h"
#include "blocks.h"
#include "move.h"

#include <cstdlib>
#include <vector>

namespace nvdb {

// Finds vectors of blocks, which it writes into a box of zeros. `blocks` has the box.
class BlockSearch {
public:
    // source: of one component. shift: in voxels, which comes before.
    BlockSearch(const Field& source, size_t leaves, int64_t knee, const int32_t* shift, const Blocks& blocks, int8_t* vectors)
        : source_(source), compand_(knee), shift_{shift[0], shift[1], shift[2]}, blocks_(blocks), vectors_(vectors) {
        values_.resize(leaves * kLeafVoxels);
        if (source.narrow) source.wholes(source.narrow, int64_t(values_.size()), values_.data());
        else source.wholes(source.wide, int64_t(values_.size()), values_.data());
    }

    // Takes what is wanted of leaves within the box.
    void add(const int32_t* origins, const int32_t* wanted, const uint8_t* counted, size_t leaves) {
        for (size_t leaf = 0; leaf < leaves; ++leaf) {
            const size_t first = samples_.size();
            for (size_t slot = 0; slot < kLeafVoxels; ++slot)
                if (counted[leaf * kLeafVoxels + slot])
                    samples_.push_back(sampleOf(origins + 3 * leaf, int(slot), wanted[leaf * kLeafVoxels + slot]));
            if (samples_.size() > first) takeNear(origins + 3 * leaf);
        }
        for (Sample& sample : samples_) sample.error = errorOf(sample, sample.sum);
        sortByBlocks();
    }

    void run() {
        constexpr struct { int64_t edge; int step; } kLevels[] = {{8, 16}, {8, 8}, {4, 8}, {4, 4}, {2, 4}, {2, 2}, {1, 2}, {1, 1}};
        for (const auto& level : kLevels) {
            int64_t total = 0;
            for (const Sample& sample : samples_) total += sample.error;
            const int64_t price = kPrice * total / std::max<int64_t>(1, int64_t(samples_.size()));
            for (int sweep = 0; sweep < kSweeps && tryGroups(level.edge, level.step, price); ++sweep) {}
        }
    }

private:
    static constexpr int64_t kPrice = 2, kMostError = 1 << 18;
    static constexpr int kSweeps = 2;
    static constexpr int kNear = 4, kBefore = 1; // leaves along an axis that a leaf may come from, and before the first voxel's
    using Sum = std::array<int32_t, 3>;

    struct Sample {
        size_t near; // of its leaf
        int32_t at[3]; // positions from the first voxel of the leaf that its leaf's first voxel comes from
        int32_t wanted;
        std::array<Beside, 3> beside;
        Sum sum{};
        int64_t error = 0;
    };

    struct Group {
        int64_t first[3], last[3];

        bool has(size_t axis, int64_t block) const { return first[axis] <= block && block < last[axis]; }

        int32_t weight(const Sample& sample) const {
            int32_t all = 1;
            for (size_t axis = 0; axis < 3; ++axis) {
                const Beside& at = sample.beside[axis];
                all *= (has(axis, at.first) ? kHalves - at.weight : 0) + (has(axis, at.second) ? at.weight : 0);
            }
            return all;
        }
    };

    Sample sampleOf(const int32_t* origin, int slot, int32_t wanted) const {
        Sample sample{};
        sample.near = near_.size() / (kNear * kNear * kNear);
        const int32_t steps[3] = {slot >> 6, slot >> 3 & 7, slot & 7};
        for (size_t axis = 0; axis < 3; ++axis) {
            sample.at[axis] = (((int32_t(int64_t(origin[axis]) - shift_[axis]) & 7)) + steps[axis]) * kVoxel;
            sample.beside[axis] = blocks_.beside(axis, int64_t(origin[axis]) + steps[axis]);
        }
        sample.wanted = wanted;
        return sample;
    }

    // Takes which leaves of the source are around those that a leaf comes from.
    void takeNear(const int32_t* origin) {
        for (int i = 0; i < kNear * kNear * kNear; ++i) {
            const int steps[3] = {i / (kNear * kNear), i / kNear % kNear, i % kNear};
            int32_t wanted[3];
            bool possible = true;
            for (size_t axis = 0; axis < 3; ++axis) {
                const int64_t at = ((int64_t(origin[axis]) - shift_[axis]) & ~int64_t(7)) + (steps[axis] - kBefore) * kLeafEdge;
                wanted[axis] = int32_t(at);
                possible = possible && wanted[axis] == at;
            }
            near_.push_back(possible ? source_.table->find(wanted) : -1);
        }
    }

    static int64_t leafAt(const int64_t* near, int x, int y, int z) {
        return near[(((x >> 3) + kBefore) * kNear + (y >> 3) + kBefore) * kNear + (z >> 3) + kBefore];
    }

    static size_t slotOf(int64_t leaf, int x, int y, int z) {
        return size_t(leaf) * kLeafVoxels + size_t((x & 7) << 6 | (y & 7) << 3 | (z & 7));
    }

    int32_t valueAt(const int64_t* near, int x, int y, int z) const {
        const int64_t leaf = leafAt(near, x, y, z);
        return leaf < 0 ? source_.background[0] : values_[slotOf(leaf, x, y, z)];
    }

    int64_t errorOf(const Sample& sample, const Sum& sum) const {
        int32_t voxel[3];
        Part part;
        bool crosses = false;
        for (size_t axis = 0; axis < 3; ++axis) {
            const int32_t at = sample.at[axis] - roundedSum(sum[axis]);
            voxel[axis] = at >> 8;
            part[axis] = (at & (kVoxel - 1)) * (1.0 / kVoxel);
            crosses = crosses || (voxel[axis] & 7) == 7;
        }
        const int64_t* near = near_.data() + sample.near * (kNear * kNear * kNear);
        int64_t total;
        if (crosses) { // into another leaf
            int32_t corners[8];
            for (int i = 0; i < 8; ++i) corners[i] = valueAt(near, voxel[0] + (i >> 2), voxel[1] + (i >> 1 & 1), voxel[2] + (i & 1));
            total = weighted(Linear(), corners, 2, 4, part);
        } else {
            const int64_t leaf = leafAt(near, voxel[0], voxel[1], voxel[2]);
            total = leaf < 0 ? int64_t(source_.background[0]) << 24
                             : weighted(Linear(), &values_[slotOf(leaf, voxel[0], voxel[1], voxel[2])], kLeafEdge, kLeafEdge * kLeafEdge, part);
        }
        const int64_t error = std::clamp(sample.wanted - compand_.in((total + (int64_t(1) << 23)) >> 24), -kMostError, kMostError);
        return error * error;
    }

    // Puts samples of a block together; those of block i begin at begins_[i].
    void sortByBlocks() {
        const auto block_of = [&](const Sample& sample) {
            int64_t block[3];
            for (size_t axis = 0; axis < 3; ++axis) { // the middle is behind a voxel of the first half
                const Beside& at = sample.beside[axis];
                block[axis] = at.weight < kHalves / 2 ? at.first : at.second;
            }
            return size_t(blocks_.indexOf(block[0], block[1], block[2]));
        };
        begins_.assign(size_t(blocks_.size[0] * blocks_.size[1] * blocks_.size[2]) + 1, 0);
        for (const Sample& sample : samples_) ++begins_[block_of(sample) + 1];
        for (size_t i = 1; i < begins_.size(); ++i) begins_[i] += begins_[i - 1];
        std::vector<size_t> at(begins_.begin(), begins_.end() - 1);
        std::vector<Sample> sorted(samples_.size());
        for (const Sample& sample : samples_) sorted[at[block_of(sample)]++] = sample;
        samples_.swap(sorted);
    }

    // Whether any group moves.
    bool tryGroups(int64_t edge, int step, int64_t price) {
        bool moved = false;
        for (int64_t x = 0; x < blocks_.size[0]; x += edge)
            for (int64_t y = 0; y < blocks_.size[1]; y += edge)
                for (int64_t z = 0; z < blocks_.size[2]; z += edge) {
                    Group group{{x, y, z}, {}};
                    for (size_t axis = 0; axis < 3; ++axis) group.last[axis] = std::min(group.first[axis] + edge, blocks_.size[axis]);
                    if (tryGroup(group, step, price)) moved = true;
                }
        return moved;
    }

    bool tryGroup(const Group& group, int step, int64_t price) {
        touched_.clear();
        int64_t before = 0;
        eachBlock(group, 1, [&](int64_t block) {
            for (size_t i = begins_[size_t(block)]; i < begins_[size_t(block) + 1]; ++i)
                if (const int32_t weight = group.weight(samples_[i])) {
                    touched_.push_back({i, weight, 0});
                    before += samples_[i].error;
                }
        });
        bool moved = false;
        for (size_t axis = 0; axis < 3; ++axis)
            for (const int way : {step, -step}) {
                if (isTooFar(group, axis, way)) continue;
                const int64_t most = before - price * unevenness(group, axis, way);
                int64_t after = 0;
                for (size_t i = 0; i < touched_.size() && after < most; ++i) // errors only add to it
                    after += touched_[i].error = errorOf(samples_[touched_[i].sample], moveSum(touched_[i], axis, way));
                if (after >= most) continue;
                for (const Touched& touched : touched_) {
                    samples_[touched.sample].sum = moveSum(touched, axis, way);
                    samples_[touched.sample].error = touched.error;
                }
                eachBlock(group, 0, [&](int64_t block) { vectors_[3 * block + int64_t(axis)] = int8_t(vectors_[3 * block + int64_t(axis)] + way); });
                before = after;
                moved = true;
                break;
            }
        return moved;
    }

    // Calls job(block) for those of a group and so many around it.
    template<typename Job>
    void eachBlock(const Group& group, int64_t around, const Job& job) const {
        int64_t from[3], to[3];
        for (size_t axis = 0; axis < 3; ++axis) {
            from[axis] = std::max<int64_t>(0, group.first[axis] - around);
            to[axis] = std::min(blocks_.size[axis], group.last[axis] + around);
        }
        for (int64_t x = from[0]; x < to[0]; ++x)
            for (int64_t y = from[1]; y < to[1]; ++y)
                for (int64_t z = from[2]; z < to[2]; ++z) job(blocks_.indexOf(x, y, z));
    }

    bool isTooFar(const Group& group, size_t axis, int way) const {
        bool far = false;
        eachBlock(group, 0, [&](int64_t block) { far = far || std::abs(vectors_[3 * block + int64_t(axis)] + way) > kMostVector; });
        return far;
    }

    // By how much the vectors on both sides of a group's faces differ more once it moves.
    int64_t unevenness(const Group& group, size_t axis, int way) const {
        int64_t more = 0;
        for (size_t across = 0; across < 3; ++across)
            for (const int outer : {-1, 1}) {
                Group face = group;
                const int64_t inner = outer < 0 ? group.first[across] : group.last[across] - 1;
                if (inner + outer < 0 || inner + outer >= blocks_.size[across]) continue;
                face.first[across] = inner;
                face.last[across] = inner + 1;
                int64_t stride = outer;
                for (size_t behind = across + 1; behind < 3; ++behind) stride *= blocks_.size[behind];
                eachBlock(face, 0, [&](int64_t block) {
                    const int apart = vectors_[3 * block + int64_t(axis)] - vectors_[3 * (block + stride) + int64_t(axis)];
                    more += std::abs(apart + way) - std::abs(apart);
                });
            }
        return more;
    }

    struct Touched {
        size_t sample;
        int32_t weight;
        int64_t error; // once it moves
    };

    Sum moveSum(const Touched& touched, size_t axis, int way) const {
        Sum sum = samples_[touched.sample].sum;
        sum[axis] += touched.weight * way;
        return sum;
    }

    const Field source_;
    const Compand compand_; // of what is wanted
    const int32_t shift_[3];
    const Blocks blocks_;
    int8_t* vectors_;
    std::vector<int32_t> values_; // of the source
    std::vector<int64_t> near_; // leaves of the source around those that leaves come from
    std::vector<Sample> samples_;
    std::vector<size_t> begins_;
    std::vector<Touched> touched_;
};

} // namespace nvdb
