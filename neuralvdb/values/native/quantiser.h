// Twin of values/lattice/chunks.py (Quantiser) and values/lattice/compand.py: from values to lattice values.
#pragma once

#include "../../nets/native/simd.h"
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
NVDB_LANES int exponentOf(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return int(bits >> 23) - 127;
}
NVDB_LANES int exponentOf(double x) {
    uint64_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return int(bits >> 52) - 1023;
}

// 2 to the power of -n, for 0 <= n <= 126.
template<typename T>
NVDB_LANES T inversePower(int n) {
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    constexpr int digits = std::numeric_limits<T>::digits - 1;
    const Bits bits = Bits(std::numeric_limits<T>::max_exponent - 1 - n) << digits;
    T power;
    std::memcpy(&power, &bits, sizeof(power));
    return power;
}

// Companded floats of less than 2^126, with a knee. Products of knees are exact in doubles, so that it does not matter whether
// the sum is fused.
template<typename T>
NVDB_LANES T compandedWithin(T x, T knee) {
    const T size = std::abs(x);
    const int exponent = exponentOf(size / knee), segment = exponent < 0 ? 0 : exponent;
    return std::copysign(T(double(knee) * segment) + size * inversePower<T>(segment), x);
}

template<typename T>
inline T companded(T x, int64_t knee) {
    if (!knee || !std::isfinite(x)) return x;
    if (std::abs(x) < T(0x1p126)) return compandedWithin(x, T(knee));
    const int segment = std::max(exponentOf(std::abs(x) / T(knee)), 0);
    return std::copysign(T(double(T(knee)) * segment) + std::ldexp(std::abs(x), -segment), x);
}

// The whole number next to one below 2^51, the even one of two.
NVDB_LANES double nearestWhole(double x) {
    constexpr double shift = 0x1.8p52;
    return (x + shift) - shift;
}

// A value, clamped to what the lattice can hold; 0 for NaN.
NVDB_LANES double toFinite(double x) { return std::isnan(x) ? 0 : std::clamp(x, double(-kLimit), double(kLimit)); }

inline int64_t toDecoded(int64_t x) { return std::clamp(x, -kMaxDecoded, kMaxDecoded); }

struct Quantiser {
    double unit;
    Compand compand;
    bool nonnegative;

    double exact(double value) const { return companded(value / unit, compand.knee); }
    int32_t nearest(double value) const { return int32_t(nearestWhole(toFinite(exact(value)))); }
};

} // namespace nvdb
