// A chunk as values/lattice/chunks.py cuts it: a box of bricks, each a leaf or constant.
#pragma once

#include "constants.h"

#include <array>
#include <cstdint>

namespace nvdb {

using Shape = std::array<int64_t, 3>;

// Rows of the bricks of a box.
struct BoxTable {
    const int32_t* rows;
    Shape shape;

    int64_t size() const { return shape[0] * shape[1] * shape[2]; }
};

// leaves: which of the grid's the first `bricks` rows are; masks: (N, 64), the active voxels of all of the grid's leaves, in
// bits. The other rows are constants: lattice values, and whether they are active.
struct Chunk {
    BoxTable table;
    const int64_t* leaves;
    int64_t bricks;
    const uint8_t* masks;
    const int32_t* constants;
    const uint8_t* constants_active;
    int64_t constant_count;

    int64_t rows() const { return bricks + constant_count; }

    // Which voxels of a leaf are active, 0 or 1 each.
    void active(int64_t brick, uint8_t* to) const {
        const uint8_t* mask = masks + leaves[brick] * (kSlots / 8);
        for (int byte = 0; byte < kSlots / 8; ++byte)
            for (int bit = 0; bit < 8; ++bit) to[8 * byte + bit] = mask[byte] >> bit & 1;
    }
};

} // namespace nvdb
