// Twin of picture.py, value_errors(): the largest error of a voxel, and of the mean of a block of 4x4x4 voxels.
#pragma once

#include "voxels.h"

#include <algorithm>

namespace nvdb {

constexpr int kBlock = 4;

struct Errors {
    double voxel = 0, mean = 0;
};

template<typename T>
NVDB_LANES void addErrors(const Leaves<T>& original, const T* decoded, Errors& errors) {
    using Error = Line<double>;
    const Leaves<T> other{decoded, nullptr, original.count};
    Error largest{};
    for (size_t leaf = 0; leaf < original.count; ++leaf) {
        for (int x = 0; x < kEdge; x += kBlock) {
            for (int y = 0; y < kEdge; y += kBlock) {
                Error sums{};
                for (int in_y = y; in_y < y + kBlock; ++in_y) {
                    Error along_x{};
                    for (int in_x = x; in_x < x + kBlock; ++in_x) {
                        const int at = in_x * kEdge + in_y;
                        const Line<T> exact = original.line(leaf, at);
                        const Error difference = NVDB_CONVERT(other.line(leaf, at), Error) - NVDB_CONVERT(exact, Error);
                        const auto counts = NVDB_CONVERT((original.active(leaf, at) & finite<T>(exact)), Lanes<double>);
                        const Error error = kept<double>(difference, counts);
                        const Error size = error < 0 ? -error : error;
                        largest = size > largest ? size : largest;
                        along_x += error / (kBlock * kBlock * kBlock);
                    }
                    sums += along_x;
                }
                for (int z = 0; z < kEdge; z += kBlock) {
                    double sum = 0;
                    for (int i = 0; i < kBlock; ++i) sum += sums[z + i];
                    const double size = std::abs(sum);
                    if (size > errors.mean) errors.mean = size;
                }
            }
        }
    }
    for (int i = 0; i < kEdge; ++i) errors.voxel = std::max(errors.voxel, largest[i]);
}

} // namespace nvdb
