// Twin of values/leaf_values.py and values/promise.py (decoded): from lattice values to those of leaves.
#pragma once

#include "../../nets/native/simd.h"
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

using EightInts = Vector<int32_t, kEdge>;
using EightFloats = Vector<float, kEdge>;
using EightDoubles = Vector<double, kEdge>;

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

// Rounds eight floats to halves.
NVDB_LANES void roundToHalves(EightFloats& x) {
    constexpr int32_t sign = INT32_MIN, dropped = 0x1fff;
    EightInts bits;
    std::memcpy(&bits, &x, sizeof(bits));
    const EightInts signs = bits & sign, size_bits = bits & ~sign, whole = (size_bits + dropped / 2 + (size_bits >> 13 & 1)) & ~dropped;
    EightFloats size, half;
    std::memcpy(&size, &size_bits, sizeof(size));
    std::memcpy(&half, &whole, sizeof(half));
    half = size < 0x1p-14f ? (size + 0.5f) - 0.5f : half;
    half = size >= 65520.0f ? EightFloats{} + std::numeric_limits<float>::infinity() : half;
    std::memcpy(&bits, &half, sizeof(bits));
    bits |= signs;
    std::memcpy(&x, &bits, sizeof(x));
}

// Gives `to` eight lattice values that are not companded, as toValue() does.
NVDB_LANES void toFloats(const int32_t* lattice_values, const Dequantiser& rules, EightFloats& to) {
    EightInts whole;
    std::memcpy(&whole, lattice_values, sizeof(whole));
    const EightDoubles exact = NVDB_CONVERT(whole, EightDoubles) * rules.unit;
    EightFloats value = NVDB_CONVERT(exact, EightFloats);
    if (rules.half) roundToHalves(value);
    const EightFloats low = EightFloats{} + float(rules.low), high = EightFloats{} + float(rules.high);
    to = value < low ? low : value > high ? high : value;
}

// Gives leaves whose floats lie side by side their values: those of lattice values, which are not companded, where active.
NVDB_LANES void fillFloats(const Chunk& chunk, const int32_t* lattice_values, const Dequantiser& rules, float* to,
    int64_t leaf_stride, size_t first, size_t last)
{
    for (size_t brick = first; brick < last; ++brick) {
        const int64_t leaf = chunk.leaves[brick];
        const uint8_t* mask = chunk.masks + leaf * (kSlots / 8);
        const float* kept = chunk.values.narrow + leaf * chunk.values.leaf_stride;
        for (int at = 0; at < kSlots; at += kEdge) {
            const EightInts active = ((EightInts{} + mask[at / kEdge]) & EightInts{1, 2, 4, 8, 16, 32, 64, 128}) != 0;
            EightFloats own, value;
            std::memcpy(&own, kept + at, sizeof(own));
            toFloats(lattice_values + brick * kSlots + size_t(at), rules, value);
            value = active ? value : own;
            std::memcpy(to + leaf * leaf_stride + at, &value, sizeof(value));
        }
    }
}

#ifdef NVDB_AVX2
NVDB_AVX2 inline void fillFast(const Chunk& chunk, const int32_t* lattice_values, const Dequantiser& rules, float* to,
    int64_t leaf_stride, size_t first, size_t last)
{
    fillFloats(chunk, lattice_values, rules, to, leaf_stride, first, last);
}
#endif

// Gives some leaves of a chunk their values: where active those of lattice values, else the chunk's own.
template<typename T>
inline void fillRange(const Chunk& chunk, const int32_t* lattice_values, const Dequantiser& rules, T* to, int64_t leaf_stride,
    int64_t voxel_stride, size_t first, size_t last)
{
    const T* from = nullptr;
    if constexpr (sizeof(T) == sizeof(float)) {
        from = chunk.values.narrow;
#ifdef NVDB_AVX2
        if (hasAvx2() && (rules.mean || !rules.knee) && voxel_stride == 1 && chunk.values.voxel_stride == 1)
            return fillFast(chunk, lattice_values, rules, to, leaf_stride, first, last);
#endif
    } else from = chunk.values.wide;
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
}

// The same of all leaves of a chunk.
template<typename T>
inline void fillLeaves(const Chunk& chunk, const int32_t* lattice_values, const Dequantiser& rules, T* to, int64_t leaf_stride,
    int64_t voxel_stride)
{
    inParallel(size_t(chunk.bricks), chunk.threads, kLeastBricks, [&](size_t first, size_t last) {
        fillRange(chunk, lattice_values, rules, to, leaf_stride, voxel_stride, first, last);
    });
}

} // namespace nvdb
