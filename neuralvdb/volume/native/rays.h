// Twin of picture.py, leaf_sums() and what adds them up: sums of leaves along the three axes, as images.
#pragma once

#include "voxels.h"

#include <limits>

namespace nvdb {

constexpr int kAxes = 3;

// To which tile (count,) of an image (T, 8, 8) each leaf projects.
struct Image {
    const int64_t* tiles;
    double* sums;
};

// Adds the sums of a leaf to a tile of each image.
template<typename T>
NVDB_LANES void addLeaf(const Leaves<T>& leaves, size_t leaf, const uint8_t* mask, double* const* tiles) {
    using Sum = Line<double>;
    const Line<T> largest = Line<T>{} + T(std::numeric_limits<float>::max());
    const Leaves<T> masked{leaves.values, mask, 1};
    double lines[kLines][kEdge];
    Sum along_x[kEdge] = {};
    for (int x = 0; x < kEdge; ++x) {
        Sum along_y{};
        for (int y = 0; y < kEdge; ++y) {
            const int at = x * kEdge + y;
            const Line<T> line = leaves.line(leaf, at);
            const Lanes<T> visible = masked.active(0, at) & (line >= 0) & (line <= largest);
            const Sum seen = NVDB_CONVERT(kept<T>(line, visible), Sum);
            along_x[y] += seen;
            along_y += seen;
            std::memcpy(lines[at], &seen, sizeof(seen));
        }
        for (int z = 0; z < kEdge; ++z) tiles[1][x * kEdge + z] += along_y[z];
    }
    for (int y = 0; y < kEdge; ++y)
        for (int z = 0; z < kEdge; ++z) tiles[0][y * kEdge + z] += along_x[y][z];
    for (int at = 0; at < kLines; ++at) {
        double sum = 0;
        for (int z = 0; z < kEdge; ++z) sum += lines[at][z];
        tiles[2][at] += sum;
    }
}

// Adds the sums of all leaves, in order. instead: which of the values `others` a leaf has, -1 for its own; or null.
template<typename T>
NVDB_LANES void addLeaves(const Leaves<T>& leaves, const int64_t* instead, const T* others, const Image* images) {
    for (size_t leaf = 0; leaf < leaves.count; ++leaf) {
        double* tiles[kAxes];
        for (int axis = 0; axis < kAxes; ++axis) tiles[axis] = images[axis].sums + images[axis].tiles[leaf] * kLines;
        const uint8_t* mask = leaves.masks + leaf * kLines;
        if (instead && instead[leaf] >= 0) addLeaf(Leaves<T>{others, nullptr, 0}, size_t(instead[leaf]), mask, tiles);
        else addLeaf(leaves, leaf, mask, tiles);
    }
}

} // namespace nvdb
