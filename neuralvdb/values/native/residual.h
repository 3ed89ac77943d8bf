// Twin of values/lattice/residual.py: residuals as symbols and raw bits. Same integers; see there for what is computed.
#pragma once

#include "constants.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace nvdb {

constexpr int rawWidth(uint8_t scale_class) { return std::max((int(scale_class) - kClassOfOneStep) / 4 - 1, 0); }

constexpr uint8_t kFirstWithRaw = kClassOfOneStep + 8; // the first class whose residuals have low bits
static_assert(rawWidth(kFirstWithRaw) == 1 && rawWidth(kFirstWithRaw - 1) == 0, "");

inline int64_t toSymbol(int64_t high) { return high < 0 ? -2 * high - 1 : 2 * high; }

inline int64_t fromSymbol(int64_t symbol) { return symbol & 1 ? -(symbol + 1) / 2 : symbol / 2; }

inline uint32_t symbolOf(int32_t residual, uint8_t scale_class) {
    const int32_t high = residual >> rawWidth(scale_class);
    return std::min<uint32_t>(uint32_t(high) << 1 ^ uint32_t(high >> 31), kEscape);
}

// Whether residuals have no low bits, and none escapes.
inline bool arePlain(const uint8_t* symbols, const uint8_t* scale_classes, size_t count) {
    uint8_t not_plain = 0;
    for (size_t i = 0; i < count; ++i) not_plain |= (scale_classes[i] >= kFirstWithRaw) | (symbols[i] == kEscape);
    return !not_plain;
}

// Residuals that are.
inline void plainResiduals(const uint8_t* symbols, size_t count, int32_t* residuals) {
    for (size_t i = 0; i < count; ++i) residuals[i] = (symbols[i] >> 1) ^ -(symbols[i] & 1);
}

// Makes residuals of their low bits, which `residuals` holds, symbols and escaped values; gives the next of these.
inline const int64_t* joinResiduals(const uint8_t* symbols, const uint8_t* scale_classes, size_t count, const int64_t* escaped,
    int32_t* residuals)
{
    for (size_t i = 0; i < count; ++i) {
        const int64_t symbol = symbols[i] == kEscape ? *escaped++ : symbols[i];
        residuals[i] = int32_t(fromSymbol(symbol) * (int64_t(1) << rawWidth(scale_classes[i])) + residuals[i]);
    }
    return escaped;
}

} // namespace nvdb
