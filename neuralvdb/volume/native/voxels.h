// Voxels of leaves eight at a time: a line along z, and which of them are active.
#pragma once

#include "../../nets/native/simd.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nvdb {

constexpr int kEdge = 8, kLines = 64, kSlots = 512; // of a leaf

template<typename T> struct SameSize;
template<> struct SameSize<float> { using Type = int32_t; };
template<> struct SameSize<double> { using Type = int64_t; };

template<typename T> using Line = Vector<T, kEdge>;
template<typename T> using Lanes = Vector<typename SameSize<T>::Type, kEdge>; // all bits of a number, or none

// Leaves with their masks (count, 64), one bit a voxel. Numbers are so many apart from voxel to voxel and from leaf to leaf.
template<typename T>
struct Leaves {
    const T* values;
    const uint8_t* masks;
    size_t count;
    int64_t leaf_stride = kSlots, voxel_stride = 1;

    NVDB_LANES Line<T> line(size_t leaf, int at) const {
        const T* from = values + int64_t(leaf) * leaf_stride + at * kEdge * voxel_stride;
        Line<T> line;
        if (voxel_stride == 1) std::memcpy(&line, from, sizeof(line));
        else
            for (int i = 0; i < kEdge; ++i) line[i] = from[i * voxel_stride];
        return line;
    }

    // Leaves `first` to `last`.
    Leaves range(size_t first, size_t last) const {
        return {values + int64_t(first) * leaf_stride, masks + first * kLines, last - first, leaf_stride, voxel_stride};
    }

    NVDB_LANES Lanes<T> active(size_t leaf, int at) const {
        using I = typename SameSize<T>::Type;
        return ((Lanes<T>{} + I(masks[leaf * kLines + size_t(at)])) & Lanes<T>{1, 2, 4, 8, 16, 32, 64, 128}) != 0;
    }
};

// The numbers of some lanes, 0 in the others.
template<typename T>
NVDB_LANES Line<T> kept(Line<T> numbers, Lanes<T> lanes) {
    Lanes<T> bits;
    std::memcpy(&bits, &numbers, sizeof(bits));
    bits &= lanes;
    std::memcpy(&numbers, &bits, sizeof(bits));
    return numbers;
}

template<typename T>
NVDB_LANES Lanes<T> finite(Line<T> numbers) {
    return (numbers - numbers) == 0;
}

} // namespace nvdb
