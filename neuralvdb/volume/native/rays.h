// Twin of picture.py, leaf_sums() and what adds them up: sums of leaves along the three axes, as images.
#pragma once

#include "../../nets/native/parallel.h"
#include "voxels.h"

#include <limits>
#include <vector>

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

// Leaves some of which have other values. instead: which of the values `others` a leaf has, -1 for its own; or null.
template<typename T>
struct RayLeaves {
    Leaves<T> leaves;
    const int64_t* instead;
    const T* others;

    NVDB_LANES void add(size_t leaf, double* const* tiles) const {
        const uint8_t* mask = leaves.masks + leaf * kLines;
        if (instead && instead[leaf] >= 0) addLeaf(Leaves<T>{others, nullptr, 0}, size_t(instead[leaf]), mask, tiles);
        else addLeaf(leaves, leaf, mask, tiles);
    }
};

// Adds the sums of all leaves, in order.
template<typename T>
NVDB_LANES void addLeaves(const RayLeaves<T>& rays, const Image* images) {
    for (size_t leaf = 0; leaf < rays.leaves.count; ++leaf) {
        double* tiles[kAxes];
        for (int axis = 0; axis < kAxes; ++axis) tiles[axis] = images[axis].sums + images[axis].tiles[leaf] * kLines;
        rays.add(leaf, tiles);
    }
}

using LeafSums = double[kAxes][kLines];
constexpr size_t kAtOnce = 2048; // leaves whose sums are held

// Makes the sums of leaves `first` to `last`.
template<typename T>
NVDB_LANES void sumLeaves(const RayLeaves<T>& rays, size_t first, size_t last, LeafSums* sums) {
    for (size_t leaf = first; leaf < last; ++leaf, ++sums) {
        std::memset(sums, 0, sizeof(*sums));
        double* tiles[kAxes] = {(*sums)[0], (*sums)[1], (*sums)[2]};
        rays.add(leaf, tiles);
    }
}

// Adds such sums along an axis to every `of`-th tile of its image, beginning with tile `number`.
NVDB_LANES void addSums(const LeafSums* sums, const int64_t* tiles, size_t count, int axis, double* image, int64_t number,
    int64_t of)
{
    for (size_t i = 0; i < count; ++i) {
        if (tiles[i] % of != number) continue;
        double* tile = image + tiles[i] * kLines;
        for (int at = 0; at < kLines; ++at) tile[at] += sums[i][axis][at];
    }
}

// As addLeaves(), on threads: sums of some leaves, then what they add to images, each tile in the order of leaves. `run` calls
// a job, compiled for this machine.
template<typename T, typename Run>
void addLeavesOnThreads(const RayLeaves<T>& rays, const Image* images, size_t threads, const Run& run) {
    std::vector<double> held(kAtOnce * kAxes * kLines);
    auto* sums = reinterpret_cast<LeafSums*>(held.data());
    for (size_t begin = 0; begin < rays.leaves.count; begin += kAtOnce) {
        const size_t count = std::min(kAtOnce, rays.leaves.count - begin);
        inParallel(count, threads, 64, [&](size_t first, size_t last) {
            run([&] { sumLeaves(rays, begin + first, begin + last, sums + first); });
        });
        parallelFor(int64_t(kAxes * threads), int64_t(threads), [&](int64_t i) {
            const int axis = int(i % kAxes);
            const Image& image = images[axis];
            run([&] { addSums(sums, image.tiles + begin, count, axis, image.sums, i / kAxes, int64_t(threads)); });
        });
    }
}

} // namespace nvdb
