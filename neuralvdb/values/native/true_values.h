// Twin of values/lattice/mean_pyramid.py (TrueMeans) and values/lattice/sample.py (TruePoints): what is to be coded.
#pragma once

#include "mean_pyramid.h"
#include "passes.h"
#include "quantiser.h"
#include "symbols.h"
#include "sample_pyramid.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace nvdb {

// Cells whose true means are wanted: sums and numbers of their voxels, or the one value that a voxel has.
struct TrueCells {
    double values[kBatch];
    float sums[kBatch], counts[kBatch];
};

NVDB_LANES void compandMeans(const TrueCells& cells, bool voxels, const Quantiser& quantiser, size_t count, float* to) {
    const float knee = float(quantiser.compand.knee);
    for (size_t i = 0; voxels && i < count; ++i) to[i] = float(toFinite(cells.values[i] / quantiser.unit));
    for (size_t i = 0; !voxels && i < count; ++i) to[i] = cells.sums[i] / cells.counts[i];
    for (size_t i = 0; knee && i < count; ++i) to[i] = compandedWithin(to[i], knee);
}

#ifdef NVDB_AVX2
NVDB_AVX2 inline void compandMeansFast(const TrueCells& cells, bool voxels, const Quantiser& quantiser, size_t count, float* to) {
    compandMeans(cells, voxels, quantiser, count, to);
}
#endif

// The true means of the coded voxels of a component on every level, in lattice units. Those of voxels are taken from the
// leaves when asked for, those of larger cells are sums over their counts; forget() drops levels that are done.
class TrueMeans {
public:
    TrueMeans(const Chunk& chunk, const Quantiser& quantiser, const std::vector<MeanLevel>& pyramid)
        : chunk_(chunk), quantiser_(quantiser)
    {
        sums_.emplace_back();
        sums_.push_back(firstSums(pyramid[0], pyramid[1]));
        for (size_t j = 1; j + 1 < pyramid.size(); ++j)
            sums_.push_back(addRows(sums_[j], pyramid[j + 1], splitAxis(int(j)), chunk.threads));
    }

    void forget(int level) { sums_.resize(size_t(level) + 1); }

    // Companded mean of a cell that covers so many coded voxels.
    float companded(int level, int64_t cell, int64_t count) const {
        TrueCells one;
        take(level, cell, count, one, 0);
        float mean;
        compand(level, one, 1, &mean);
        return mean;
    }

    // Takes a cell that covers so many coded voxels as number `at` of a batch.
    void take(int level, int64_t cell, int64_t count, TrueCells& to, size_t at) const {
        if (!level) to.values[at] = chunk_.values.at(chunk_.leaves[cell / kSlots], int(cell % kSlots));
        else to.sums[at] = sums_[size_t(level)][size_t(cell)], to.counts[at] = float(count);
    }

    // The companded means of a batch.
    void compand(int level, const TrueCells& cells, size_t count, float* to) const {
#ifdef NVDB_AVX2
        if (hasAvx2()) return compandMeansFast(cells, !level, quantiser_, count, to);
#endif
        compandMeans(cells, !level, quantiser_, count, to);
    }

private:
    float exact(int64_t brick, int voxel) const {
        const double value = chunk_.values.at(chunk_.leaves[brick], voxel) / quantiser_.unit;
        return float(toFinite(value));
    }
    // Two rows of voxels, 0 where not coded.
    void load(const MeanLevel& voxels, int32_t row, float* to) const {
        for (int voxel = 0; voxel < kSlots; ++voxel) {
            const bool coded = row < voxels.bricks && voxels.counts.narrow[size_t(row) * kSlots + size_t(voxel)];
            to[voxel] = coded ? exact(row, voxel) : 0;
        }
    }
    Array<float> firstSums(const MeanLevel& voxels, const MeanLevel& above) const {
        Array<float> sums(size_t(above.rows) * kSlots);
        inParallel(size_t(above.rows), chunk_.threads, kLeastBricks, [&](size_t first, size_t last) {
            float halves[2 * kSlots];
            for (size_t row = first; row < last; ++row) {
                if (row >= size_t(above.bricks)) {
                    std::fill_n(&sums[row * kSlots], kSlots, 0.0f);
                    continue;
                }
                for (size_t side = 0; side < 2; ++side) load(voxels, above.pairs[2 * row + side], halves + side * kSlots);
                addHalvesAlong(splitAxis(0), halves, halves + kSlots, &sums[row * kSlots]);
            }
        });
        return sums;
    }

    const Chunk& chunk_;
    const Quantiser& quantiser_;
    std::vector<Array<float>> sums_;
};

// The value of a leaf that a coded point of a level of the sample lattice has; its brick is at `cell`.
inline double leafValue(const Chunk& chunk, int level, const int32_t* cell, int32_t brick, int offset) {
    if (!level) return chunk.values.at(chunk.leaves[brick], offset);
    const Shape& shape = chunk.table.shape;
    const int64_t x = (cell[0] * int64_t(kEdge) + (offset >> 6)) << level,
        y = (cell[1] * int64_t(kEdge) + (offset >> 3 & 7)) << level, z = (cell[2] * int64_t(kEdge) + (offset & 7)) << level;
    const int32_t leaf = chunk.table.rows[((x >> 3) * shape[1] + (y >> 3)) * shape[2] + (z >> 3)];
    return chunk.values.at(chunk.leaves[leaf], int((x & 7) * 64 + (y & 7) * 8 + (z & 7)));
}

// Values as lattice values that are not rounded, where nothing is companded.
NVDB_LANES void divideAll(double* values, size_t count, double unit) {
    constexpr double limit = kLimit;
    for (size_t i = 0; i < count; ++i) {
        const double x = values[i] / unit, known = x == x ? x : 0.0, low = known < -limit ? -limit : known;
        values[i] = low > limit ? limit : low;
    }
}

#ifdef NVDB_AVX2
NVDB_AVX2 inline void divideFast(double* values, size_t count, double unit) { divideAll(values, count, unit); }
#endif

// The exact values of `count` coded points of a level of the sample lattice from point `first` on; its bricks are at `cells`.
inline void truePoints(const Chunk& chunk, const Quantiser& quantiser, int level, const Array<int32_t>& cells,
    const Points& points, size_t first, size_t count, double* to)
{
    for (size_t i = 0; i < count; ++i) {
        const int32_t brick = points.bricks[first + i];
        to[i] = leafValue(chunk, level, &cells[3 * size_t(brick)], brick, points.offsets[first + i]);
    }
    if (quantiser.compand.knee) {
        for (size_t i = 0; i < count; ++i) to[i] = toFinite(quantiser.exact(to[i]));
        return;
    }
#ifdef NVDB_AVX2
    if (hasAvx2()) return divideFast(to, count, quantiser.unit);
#endif
    divideAll(to, count, quantiser.unit);
}

} // namespace nvdb
