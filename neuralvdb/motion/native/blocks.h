// Twin of motion/blocks.py: displacement(): where voxels come from by vectors of blocks. Same integers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace nvdb {

constexpr int kBlockLog2 = 4, kHalvesLog2 = kBlockLog2 + 1; // of a block's edge, in voxels and their halves
constexpr int32_t kHalves = 1 << kHalvesLog2;
constexpr int kMostVector = 64; // in 1/8 voxel
constexpr int kVectorBits = 10; // by which sums of vectors are shifted to become positions

// Blocks whose middles are on both sides of a voxel along an axis, and the weight of the second one, out of 32.
struct Beside {
    int64_t first, second;
    int32_t weight;
};

// Vectors of blocks that fill a box; none where `vectors` is null.
struct Blocks {
    int64_t low[3], size[3];
    const int8_t* vectors;

    Beside beside(size_t axis, int64_t voxel) const {
        const int64_t at = 2 * voxel + 1 - kHalves / 2 - low[axis] * kHalves, first = at >> kHalvesLog2;
        const auto near = [&](int64_t block) { return std::clamp<int64_t>(block, 0, size[axis] - 1); };
        return {near(first), near(first + 1), int32_t(at & (kHalves - 1))};
    }

    int64_t indexOf(int64_t x, int64_t y, int64_t z) const { return (x * size[1] + y) * size[2] + z; }

    // The sum of all vectors around a voxel by their weights.
    std::array<int32_t, 3> sum(const std::array<Beside, 3>& at) const {
        std::array<int32_t, 3> total{};
        for (int corner = 0; corner < 8; ++corner) {
            int64_t block[3];
            int32_t weight = 1;
            for (size_t axis = 0; axis < 3; ++axis) {
                const bool second = corner >> axis & 1;
                block[axis] = second ? at[axis].second : at[axis].first;
                weight *= second ? at[axis].weight : kHalves - at[axis].weight;
            }
            const int8_t* vector = vectors + 3 * indexOf(block[0], block[1], block[2]);
            for (size_t axis = 0; axis < 3; ++axis) total[axis] += weight * vector[axis];
        }
        return total;
    }
};

// A displacement as a difference of positions.
inline int32_t roundedSum(int32_t sum) { return (sum + (1 << (kVectorBits - 1))) >> kVectorBits; }

} // namespace nvdb
