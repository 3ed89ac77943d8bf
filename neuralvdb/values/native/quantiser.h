// Twin of values/lattice/chunks.py (Quantiser) and values/lattice/compand.py: from values to lattice values.
#pragma once

#include "constants.h"
#include "means.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace nvdb {

// floor(log2(x)) of a number of at least 1.
inline int exponentOf(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return int(bits >> 23) - 127;
}
inline int exponentOf(double x) {
    uint64_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return int(bits >> 52) - 1023;
}

// Companded floats. Products of knees are exact in doubles, so that it does not matter whether the sum is fused.
template<typename T>
inline T companded(T x, int64_t knee) {
    const T size = std::abs(x), ratio = size / T(knee);
    if (!knee || !(ratio >= 1) || !std::isfinite(x)) return x;
    const int segment = exponentOf(ratio);
    const T below = T(double(T(knee)) * segment);
    const T c = below + (segment < 63 ? size / T(uint64_t(1) << segment) : std::ldexp(size, -segment));
    return x < 0 ? -c : c;
}

// The whole number next to one below 2^51, the even one of two.
inline double nearestWhole(double x) {
    constexpr double shift = 0x1.8p52;
    return (x + shift) - shift;
}

// A value, clamped to what the lattice can hold; 0 for NaN.
inline double toFinite(double x) { return std::isnan(x) ? 0 : std::clamp(x, double(-kLimit), double(kLimit)); }

inline int64_t toDecoded(int64_t x) { return std::clamp(x, -kMaxDecoded, kMaxDecoded); }

struct Quantiser {
    double unit;
    Compand compand;
    bool nonnegative;

    double exact(double value) const { return companded(value / unit, compand.knee); }
    int32_t nearest(double value) const { return int32_t(nearestWhole(toFinite(exact(value)))); }
};

} // namespace nvdb
