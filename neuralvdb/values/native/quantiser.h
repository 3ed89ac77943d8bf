// Twin of values/lattice/chunks.py (Quantiser) and values/lattice/compand.py: from values to lattice values.
#pragma once

#include "constants.h"
#include "means.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace nvdb {

// Companded floats. Products of knees are exact in doubles, so that it does not matter whether the sum is fused.
template<typename T>
inline T companded(T x, int64_t knee) {
    if (!knee || !std::isfinite(x) || x == 0) return x;
    const T size = std::abs(x);
    int exponent;
    std::frexp(size / T(knee), &exponent);
    const int segment = std::max(exponent - 1, 0);
    const T below = T(double(T(knee)) * segment), c = below + std::ldexp(size, -segment);
    return x < 0 ? -c : c;
}

// A value, clamped to what the lattice can hold; 0 for NaN.
inline double toFinite(double x) { return std::isnan(x) ? 0 : std::clamp(x, double(-kLimit), double(kLimit)); }

inline int64_t toDecoded(int64_t x) { return std::clamp(x, -kMaxDecoded, kMaxDecoded); }

struct Quantiser {
    double unit;
    Compand compand;
    bool nonnegative;

    double exact(double value) const { return companded(value / unit, compand.knee); }
    int32_t nearest(double value) const { return int32_t(std::nearbyint(toFinite(exact(value)))); }
};

} // namespace nvdb
