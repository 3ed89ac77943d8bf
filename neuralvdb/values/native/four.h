// Twin of values/lattice/compand.py: four whole numbers below 2^52 at a time, which doubles hold exactly, as they do floors of
// their quotients.
#pragma once

#include "../../nets/native/simd.h"
#include "means.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nvdb {

constexpr int kCells = 4; // at a time
using FourReals = Vector<double, kCells>;
using FourWhole = Vector<int64_t, kCells>;
using FourNarrow = Vector<int32_t, kCells>;

template<typename To, typename From>
NVDB_LANES To sameBits(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

NVDB_LANES FourReals pick(FourWhole mask, FourReals yes, FourReals no) {
    return sameBits<FourReals>((mask & sameBits<FourWhole>(yes)) | (~mask & sameBits<FourWhole>(no)));
}

NVDB_LANES FourReals clampedTo(FourReals x, FourReals low, FourReals high) {
    x = pick(x < low, low, x);
    return pick(x > high, high, x);
}

NVDB_LANES FourReals sizeOf(FourReals x) { return sameBits<FourReals>(sameBits<FourWhole>(x) & INT64_MAX); }

// With the sign of another number.
NVDB_LANES FourReals signedAs(FourReals of, FourReals size) {
    return sameBits<FourReals>(sameBits<FourWhole>(size) | (sameBits<FourWhole>(of) & INT64_MIN));
}

NVDB_LANES FourReals roundedDown(FourReals x) {
    constexpr double shift = 0x1.8p52;
    const FourReals near = (x + shift) - shift;
    return pick(near > x, near - 1.0, near);
}

// Powers of two, up to 2^1000.
NVDB_LANES FourReals twoTo(FourReals exponent) {
    return sameBits<FourReals>((sameBits<FourWhole>(exponent + 0x1p52) + 1023) << 52);
}

NVDB_LANES bool allSet(FourWhole mask) { return (mask[0] & mask[1] & mask[2] & mask[3]) != 0; }
NVDB_LANES bool anySet(FourWhole mask) { return (mask[0] | mask[1] | mask[2] | mask[3]) != 0; }
NVDB_LANES bool anySet(FourNarrow mask) {
    const auto halves = sameBits<Vector<int64_t, 2>>(mask);
    return (halves[0] | halves[1]) != 0;
}

// Compand (means.h) of four numbers.
struct FourCompand {
    double knee;

    NVDB_LANES explicit FourCompand(const Compand& compand): knee(compand.knee ? double(compand.knee) : 0x1p50) {}

    NVDB_LANES FourReals in(FourReals x) const {
        constexpr int64_t exponent = int64_t(0x7ff) << 52, highest = int64_t(2046) << 52, whole = int64_t(0x433) << 52;
        const FourReals size = sizeOf(x);
        const FourWhole power = sameBits<FourWhole>(size / knee) & exponent; // 2^segment, as a double
        const FourReals segment = sameBits<FourReals>((power >> 52) | whole) - (0x1p52 + 1023);
        const FourReals c = knee * segment + roundedDown(size * sameBits<FourReals>(highest - power));
        return pick(size < 2 * knee, x, signedAs(x, c));
    }
    NVDB_LANES FourReals segment(FourReals c) const {
        return clampedTo(roundedDown(sizeOf(c) / knee) - 1.0, FourReals{}, FourReals{} + 31.0);
    }
    // Whether `c` and c + 1 are in that segment of `other`, or where it ends, on the same side of 0 where that matters.
    NVDB_LANES FourWhole isBeside(FourReals c, FourReals other, FourReals segment) const {
        const FourReals size = sizeOf(c), begin = knee * (segment + 1.0);
        const FourWhole same = pick(c < 0.0, size - 1.0, size) >= begin;
        return (size < begin + knee) & ((same & ((c < 0.0) == (other < 0.0))) | (segment == 0.0));
    }
    // power: twoTo(segment).
    NVDB_LANES FourReals out(FourReals c, FourReals segment, FourReals power) const {
        return signedAs(c, (sizeOf(c) - knee * segment) * power);
    }
    NVDB_LANES FourReals out(FourReals c) const {
        const FourReals its = segment(c);
        return out(c, its, twoTo(its));
    }
};

NVDB_LANES void compandCells(const int32_t* from, size_t count, const Compand& compand, int32_t* to) {
    const FourCompand four(compand);
    size_t i = 0;
    for (; i + kCells <= count; i += kCells) {
        FourNarrow x;
        std::memcpy(&x, from + i, sizeof(x));
        x = NVDB_CONVERT(four.in(NVDB_CONVERT(x, FourReals)), FourNarrow);
        std::memcpy(to + i, &x, sizeof(x));
    }
    for (; i < count; ++i) to[i] = int32_t(compand.in(from[i]));
}

#ifdef NVDB_AVX2
NVDB_AVX2 inline void compandFast(const int32_t* from, size_t count, const Compand& compand, int32_t* to) {
    compandCells(from, count, compand, to);
}
#endif

// Numbers companded.
inline void compandAll(const int32_t* from, size_t count, const Compand& compand, int32_t* to) {
#ifdef NVDB_AVX2
    if (hasAvx2()) return compandFast(from, count, compand, to);
#endif
    compandCells(from, count, compand, to);
}

} // namespace nvdb
