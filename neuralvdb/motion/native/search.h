// Twin of motion/search_blocks.py: vectors of blocks by which a grid becomes most like another one. Same integers.
#pragma once

#include "blocks.h"
#include "move.h"

#include <cstdlib>
#include <map>
#include <vector>

namespace nvdb {

// Finds vectors of blocks, which it writes into a box of zeros. `blocks` has the box.
class BlockSearch {
public:
    // source: of one component, and so many leaves. shift: in voxels, which comes before.
    BlockSearch(const Field& source, size_t leaves, int64_t knee, const int32_t* shift, const Blocks& blocks, int8_t* vectors)
        : source_(source), knee_(int32_t(std::min<int64_t>(knee ? knee : kMostKnee, kMostKnee))), inverse_(1 / float(knee_)),
          shift_{shift[0], shift[1], shift[2]}, blocks_(blocks), vectors_(vectors) {
        padded_.assign(leaves, -1);
        values_.assign(kPadded, source.background[0]);
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
        sortByBlocks();
        touched_.clear();
        for (size_t i = 0; i < samples_.size(); ++i) touched_.push_back({i, 0, 0});
        for (size_t first = 0; first < touched_.size(); first += kBatch) takeErrors(first, 0, 0);
        for (const Touched& touched : touched_) samples_[touched.sample].error = touched.error;
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
    static constexpr int64_t kPrice = 2;
    static constexpr int32_t kMostError = 1 << 18, kMostWanted = int32_t(kMost) + kMostError; // from where on errors are the same
    static constexpr int32_t kMostKnee = 1 << 28; // from where on there is no companding
    static constexpr size_t kBatch = 64;
    static constexpr int kRow = kLeafEdge + 1, kPlane = kRow * kRow; // of a padded leaf's values
    static constexpr size_t kPadded = size_t(kRow * kPlane);
    static constexpr int kSweeps = 2;
    static constexpr int kNear = 4, kBefore = 1; // leaves along an axis that a leaf may come from, and before the first voxel's
    using Sum = std::array<int32_t, 3>;

    struct Sample {
        int32_t at[3]; // positions from the first voxel of the leaf that its leaf's first voxel comes from
        int32_t wanted;
        Sum sum;
        uint32_t near; // of its leaf
        int64_t error;
        std::array<Beside, 3> beside;
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
        sample.near = uint32_t(near_.size());
        const int32_t steps[3] = {slot >> 6, slot >> 3 & 7, slot & 7};
        for (size_t axis = 0; axis < 3; ++axis) {
            sample.at[axis] = (((int32_t(int64_t(origin[axis]) - shift_[axis]) & 7)) + steps[axis]) * kVoxel;
            sample.beside[axis] = blocks_.beside(axis, int64_t(origin[axis]) + steps[axis]);
        }
        sample.wanted = std::clamp(wanted, -kMostWanted, kMostWanted);
        return sample;
    }

    // Takes where the leaves of the source are that lie around those that a leaf comes from.
    void takeNear(const int32_t* origin) {
        for (int i = 0; i < kNear * kNear * kNear; ++i) {
            const int steps[3] = {i / (kNear * kNear), i / kNear % kNear, i % kNear};
            std::array<int64_t, 3> at;
            for (size_t axis = 0; axis < 3; ++axis)
                at[axis] = ((int64_t(origin[axis]) - shift_[axis]) & ~int64_t(7)) + (steps[axis] - kBefore) * kLeafEdge;
            near_.push_back(padded(at));
        }
    }

    // The number of a leaf of the source, -1 where there is none.
    int64_t leafAt(const std::array<int64_t, 3>& origin) const {
        const int32_t narrow[3] = {int32_t(origin[0]), int32_t(origin[1]), int32_t(origin[2])};
        for (size_t axis = 0; axis < 3; ++axis)
            if (narrow[axis] != origin[axis]) return -1;
        return source_.table->find(narrow);
    }

    // The number of a padded leaf: with one voxel more along each axis, of the leaves behind it; 0 where all are background.
    int32_t padded(const std::array<int64_t, 3>& origin) {
        int64_t leaves[8];
        bool any = false;
        for (size_t i = 0; i < 8; ++i) {
            leaves[i] = leafAt({origin[0] + kLeafEdge * int64_t(i >> 2), origin[1] + kLeafEdge * int64_t(i >> 1 & 1), origin[2] + kLeafEdge * int64_t(i & 1)});
            if (!i && leaves[0] >= 0 && padded_[size_t(leaves[0])] >= 0) return padded_[size_t(leaves[0])];
            any = any || leaves[i] >= 0;
        }
        if (!any) return 0;
        int32_t& at = leaves[0] >= 0 ? padded_[size_t(leaves[0])] : edges_.try_emplace(origin, -1).first->second;
        if (at >= 0) return at;
        at = int32_t(values_.size() / kPadded);
        values_.resize(values_.size() + kPadded);
        int32_t* to = &values_[values_.size() - kPadded];
        for (int x = 0; x <= kLeafEdge; ++x)
            for (int y = 0; y <= kLeafEdge; ++y, to += kRow) {
                const int64_t* const along = leaves + (x >> 3 << 2 | y >> 3 << 1);
                take(along[0], x, y, kLeafEdge, to);
                take(along[1], x, y, 1, to + kLeafEdge);
            }
        return at;
    }

    // The first values of a leaf's row along z.
    void take(int64_t leaf, int x, int y, int64_t count, int32_t* to) const {
        const int64_t from = leaf * kLeafVoxels + ((x & 7) << 6 | (y & 7) << 3);
        if (leaf < 0) std::fill_n(to, count, source_.background[0]);
        else if (source_.narrow) source_.wholes(source_.narrow + from, count, to);
        else source_.wholes(source_.wide + from, count, to);
    }

    // What is to be interpolated of samples, and becomes their errors.
    struct Batch {
        int32_t pairs[4][kBatch][2]; // of corners along z: those of x and y, y varying fastest
        double parts[3][kBatch];
        int32_t wanted[kBatch];
    };

    // Takes what is around the position that a sample's comes from.
    NVDB_LANES void takeCorners(const Sample& sample, const Sum& sum, size_t i, Batch& batch) const {
        int32_t voxel[3];
        for (size_t axis = 0; axis < 3; ++axis) {
            const int32_t at = sample.at[axis] - roundedSum(sum[axis]);
            voxel[axis] = at >> 8;
            batch.parts[axis][i] = (at & (kVoxel - 1)) * (1.0 / kVoxel);
        }
        batch.wanted[i] = sample.wanted;
        const int near = (((voxel[0] >> 3) + kBefore) * kNear + (voxel[1] >> 3) + kBefore) * kNear + (voxel[2] >> 3) + kBefore;
        const int32_t* const from = &values_[size_t(near_[sample.near + uint32_t(near)]) * kPadded] + (voxel[0] & 7) * kPlane + (voxel[1] & 7) * kRow + (voxel[2] & 7);
        for (int pair = 0; pair < 4; ++pair)
            std::memcpy(batch.pairs[pair][i], from + (pair >> 1) * kPlane + (pair & 1) * kRow, sizeof(*batch.pairs[0]));
    }

    // The sum of touched errors from `first` on, a batch of them, each being as it is once its sample moves.
    NVDB_LANES int64_t errorsOf(size_t first, size_t axis, int way) {
        Batch batch;
        const size_t count = std::min(kBatch, touched_.size() - first), whole = (count + 3) & ~size_t(3);
        for (size_t i = 0; i < whole; ++i) { // the last one again where there are no others
            const Touched& touched = touched_[first + std::min(i, count - 1)];
            takeCorners(samples_[touched.sample], moveSum(touched, axis, way), i, batch);
        }
        int32_t errors[kBatch];
        for (size_t i = 0; i < whole; i += 4) {
            FourNarrow wanted;
            std::memcpy(&wanted, batch.wanted + i, sizeof(wanted));
            FourNarrow missed = wanted - companded(interpolated(batch, i));
            missed = missed < -kMostError ? FourNarrow{} - kMostError : missed;
            missed = missed > kMostError ? FourNarrow{} + kMostError : missed;
            std::memcpy(errors + i, &missed, sizeof(missed));
        }
        int64_t total = 0;
        for (size_t i = 0; i < count; ++i) total += touched_[first + i].error = int64_t(errors[i]) * errors[i];
        return total;
    }

    // What comes to four samples. All numbers are whole multiples of 2**-24 below 2**29, which doubles hold exactly.
    static NVDB_LANES FourNarrow interpolated(const Batch& batch, size_t i) {
        FourReals along[3], rows[4];
        std::memcpy(along, batch.parts[0] + i, sizeof(*along));
        std::memcpy(along + 1, batch.parts[1] + i, sizeof(*along));
        std::memcpy(along + 2, batch.parts[2] + i, sizeof(*along));
        for (int pair = 0; pair < 4; ++pair) {
            FourNarrow two[2];
            std::memcpy(two, batch.pairs[pair][i], sizeof(two));
            const FourReals low = NVDB_CONVERT(NVDB_SHUFFLE(FourNarrow, two[0], two[1], 0, 2, 4, 6), FourReals);
            const FourReals high = NVDB_CONVERT(NVDB_SHUFFLE(FourNarrow, two[0], two[1], 1, 3, 5, 7), FourReals);
            rows[pair] = low + along[2] * (high - low);
        }
        const FourReals first = rows[0] + along[1] * (rows[1] - rows[0]), second = rows[2] + along[1] * (rows[3] - rows[2]);
        constexpr int32_t kAbove = 1 << 28; // so that all are above 0
        return NVDB_CONVERT(first + along[0] * (second - first) + (0.5 + kAbove), FourNarrow) - kAbove;
    }

    // As Compand has it, of what is below 2**28.
    NVDB_LANES FourNarrow companded(FourNarrow x) const {
        const FourNarrow size = x < 0 ? -x : x, least = FourNarrow{} + 2 * knee_, above = size > least ? size : least;
        using FourFloats = Vector<float, 4>;
        const FourFloats knees = NVDB_CONVERT(above, FourFloats) * inverse_;
        FourNarrow segment;
        std::memcpy(&segment, &knees, sizeof(segment));
        segment = (segment >> 23) - 127; // one off at most
        const FourNarrow knee = FourNarrow{} + knee_;
        segment -= above >= knee << (segment + 1); // -1 is true
        segment += above < knee << segment;
        const FourNarrow c = knee * segment + (above >> segment);
        return size < least ? x : x < 0 ? -c : c;
    }

    int64_t takeErrors(size_t first, size_t axis, int way) {
#ifdef NVDB_AVX2
        if (hasAvx2()) return takeErrorsFast(first, axis, way);
#endif
        return errorsOf(first, axis, way);
    }
#ifdef NVDB_AVX2
    NVDB_AVX2 int64_t takeErrorsFast(size_t first, size_t axis, int way) { return errorsOf(first, axis, way); }
#endif

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
                for (size_t i = 0; i < touched_.size() && after < most; i += kBatch) after += takeErrors(i, axis, way); // none is below 0
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
    const int32_t knee_; // of what is wanted
    const float inverse_;
    const int32_t shift_[3];
    const Blocks blocks_;
    int8_t* vectors_;
    std::vector<int32_t> values_; // of padded leaves of the source; first of all, background
    std::vector<int32_t> padded_; // the numbers of leaves among these, -1 where they are not there yet
    std::map<std::array<int64_t, 3>, int32_t> edges_; // the same of leaves that only have others behind them
    std::vector<int32_t> near_; // the same of those around the leaves that leaves come from
    std::vector<Sample> samples_;
    std::vector<size_t> begins_;
    std::vector<Touched> touched_;
};

} // namespace nvdb
