// Twin of values/lattice/levels.py: the levels of the sample lattice, every second point of the one below.
#pragma once

#include "chunk.h"
#include "pool.h"
#include "quantiser.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <vector>

namespace nvdb {

// As levels.LatticeLevel.
struct SampleLevel {
    BoxTable table;
    Array<int32_t> rows_of_table; // but for level 0, whose table is the chunk's
    int64_t rows = 0, bricks = 0;
    Array<int32_t> values;
    Array<uint8_t> active, coded;
    Array<uint8_t> even_coded; // whether bricks have even points that are coded
};

using Eight = std::array<int32_t, 8>;

// Calls job(point, even): the 64 points of one octant of a brick, and the even points of the brick below that they are.
template<typename Job>
inline void eachEven(int octant, const Job& job) {
    const int first = (octant >> 2 & 1) * 256 + (octant >> 1 & 1) * 32 + (octant & 1) * 4;
    for (int x = 0; x < 4; ++x)
        for (int y = 0; y < 4; ++y)
            for (int z = 0; z < 4; ++z) job(first + x * 64 + y * 8 + z, x * 128 + y * 16 + z * 2);
}

// Whether any even point of a brick is coded.
inline uint8_t anyEven(const uint8_t* coded) {
    uint8_t any = 0;
    eachEven(0, [&](int, int even) { any |= coded[even]; });
    return any != 0;
}

// Level 0 as a decoder begins with it: points to be coded are 0.
inline SampleLevel voxelSamples(const Chunk& chunk, const Quantiser& quantiser) {
    SampleLevel level;
    level.table = chunk.table;
    level.rows = chunk.rows();
    level.bricks = chunk.bricks;
    const size_t coded = size_t(level.bricks) * kSlots;
    level.values = Array<int32_t>(size_t(level.rows) * kSlots);
    level.active = Array<uint8_t>(size_t(level.rows) * kSlots);
    level.coded = Array<uint8_t>(coded);
    level.even_coded = Array<uint8_t>(size_t(level.bricks));
    inParallel(size_t(level.bricks), chunk.threads, kLeastBricks, [&](size_t first, size_t end) {
        double last = 0; // most inactive voxels hold the background
        int32_t nearest = quantiser.nearest(last);
        for (size_t brick = first; brick < end; ++brick) {
            int32_t* to = &level.values[brick * kSlots];
            const uint8_t* mask = chunk.masks + chunk.leaves[brick] * (kSlots / 8);
            chunk.active(int64_t(brick), &level.active[brick * kSlots]);
            std::copy_n(&level.active[brick * kSlots], kSlots, &level.coded[brick * kSlots]);
            level.even_coded[brick] = anyEven(&level.coded[brick * kSlots]);
            std::fill_n(to, kSlots, 0);
            for (int row = 0; row < kSlots; row += 8)
                for (unsigned left = 0xff & ~mask[row / 8]; left; left &= left - 1) {
                    const int voxel = row + __builtin_ctz(left);
                    const double value = chunk.values.at(chunk.leaves[brick], voxel);
                    if (value != last) nearest = quantiser.nearest(last = value);
                    to[voxel] = nearest;
                }
        }
    });
    for (int64_t i = 0; i < chunk.constant_count; ++i) {
        std::fill_n(level.values.data() + coded + i * kSlots, kSlots, chunk.constants[i]);
        std::fill_n(level.active.data() + coded + i * kSlots, kSlots, chunk.constants_active[i]);
    }
    return level;
}

// Gives a brick the even points of the eight below it, 0 beyond `below_rows`.
template<typename T>
inline void everySecond(const Array<T>& below, int64_t below_rows, const Eight& eight, T* to) {
    for (int octant = 0; octant < 8; ++octant) {
        const int32_t from = eight[size_t(octant)];
        const T* even = from < below_rows ? &below[size_t(from) * kSlots] : nullptr;
        eachEven(octant, [&](int point, int at) { to[point] = even ? even[at] : T(0); });
    }
}

// Gives `above` its table, and gives the eight rows below each row: those with coded points first, the others once for all
// bricks of the same eight.
inline std::vector<Eight> joinEights(const SampleLevel& fine, SampleLevel& above) {
    const Shape& below = fine.table.shape;
    const Shape shape{below[0] / 2, below[1] / 2, below[2] / 2};
    above.rows_of_table = Array<int32_t>(size_t(shape[0] * shape[1] * shape[2]));
    above.table = {above.rows_of_table.data(), shape};
    std::vector<Eight> joined, shared;
    std::map<Eight, int32_t> numbers;
    int32_t* to = above.rows_of_table.data();
    for (int64_t x = 0; x < shape[0]; ++x)
        for (int64_t y = 0; y < shape[1]; ++y)
            for (int64_t z = 0; z < shape[2]; ++z) {
                Eight eight;
                bool needed = false;
                for (int64_t octant = 0; octant < 8; ++octant) {
                    const int64_t i = 2 * x + (octant >> 2), j = 2 * y + (octant >> 1 & 1), k = 2 * z + (octant & 1);
                    const int32_t row = fine.table.rows[(i * below[1] + j) * below[2] + k];
                    eight[size_t(octant)] = row;
                    needed = needed || (row < fine.bricks && fine.even_coded[size_t(row)]);
                }
                auto& list = needed ? joined : shared;
                auto number = int32_t(list.size());
                const bool again = !needed && !shared.empty() && shared.back() == eight; // as most are
                if (again) number = int32_t(shared.size()) - 1;
                else if (!needed) number = numbers.try_emplace(eight, number).first->second;
                if (number == int32_t(list.size())) list.push_back(eight);
                *to++ = needed ? number : -1 - number;
            }
    above.bricks = int64_t(joined.size());
    for (size_t i = 0; i < above.rows_of_table.size(); ++i) {
        int32_t& row = above.rows_of_table[i];
        if (row < 0) row = int32_t(above.bricks) - 1 - row;
    }
    joined.insert(joined.end(), shared.begin(), shared.end());
    return joined;
}

// The level of every second point along each axis.
inline SampleLevel downsampled(const SampleLevel& fine, size_t threads) {
    SampleLevel above;
    const std::vector<Eight> eights = joinEights(fine, above);
    above.rows = int64_t(eights.size());
    above.values = Array<int32_t>(eights.size() * kSlots);
    above.active = Array<uint8_t>(eights.size() * kSlots);
    above.coded = Array<uint8_t>(size_t(above.bricks) * kSlots);
    above.even_coded = Array<uint8_t>(size_t(above.bricks));
    inParallel(eights.size(), threads, kLeastBricks, [&](size_t first, size_t last) {
        for (size_t row = first; row < last; ++row) {
            everySecond(fine.values, fine.rows, eights[row], &above.values[row * kSlots]);
            everySecond(fine.active, fine.rows, eights[row], &above.active[row * kSlots]);
            if (int64_t(row) >= above.bricks) continue;
            everySecond(fine.coded, fine.bricks, eights[row], &above.coded[row * kSlots]);
            above.even_coded[row] = anyEven(&above.coded[row * kSlots]);
        }
    });
    return above;
}

inline std::vector<SampleLevel> samplePyramid(const Chunk& chunk, const Quantiser& quantiser) {
    std::vector<SampleLevel> pyramid;
    pyramid.reserve(kSampleLevels);
    pyramid.push_back(voxelSamples(chunk, quantiser));
    while (pyramid.size() < kSampleLevels) pyramid.push_back(downsampled(pyramid.back(), chunk.threads));
    return pyramid;
}

// Copies the points of `coarse` to the even points of a brick of `fine`, whose bricks are at `cells`.
inline void upsampleInto(const SampleLevel& coarse, const Array<int32_t>& cells, size_t brick, SampleLevel& fine) {
    const int32_t* at = &cells[3 * brick];
    const Shape& shape = coarse.table.shape;
    const int32_t parent = coarse.table.rows[(at[0] / 2 * shape[1] + at[1] / 2) * shape[2] + at[2] / 2];
    const int octant = (at[0] & 1) * 4 + (at[1] & 1) * 2 + (at[2] & 1);
    const int32_t* from = &coarse.values[size_t(parent) * kSlots];
    int32_t* to = &fine.values[brick * kSlots];
    eachEven(octant, [&](int point, int even) { to[even] = from[point]; });
}

} // namespace nvdb
