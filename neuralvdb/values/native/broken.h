// Twin of values/promise.py (kept): which values of leaves break what is promised of them.
#pragma once

#include "leaf_values.h"

#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace nvdb {

// largest: beyond it, values keep the bound only if they are equal.
struct Bound {
    double max_error, ratio, largest;

    bool kept(double exact, double decoded) const {
        const double error = std::abs(decoded - exact), size = std::abs(exact), share = ratio * size;
        const bool near = error <= (max_error >= share ? max_error : share) && std::isfinite(error) && size <= largest;
        return near || decoded == exact;
    }
};

#ifdef NVDB_AVX2
// Whether some floats of a leaf break the bound, inactive ones among them; infinite ones are taken to.
NVDB_AVX2 inline bool leafMayBreak(const Bound& bound, const float* exact_values, const float* decoded_values) {
    int64_t breaks = 0;
    for (int voxel = 0; voxel < kSlots; ++voxel) {
        const double exact = exact_values[voxel], error = std::abs(double(decoded_values[voxel]) - exact);
        const double size = std::abs(exact), share = bound.ratio * size;
        const double most = bound.max_error >= share ? bound.max_error : share;
        breaks |= int64_t(!(error <= most)) | int64_t(!(error - error == 0)) | int64_t(!(size <= bound.largest));
    }
    return breaks != 0;
}
#endif

// Whether voxels of a leaf have to be looked at one by one.
inline bool mayBreak(const Chunk& chunk, const Bound& bound, const LeafValues& decoded, int64_t leaf) {
#ifdef NVDB_AVX2
    const LeafValues& exact = chunk.values;
    if (hasAvx2() && exact.narrow && decoded.narrow && exact.voxel_stride == 1 && decoded.voxel_stride == 1)
        return leafMayBreak(bound, exact.narrow + leaf * exact.leaf_stride, decoded.narrow + leaf * decoded.leaf_stride);
#endif
    return true;
}

// Calls job(slot) for the active voxels of some bricks whose decoded values break the bound; slot: brick * kSlots + voxel.
template<typename Job>
inline void eachBroken(const Chunk& chunk, const Bound& bound, const LeafValues& decoded, size_t first, size_t last,
    const Job& job)
{
    uint8_t active[kSlots];
    for (size_t brick = first; brick < last; ++brick) {
        const int64_t leaf = chunk.leaves[brick];
        if (!mayBreak(chunk, bound, decoded, leaf)) continue;
        chunk.active(int64_t(brick), active);
        for (int voxel = 0; voxel < kSlots; ++voxel)
            if (active[voxel] && !bound.kept(chunk.values.at(leaf, voxel), decoded.at(leaf, voxel)))
                job(int64_t(brick) * kSlots + voxel);
    }
}

// The slots of all of them.
inline Array<int64_t> brokenSlots(const Chunk& chunk, const Bound& bound, const LeafValues& decoded) {
    const auto bricks = size_t(chunk.bricks);
    const size_t ranges = rangesOf(bricks, chunk.threads, kLeastBricks);
    std::vector<size_t> begin(ranges + 1, 0);
    forRanges(bricks, ranges, chunk.threads, [&](size_t range, size_t first, size_t last) {
        size_t count = 0;
        eachBroken(chunk, bound, decoded, first, last, [&](int64_t) { ++count; });
        begin[range + 1] = count;
    });
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    Array<int64_t> slots(begin[ranges]);
    forRanges(bricks, ranges, chunk.threads, [&](size_t range, size_t first, size_t last) {
        if (begin[range] == begin[range + 1]) return;
        int64_t* to = slots.data() + begin[range];
        eachBroken(chunk, bound, decoded, first, last, [&](int64_t slot) { *to++ = slot; });
    });
    return slots;
}

} // namespace nvdb
