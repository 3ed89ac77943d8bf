// Twin of values/lattice/mean_pyramid.py: what is known of the levels of the mean lattice before any mean of coded cells is.
#pragma once

#include "chunk.h"
#include "means.h"
#include "pool.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace nvdb {

// How many coded voxels cells cover: small numbers on the finer levels.
struct Counts {
    Array<uint8_t> narrow;
    Array<uint16_t> wide;

    // Calls job with the numbers, of whichever type.
    template<typename Job>
    void with(const Job& job) const {
        narrow.data() ? job(narrow.data()) : job(wide.data());
    }
};

// uncoded: rows with cells that are not coded but active or other than 0; means, active: of their cells, 0 where coded.
struct MeanLevel {
    BoxTable table;
    Array<int32_t> rows_of_table; // but for level 0, whose table is the chunk's
    int64_t rows = 0, bricks = 0;
    Counts counts;
    Array<uint8_t> covers; // whether rows cover coded voxels: those before `bricks` may
    Array<int32_t> pairs;
    std::vector<int32_t> uncoded;
    Array<int32_t> means;
    Array<uint8_t> active;

    // Gives some rows of all the means before decoding: those of coded cells are 0.
    void blank(size_t first, size_t last, Array<int32_t>& all) const {
        std::fill(all.data() + first * kSlots, all.data() + last * kSlots, 0);
        eachUncoded(first, last, [&](size_t i, size_t row) {
            std::copy_n(means.data() + i * kSlots, kSlots, all.data() + row * kSlots);
        });
    }
    // Which cells of some rows are active.
    void on(size_t first, size_t last, Array<uint8_t>& all) const {
        counts.with([&](const auto* covered) {
            for (size_t i = first * kSlots; i < last * kSlots; ++i) all[i] = covered[i] > 0;
        });
        eachUncoded(first, last, [&](size_t i, size_t row) {
            for (size_t cell = 0; cell < kSlots; ++cell) all[row * kSlots + cell] |= active[i * kSlots + cell];
        });
    }

private:
    // Calls job(i, row) for some rows with cells that are not coded, which are in order: row is uncoded[i].
    template<typename Job>
    void eachUncoded(size_t first, size_t last, const Job& job) const {
        const auto begin = std::lower_bound(uncoded.begin(), uncoded.end(), int32_t(first));
        for (auto at = begin; at != uncoded.end() && size_t(*at) < last; ++at) job(size_t(at - uncoded.begin()), size_t(*at));
    }
};

inline int splitAxis(int level) { return 2 - level % 3; }

// Calls job(cell, first, second) for the cells of a brick: where, in two bricks one behind the other, their halves lie.
template<typename Job>
inline void eachHalves(int axis, const Job& job) {
    const Halves halves(axis);
    for (int cell = 0; cell < kSlots; ++cell) {
        const int first = kSlots * halves.side(cell) + halves.first(cell);
        job(cell, first, first + halves.stride);
    }
}

// Whether any of a brick's counts is not 0.
template<typename T>
inline uint8_t anySetIn(const T* counts) {
    T all = 0;
    for (int cell = 0; cell < kSlots; ++cell) all |= counts[cell];
    return all != 0;
}

inline MeanLevel voxelLevel(const Chunk& chunk) {
    MeanLevel level;
    level.table = chunk.table;
    level.rows = chunk.rows();
    level.bricks = chunk.bricks;
    level.counts.narrow = Array<uint8_t>(size_t(level.rows) * kSlots);
    level.covers = Array<uint8_t>(size_t(level.rows));
    inParallel(size_t(level.rows), chunk.threads, kLeastBricks, [&](size_t first, size_t last) {
        for (size_t row = first; row < last; ++row) {
            uint8_t* counts = &level.counts.narrow[row * kSlots];
            if (row < size_t(level.bricks)) chunk.active(int64_t(row), counts);
            else std::fill_n(counts, kSlots, uint8_t(0));
            level.covers[row] = anySetIn(counts);
        }
    });
    for (int64_t i = 0; i < chunk.constant_count; ++i)
        if (chunk.constants_active[i]) level.uncoded.push_back(int32_t(chunk.bricks + i));
    level.means = Array<int32_t>(level.uncoded.size() * kSlots);
    level.active = Array<uint8_t>(level.uncoded.size() * kSlots, 1);
    for (size_t i = 0; i < level.uncoded.size(); ++i)
        std::fill_n(&level.means[i * kSlots], kSlots, chunk.constants[level.uncoded[i] - chunk.bricks]);
    return level;
}

// Calls job(above, from) for all bricks of a level, where they are in its table and where the first of the two that each
// joins is in the one below: along the axis first.
template<typename Job>
inline void eachJoined(const Shape& shape, const Shape& below, int axis, const Job& job) {
    const Shape strides{shape[1] * shape[2], shape[2], 1};
    Shape from{below[1] * below[2], below[2], 1};
    from[axis] *= 2;
    const int outer = axis == 0 ? 1 : 0, inner = axis == 2 ? 1 : 2;
    for (int64_t i = 0; i < shape[outer]; ++i)
        for (int64_t k = 0; k < shape[inner]; ++k)
            for (int64_t along = 0; along < shape[axis]; ++along)
                job(i * strides[outer] + k * strides[inner] + along * strides[axis],
                    i * from[outer] + k * from[inner] + along * from[axis]);
}

// Gives `above` its table and pairs: rows that cover coded voxels first, the others once for each pair they join.
inline void joinRows(const MeanLevel& fine, int axis, MeanLevel& above) {
    const Shape& below = fine.table.shape;
    Shape shape = below;
    shape[axis] /= 2;
    above.rows_of_table = Array<int32_t>(size_t(shape[0] * shape[1] * shape[2]));
    above.table = {above.rows_of_table.data(), shape};
    const int64_t beside = axis == 0 ? below[1] * below[2] : axis == 1 ? below[2] : 1;
    std::vector<int32_t> joined, shared; // pairs of rows, one behind the other
    std::unordered_map<uint64_t, int32_t> numbers;
    uint64_t latest = ~uint64_t(0); // the pair of constants before, which most often comes again, and its row
    int32_t latest_row = 0;
    eachJoined(shape, below, axis, [&](int64_t to, int64_t from) {
        const int32_t a = fine.table.rows[from], b = fine.table.rows[from + beside];
        if (fine.covers[size_t(a)] || fine.covers[size_t(b)]) {
            above.rows_of_table[size_t(to)] = int32_t(joined.size() / 2);
            joined.push_back(a), joined.push_back(b);
            return;
        }
        const uint64_t pair = uint64_t(a) << 32 | uint32_t(b);
        if (pair != latest) {
            const auto [at, is_new] = numbers.try_emplace(pair, int32_t(shared.size() / 2));
            if (is_new) shared.push_back(a), shared.push_back(b);
            latest = pair, latest_row = -1 - at->second;
        }
        above.rows_of_table[size_t(to)] = latest_row;
    });
    above.bricks = int64_t(joined.size() / 2);
    above.rows = above.bricks + int64_t(shared.size() / 2);
    for (size_t i = 0; i < above.rows_of_table.size(); ++i) {
        int32_t& row = above.rows_of_table[i];
        if (row < 0) row = int32_t(above.bricks) - 1 - row;
    }
    above.pairs = Array<int32_t>(size_t(above.rows) * 2);
    std::copy(shared.begin(), shared.end(), std::copy(joined.begin(), joined.end(), above.pairs.data()));
}

// The sums of the halves of the cells of a brick that joins two.
template<int Shift, typename FromT, typename ToT>
inline void addHalves(const FromT* a, const FromT* b, ToT* to) {
    constexpr int stride = 1 << Shift;
    for (int high = 0; high < 64 / stride; ++high)
        for (int along = 0; along < kEdge; ++along) {
            const FromT* from = (along < 4 ? a : b) + high * 8 * stride + (2 * along & 7) * stride;
            for (int low = 0; low < stride; ++low) to[(high * 8 + along) * stride + low] = ToT(from[low] + from[low + stride]);
        }
}

template<typename FromT, typename ToT>
inline void addHalvesAlong(int axis, const FromT* a, const FromT* b, ToT* to) {
    axis == 0 ? addHalves<6>(a, b, to) : axis == 1 ? addHalves<3>(a, b, to) : addHalves<0>(a, b, to);
}

// The sums of the halves of the cells of a row of `above`; 0 where it covers no coded voxels.
template<typename FromT, typename ToT>
inline void addRow(const FromT* fine, const MeanLevel& above, int axis, size_t row, ToT* to) {
    if (row >= size_t(above.bricks)) return void(std::fill_n(to, kSlots, ToT(0)));
    const int32_t* pair = above.pairs.data() + 2 * row;
    addHalvesAlong(axis, fine + int64_t(pair[0]) * kSlots, fine + int64_t(pair[1]) * kSlots, to);
}

// Those of all rows.
template<typename T>
inline Array<T> addRows(const Array<T>& fine, const MeanLevel& above, int axis, size_t threads) {
    Array<T> sums(size_t(above.rows) * kSlots);
    inParallel(size_t(above.rows), threads, kLeastBricks, [&](size_t first, size_t last) {
        for (size_t row = first; row < last; ++row) addRow(fine.data(), above, axis, row, &sums[row * kSlots]);
    });
    return sums;
}

// Gives `above` its counts and which rows have any.
template<typename FromT, typename ToT>
inline void addCounts(const FromT* fine, int axis, size_t threads, Array<ToT>& counts, MeanLevel& above) {
    counts = Array<ToT>(size_t(above.rows) * kSlots);
    above.covers = Array<uint8_t>(size_t(above.rows));
    inParallel(size_t(above.rows), threads, kLeastBricks, [&](size_t first, size_t last) {
        for (size_t row = first; row < last; ++row) {
            addRow(fine, above, axis, row, &counts[row * kSlots]);
            above.covers[row] = anySetIn(&counts[row * kSlots]);
        }
    });
}

// Gives `above` its uncoded cells.
inline void joinUncoded(const MeanLevel& fine, int axis, MeanLevel& above) {
    if (fine.uncoded.empty()) return;
    std::vector<int32_t> number(size_t(fine.rows), -1), candidates;
    for (size_t i = 0; i < fine.uncoded.size(); ++i) number[size_t(fine.uncoded[i])] = int32_t(i);
    for (int64_t row = 0; row < above.rows; ++row)
        if (number[size_t(above.pairs[2 * row])] >= 0 || number[size_t(above.pairs[2 * row + 1])] >= 0)
            candidates.push_back(int32_t(row));
    above.means = Array<int32_t>(candidates.size() * kSlots);
    above.active = Array<uint8_t>(candidates.size() * kSlots);
    int32_t means[2 * kSlots];
    uint8_t active[2 * kSlots];
    for (const int32_t row : candidates) {
        for (int side = 0; side < 2; ++side) {
            const int32_t from = number[size_t(above.pairs[2 * size_t(row) + side])];
            std::fill_n(means + side * kSlots, kSlots, 0);
            std::fill_n(active + side * kSlots, kSlots, uint8_t(0));
            if (from < 0) continue;
            std::copy_n(&fine.means[size_t(from) * kSlots], kSlots, means + side * kSlots);
            std::copy_n(&fine.active[size_t(from) * kSlots], kSlots, active + side * kSlots);
        }
        int32_t* mean = above.means.data() + above.uncoded.size() * kSlots;
        uint8_t* on = above.active.data() + above.uncoded.size() * kSlots;
        bool needed = false;
        above.counts.with([&](const auto* counts) {
            eachHalves(axis, [&](int cell, int first, int second) {
                const bool coded = counts[int64_t(row) * kSlots + cell] > 0;
                mean[cell] = coded ? 0 : (means[first] + means[second]) >> 1;
                on[cell] = coded ? 0 : active[first] | active[second];
                needed |= mean[cell] || on[cell];
            });
        });
        if (needed) above.uncoded.push_back(row);
    }
}

// The level above level j.
inline MeanLevel merged(const MeanLevel& fine, int j, size_t threads) {
    const int axis = splitAxis(j);
    MeanLevel above;
    joinRows(fine, axis, above);
    fine.counts.with([&](const auto* counts) {
        if ((2 << j) < 256) addCounts(counts, axis, threads, above.counts.narrow, above);
        else addCounts(counts, axis, threads, above.counts.wide, above);
    });
    joinUncoded(fine, axis, above);
    return above;
}

// All levels over the voxels of a chunk.
inline std::vector<MeanLevel> meanPyramid(const Chunk& chunk) {
    std::vector<MeanLevel> pyramid;
    pyramid.reserve(kMeanLevels);
    pyramid.push_back(voxelLevel(chunk));
    while (pyramid.size() < kMeanLevels) pyramid.push_back(merged(pyramid.back(), int(pyramid.size()) - 1, chunk.threads));
    return pyramid;
}

} // namespace nvdb
