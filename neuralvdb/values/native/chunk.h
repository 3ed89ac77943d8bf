// A chunk as values/lattice/chunks.py cuts it: a box of bricks, each a leaf or constant.
#pragma once

#include "../../nets/native/parallel.h"
#include "constants.h"
#include "pool.h"

#include <array>
#include <cmath>
#include <cstdint>

namespace nvdb {

constexpr size_t kLeastPoints = 1024, kLeastPredicted = 256, kLeastBricks = 8; // that repay another thread

using Shape = std::array<int64_t, 3>;

// Rows of the bricks of a box.
struct BoxTable {
    const int32_t* rows;
    Shape shape;

    int64_t size() const { return shape[0] * shape[1] * shape[2]; }

    // (bricks, 3): where each of the first `bricks` rows is.
    Array<int32_t> cells(int64_t bricks) const {
        Array<int32_t> where(size_t(bricks) * 3, 0);
        const int32_t* row = rows;
        for (int64_t x = 0; x < shape[0]; ++x)
            for (int64_t y = 0; y < shape[1]; ++y)
                for (int64_t z = 0; z < shape[2]; ++z, ++row) {
                    if (*row >= bricks) continue;
                    int32_t* to = where.data() + 3 * size_t(*row);
                    to[0] = int32_t(x), to[1] = int32_t(y), to[2] = int32_t(z);
                }
        return where;
    }
};

// One component of the voxels of leaves (N, 512), floats or doubles so many apart.
struct LeafValues {
    const float* narrow;
    const double* wide;
    int64_t leaf_stride, voxel_stride;

    double at(int64_t leaf, int voxel) const {
        const int64_t i = leaf * leaf_stride + voxel * voxel_stride;
        return narrow ? double(narrow[i]) : wide[i];
    }
};

// leaves: which of the grid's the first `bricks` rows are; masks: (N, 64), the active voxels of all of the grid's leaves, in
// bits; values: of all of them. The other rows are constants: lattice values, and whether they are active. threads: so many
// share the work.
struct Chunk {
    BoxTable table;
    const int64_t* leaves;
    int64_t bricks;
    const uint8_t* masks;
    LeafValues values;
    const int32_t* constants;
    const uint8_t* constants_active;
    int64_t constant_count;
    size_t threads;

    int64_t rows() const { return bricks + constant_count; }

    // Which voxels of a leaf are active, 0 or 1 each.
    void active(int64_t brick, uint8_t* to) const {
        const uint8_t* mask = masks + leaves[brick] * (kSlots / 8);
        constexpr uint64_t each = 0x0101010101010101, bits = 0x8040201008040201;
        for (int byte = 0; byte < kSlots / 8; ++byte) {
            const uint64_t spread = mask[byte] * each & bits, flags = (spread + 0x7f * each) >> 7 & each;
            for (int bit = 0; bit < 8; ++bit) to[8 * byte + bit] = uint8_t(flags >> 8 * bit);
        }
    }
};

} // namespace nvdb
