// Twin of values/lattice/chunks.py (Quantiser) and values/lattice/compand.py: from values to lattice values.
#pragma once

#include "constants.h"
#include "means.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

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

// 2 to the power of -n, for 0 <= n <= 126.
template<typename T>
inline T inversePower(int n) {
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    constexpr int digits = std::numeric_limits<T>::digits - 1;
    const Bits bits = Bits(std::numeric_limits<T>::max_exponent - 1 - n) << digits;
    T power;
    std::memcpy(&power, &bits, sizeof(power));
    return power;
}

// Companded floats. Products of knees are exact in doubles, so that it does not matter whether the sum is fused.
template<typename T>
inline T companded(T x, int64_t knee) {
    if (!knee || !std::isfinite(x)) return x;
    const T size = std::abs(x);
    const int segment = std::max(exponentOf(size / T(knee)), 0);
    const T share = segment <= 126 ? size * inversePower<T>(segment) : std::ldexp(size, -segment);
    return std::copysign(T(double(T(knee)) * segment) + share, x);
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
