// Twin of values/leaf_values.py and values/promise.py (decoded): from lattice values to those of leaves.
#pragma once

#include "chunk.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace nvdb {

// mean: whether lattice values are means, which are not companded; half: whether values are saved as half; low, high: what
// no value leaves.
struct Dequantiser {
    double unit;
    int64_t knee;
    bool mean, half;
    double low, high;
};

// A float, rounded to a half.
inline float rounded(float x) {
    const float size = std::abs(x);
    float half;
    if (size >= 65520) half = std::numeric_limits<float>::infinity();
    else if (size < 0x1p-14f) half = (size + 0.5f) - 0.5f; // whole multiples of 2^-24
    else {
        uint32_t bits;
        std::memcpy(&bits, &size, sizeof(bits));
        bits = (bits + 0xfff + (bits >> 13 & 1)) & ~uint32_t(0x1fff);
        std::memcpy(&half, &bits, sizeof(half));
    }
    return std::copysign(half, x);
}

// A lattice value that is companded, expanded.
inline double expanded(int32_t c, int64_t knee) {
    const int64_t size = std::abs(int64_t(c)), segment = std::clamp<int64_t>(size / knee - 1, 0, 62);
    const double x = std::ldexp(double(size - knee * segment), int(segment));
    return c < 0 ? -x : x;
}

template<typename T>
inline T toValue(int32_t lattice_value, const Dequantiser& rules) {
    const bool linear = rules.mean || !rules.knee;
    T value = T((linear ? double(lattice_value) : expanded(lattice_value, rules.knee)) * rules.unit);
    if (rules.half) value = T(rounded(float(value)));
    return value < T(rules.low) ? T(rules.low) : value > T(rules.high) ? T(rules.high) : value;
}

// Gives the leaves of a chunk their values: where active those of lattice values, else the chunk's own.
template<typename T>
inline void fillLeaves(const Chunk& chunk, const int32_t* lattice_values, const Dequantiser& rules, T* to, int64_t leaf_stride,
    int64_t voxel_stride)
{
    const T* from = nullptr;
    if constexpr (sizeof(T) == sizeof(float)) from = chunk.values.narrow;
    else from = chunk.values.wide;
    inParallel(size_t(chunk.bricks), chunk.threads, kLeastBricks, [&](size_t first, size_t last) {
        uint8_t active[kSlots];
        const int32_t* lattice_value = lattice_values + first * kSlots;
        for (size_t brick = first; brick < last; ++brick) {
            chunk.active(int64_t(brick), active);
            T* leaf = to + chunk.leaves[brick] * leaf_stride;
            const T* kept = from + chunk.leaves[brick] * chunk.values.leaf_stride;
            for (int voxel = 0; voxel < kSlots; ++voxel, ++lattice_value)
                leaf[voxel * voxel_stride] =
                    active[voxel] ? toValue<T>(*lattice_value, rules) : kept[voxel * chunk.values.voxel_stride];
        }
    });
}

} // namespace nvdb
