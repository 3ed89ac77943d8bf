// Twin of values/lattice/residual.py: residuals as symbols and raw bits. Same integers; see there for what is computed.
#pragma once

#include "constants.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nvdb {

constexpr int rawWidth(uint8_t scale_class) { return std::max((int(scale_class) - kClassOfOneStep) / 4 - 1, 0); }

constexpr uint8_t kFirstWithRaw = kClassOfOneStep + 8; // the first class whose residuals have low bits
static_assert(rawWidth(kFirstWithRaw) == 1 && rawWidth(kFirstWithRaw - 1) == 0, "");

inline int64_t toSymbol(int64_t high) { return high < 0 ? -2 * high - 1 : 2 * high; }

inline int64_t fromSymbol(int64_t symbol) { return symbol & 1 ? -(symbol + 1) / 2 : symbol / 2; }

inline int64_t symbolOf(int32_t residual, uint8_t scale_class) {
    return std::min<int64_t>(toSymbol(residual >> rawWidth(scale_class)), kEscape);
}

// Adds to `counts`, (64, 64), how often each symbol occurs in each class.
inline void countSymbols(const int32_t* residuals, const uint8_t* scale_classes, size_t count, int64_t* counts) {
    for (size_t i = 0; i < count; ++i)
        ++counts[size_t(scale_classes[i]) * kSymbols + size_t(symbolOf(residuals[i], scale_classes[i]))];
}

// Numbers with their widths, in the order in which they are written.
struct RawBits {
    std::vector<uint32_t> values;
    std::vector<uint8_t> widths;

    void put(uint32_t value, int width) {
        values.push_back(value);
        widths.push_back(uint8_t(width));
    }
};

// Gives a batch its symbols, and appends its low bits, the sizes of what escapes, and that itself, plus one.
// coded: (64, 64), which symbols have a frequency.
inline void splitResiduals(const int32_t* residuals, const uint8_t* scale_classes, size_t count, const uint8_t* coded,
    uint8_t* symbols, RawBits& bits)
{
    std::vector<uint32_t> escaped;
    for (size_t i = 0; i < count; ++i) {
        const int width = rawWidth(scale_classes[i]);
        const int64_t whole = toSymbol(residuals[i] >> width), symbol = std::min<int64_t>(whole, kEscape);
        const bool fits = symbol < kEscape && coded[size_t(scale_classes[i]) * kSymbols + size_t(symbol)];
        symbols[i] = uint8_t(fits ? symbol : kEscape);
        if (width) bits.put(uint32_t(residuals[i]) & ((uint32_t(1) << width) - 1), width);
        if (!fits) escaped.push_back(uint32_t(whole + 1));
    }
    const auto size = [](uint32_t value) { return 32 - __builtin_clz(value); };
    for (const uint32_t value : escaped) bits.put(uint32_t(size(value)), kWidthBits);
    for (const uint32_t value : escaped) bits.put(value, size(value));
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
