// Twin of values/inactive.py (hold_only).
#pragma once

#include "chunk.h"

#include <cstddef>
#include <cstdint>

namespace nvdb {

// Whether all slots of a node that are not in its mask have one value, in bits.
template<typename T>
inline bool holdsOnly(const T* values, const uint8_t* mask, size_t slots, T value) {
    for (size_t byte = 0; byte < slots / 8; ++byte) {
        if (mask[byte] == 0xff) continue;
        unsigned differs = 0;
        for (size_t bit = 0; bit < 8; ++bit) differs |= unsigned(values[8 * byte + bit] != value) << bit;
        if (differs & ~unsigned(mask[byte])) return false;
    }
    return true;
}

// Nodes with their slots.
template<typename T>
struct Nodes {
    const T* values;
    const uint8_t* masks;
    size_t count, slots;
};

template<typename T>
inline void holdOnly(const Nodes<T>& nodes, T value, size_t threads, uint8_t* only) {
    inParallel(nodes.count, threads, kLeastBricks, [&](size_t first, size_t last) {
        for (size_t i = first; i < last; ++i)
            only[i] = holdsOnly(nodes.values + i * nodes.slots, nodes.masks + i * (nodes.slots / 8), nodes.slots, value);
    });
}

} // namespace nvdb
