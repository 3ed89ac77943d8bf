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

// Leaves that stand one behind the other in one block, as those of a lower node do; they are cut together.
struct Run {
    Triple block;
    int64_t first, count;
};

// Runs between planes, in voxels.
struct Piece {
    std::vector<Run> runs;
    Triple low, high;
};

class LeafCutter {
public:
    // A piece has at most `most` leaves, and one in `sparse` of the blocks of its box has some.
    LeafCutter(int64_t most, int64_t sparse) : most_(most), sparse_(sparse) {}

    // origins: (count, 3), in voxels.
    std::vector<Piece> pieces(const int32_t* origins, size_t count) const {
        std::vector<Piece> waiting(1), done;
        waiting[0] = {runsOf(origins, count), {-kFar, -kFar, -kFar}, {kFar, kFar, kFar}};
        while (!waiting.empty()) {
            Piece piece = std::move(waiting.back());
            waiting.pop_back();
            const Triple edges = edgesOf(piece.runs);
            const int axis = int(std::max_element(edges.begin(), edges.end()) - edges.begin());
            if (edges[axis] == 1 || fits(piece.runs, edges)) {
                done.push_back(std::move(piece));
                continue;
            }
            const int64_t last = lastBefore(piece.runs, axis);
            Piece upper{{}, piece.low, piece.high}, lower{{}, piece.low, piece.high};
            upper.low[axis] = lower.high[axis] = (last + 1) * kCutBlock;
            for (const Run& run : piece.runs) (run.block[axis] > last ? upper : lower).runs.push_back(run);
            waiting.push_back(std::move(upper));
            waiting.push_back(std::move(lower));
        }
        return done;
    }

private:
    static std::vector<Run> runsOf(const int32_t* origins, size_t count) {
        std::vector<Run> runs;
        for (size_t i = 0; i < count; ++i) {
            Triple block;
            for (int axis = 0; axis < 3; ++axis) block[axis] = below(origins[3 * i + axis]);
            if (runs.empty() || runs.back().block != block) runs.push_back({block, int64_t(i), 0});
            ++runs.back().count;
        }
        return runs;
    }

    static int64_t below(int32_t voxel) { return (int64_t(voxel) - (int64_t(voxel) & (kCutBlock - 1))) / kCutBlock; }

    static Triple edgesOf(const std::vector<Run>& runs) {
        Triple most = runs[0].block, least = most, edges;
        for (const Run& run : runs) {
            for (int axis = 0; axis < 3; ++axis) {
                least[axis] = std::min(least[axis], run.block[axis]);
                most[axis] = std::max(most[axis], run.block[axis]);
            }
        }
        for (int axis = 0; axis < 3; ++axis) edges[axis] = most[axis] - least[axis] + 1;
        return edges;
    }

    static int64_t leavesOf(const std::vector<Run>& runs) {
        int64_t leaves = 0;
        for (const Run& run : runs) leaves += run.count;
        return leaves;
    }

    bool fits(const std::vector<Run>& runs, const Triple& edges) const {
        if (leavesOf(runs) > most_) return false;
        std::vector<Triple> held;
        held.reserve(runs.size());
        for (const Run& run : runs) held.push_back(run.block);
        std::sort(held.begin(), held.end());
        const auto count = std::unique(held.begin(), held.end()) - held.begin();
        return double(edges[0]) * double(edges[1]) * double(edges[2]) <= double(sparse_ * count);
    }

    // The last block before the cut across an axis: the larger side has the fewest leaves.
    static int64_t lastBefore(const std::vector<Run>& runs, int axis) {
        std::vector<std::pair<int64_t, int64_t>> along; // block and leaves
        along.reserve(runs.size());
        for (const Run& run : runs) along.emplace_back(run.block[axis], run.count);
        std::sort(along.begin(), along.end());
        const int64_t leaves = leavesOf(runs);
        int64_t fewest = leaves + 1, before = 0, last = along[0].first;
        for (size_t i = 1; i < along.size(); ++i) {
            before += along[i - 1].second;
            const int64_t larger = std::max(before, leaves - before);
            if (along[i].first != along[i - 1].first && larger < fewest) {
                fewest = larger;
                last = along[i - 1].first;
            }
        }
        return last;
    }

    int64_t most_, sparse_;
};

} // namespace nvdb
