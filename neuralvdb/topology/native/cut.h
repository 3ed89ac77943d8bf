// The fast twin of topology/chunks.py: cut_leaves().
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace nvdb {

constexpr int64_t kCutBlock = 128, kFar = int64_t(1) << 40; // voxels

using Triple = std::array<int64_t, 3>;

// Leaves between planes, in voxels.
struct Piece {
    std::vector<int64_t> leaves;
    Triple low, high;
};

class LeafCutter {
public:
    // origins: (count, 3), in voxels. A piece has at most `most` leaves, and one in `sparse` of the blocks of its box has some.
    LeafCutter(const int32_t* origins, size_t count, int64_t most, int64_t sparse) : most_(most), sparse_(sparse) {
        blocks_.resize(count);
        for (size_t i = 0; i < count; ++i)
            for (int axis = 0; axis < 3; ++axis) blocks_[i][axis] = below(origins[3 * i + axis]);
    }

    std::vector<Piece> pieces() const {
        std::vector<Piece> waiting(1), done;
        waiting[0] = {std::vector<int64_t>(blocks_.size()), {-kFar, -kFar, -kFar}, {kFar, kFar, kFar}};
        for (size_t i = 0; i < blocks_.size(); ++i) waiting[0].leaves[i] = int64_t(i);
        while (!waiting.empty()) {
            Piece piece = std::move(waiting.back());
            waiting.pop_back();
            Triple least, edges;
            measure(piece.leaves, least, edges);
            const int axis = int(std::max_element(edges.begin(), edges.end()) - edges.begin());
            if (edges[axis] == 1 || fits(piece.leaves, edges)) {
                done.push_back(std::move(piece));
                continue;
            }
            const int64_t last = lastBefore(piece.leaves, axis);
            Piece upper{{}, piece.low, piece.high}, lower{{}, piece.low, piece.high};
            upper.low[axis] = lower.high[axis] = (last + 1) * kCutBlock;
            for (const int64_t leaf : piece.leaves) (blocks_[leaf][axis] > last ? upper : lower).leaves.push_back(leaf);
            waiting.push_back(std::move(upper));
            waiting.push_back(std::move(lower));
        }
        return done;
    }

private:
    static int64_t below(int32_t voxel) { return (int64_t(voxel) - (int64_t(voxel) & (kCutBlock - 1))) / kCutBlock; }

    void measure(const std::vector<int64_t>& leaves, Triple& least, Triple& edges) const {
        Triple most = least = blocks_[leaves[0]];
        for (const int64_t leaf : leaves) {
            for (int axis = 0; axis < 3; ++axis) {
                least[axis] = std::min(least[axis], blocks_[leaf][axis]);
                most[axis] = std::max(most[axis], blocks_[leaf][axis]);
            }
        }
        for (int axis = 0; axis < 3; ++axis) edges[axis] = most[axis] - least[axis] + 1;
    }

    bool fits(const std::vector<int64_t>& leaves, const Triple& edges) const {
        if (int64_t(leaves.size()) > most_) return false;
        std::vector<Triple> held;
        held.reserve(leaves.size());
        for (const int64_t leaf : leaves) held.push_back(blocks_[leaf]);
        std::sort(held.begin(), held.end());
        const auto count = std::unique(held.begin(), held.end()) - held.begin();
        return double(edges[0]) * double(edges[1]) * double(edges[2]) <= double(sparse_ * count);
    }

    // The last block before the cut across an axis: the larger side has the fewest leaves.
    int64_t lastBefore(const std::vector<int64_t>& leaves, int axis) const {
        std::vector<int64_t> along;
        along.reserve(leaves.size());
        for (const int64_t leaf : leaves) along.push_back(blocks_[leaf][axis]);
        std::sort(along.begin(), along.end());
        size_t fewest = along.size() + 1;
        int64_t last = along[0];
        for (size_t before = 1; before < along.size(); ++before) {
            const size_t larger = std::max(before, along.size() - before);
            if (along[before] != along[before - 1] && larger < fewest) {
                fewest = larger;
                last = along[before - 1];
            }
        }
        return last;
    }

    int64_t most_, sparse_;
    std::vector<Triple> blocks_;
};

} // namespace nvdb
