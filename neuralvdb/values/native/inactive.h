// Twin of values/inactive.py (hold_only).
#pragma once

#include "chunk.h"

#include <cstddef>
#include <cstdint>

namespace nvdb {

// Whether all inactive voxels of a leaf have one value, in bits.
template<typename T>
inline bool holdsOnly(const T* values, const uint8_t* mask, T value) {
    for (int line = 0; line < kSlots / 8; ++line) {
        if (mask[line] == 0xff) continue;
        unsigned differs = 0;
        for (int voxel = 0; voxel < 8; ++voxel) differs |= unsigned(values[8 * line + voxel] != value) << voxel;
        if (differs & ~unsigned(mask[line])) return false;
    }
    return true;
}

// The same of many leaves with their masks.
template<typename T>
inline void holdOnly(const T* values, const uint8_t* masks, size_t leaves, T value, size_t threads, uint8_t* only) {
    inParallel(leaves, threads, kLeastBricks, [&](size_t first, size_t last) {
        for (size_t leaf = first; leaf < last; ++leaf)
            only[leaf] = holdsOnly(values + leaf * kSlots, masks + leaf * (kSlots / 8), value);
    });
}

} // namespace nvdb
