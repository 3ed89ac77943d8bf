// Twin of values/lattice/compand.py: whole numbers below 2^52, several at a time, which doubles hold exactly, as they do floors
// of their quotients.
#pragma once

#include "../../nets/native/simd.h"
#include "means.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nvdb {

template<typename Reals> constexpr int kLanes = sizeof(Reals) / sizeof(double);
template<typename Reals> using WholeOf = Vector<int64_t, kLanes<Reals>>;
template<typename Reals> using NarrowOf = Vector<int32_t, kLanes<Reals>>;

template<typename To, typename From>
NVDB_LANES To sameBits(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

template<typename Reals>
NVDB_LANES Reals pick(WholeOf<Reals> mask, Reals yes, Reals no) {
    return mask ? yes : no;
}

template<typename Reals>
NVDB_LANES Reals clampedTo(Reals x, Reals low, Reals high) {
    x = pick(x < low, low, x);
    return pick(x > high, high, x);
}

template<typename Reals>
NVDB_LANES Reals sizeOf(Reals x) { return sameBits<Reals>(sameBits<WholeOf<Reals>>(x) & INT64_MAX); }

// With the sign of another number.
template<typename Reals>
NVDB_LANES Reals signedAs(Reals of, Reals size) {
    return sameBits<Reals>(sameBits<WholeOf<Reals>>(size) | (sameBits<WholeOf<Reals>>(of) & INT64_MIN));
}

template<typename Reals>
NVDB_LANES Reals roundedDown(Reals x) {
    constexpr double shift = 0x1.8p52;
    const Reals near = (x + shift) - shift;
    return pick(near > x, near - 1.0, near);
}

// Powers of two, up to 2^1000.
template<typename Reals>
NVDB_LANES Reals twoTo(Reals exponent) {
    return sameBits<Reals>((sameBits<WholeOf<Reals>>(exponent + 0x1p52) + 1023) << 52);
}

template<typename Mask>
NVDB_LANES bool anySet(const Mask& mask) {
    int64_t words[sizeof(Mask) / 8], all = 0;
    std::memcpy(words, &mask, sizeof(mask));
    for (const int64_t word : words) all |= word;
    return all != 0;
}

// Whether numbers that are not negative are all 0.
NVDB_LANES bool allZero(FourReals x) {
    Vector<double, 2> halves[2];
    std::memcpy(halves, &x, sizeof(x));
    halves[0] += halves[1];
    return halves[0][0] + halves[0][1] == 0;
}
NVDB_LANES bool allZero(EightReals x) {
    FourReals halves[2];
    std::memcpy(halves, &x, sizeof(x));
    return allZero(halves[0] + halves[1]);
}

// Compand (means.h) of several numbers.
template<typename Reals>
struct CompandMany {
    using Whole = WholeOf<Reals>;
    double knee;

    NVDB_LANES explicit CompandMany(const Compand& compand): knee(compand.knee ? double(compand.knee) : 0x1p50) {}

    NVDB_LANES Reals in(Reals x) const {
        constexpr int64_t exponent = int64_t(0x7ff) << 52, highest = int64_t(2046) << 52, whole = int64_t(0x433) << 52;
        const Reals size = sizeOf(x);
        const Whole power = sameBits<Whole>(size / knee) & exponent; // 2^segment, as a double
        const Reals segment = sameBits<Reals>((power >> 52) | whole) - (0x1p52 + 1023);
        const Reals c = knee * segment + roundedDown(size * sameBits<Reals>(highest - power));
        return pick(size < 2 * knee, x, signedAs(x, c));
    }
    NVDB_LANES Reals segment(Reals c) const {
        return clampedTo(roundedDown(sizeOf(c) / knee) - 1.0, Reals{}, Reals{} + 31.0);
    }
    // 0 where `c` and c + 1 are in that segment of `other`, or where it ends, on the same side of 0 where that matters.
    NVDB_LANES Reals apart(Reals c, Reals other, Reals segment) const {
        const Reals none{}, one = none + 1.0, size = sizeOf(c), begin = knee * (segment + 1.0);
        const Reals below = pick(c < 0.0, one, none), sides = below - pick(other < 0.0, one, none);
        const Reals before = pick(size - below >= begin, none, one);
        return pick(size < begin + knee, none, one) + pick(segment == 0.0, none, before + sides * sides);
    }
    // power: twoTo(segment).
    NVDB_LANES Reals out(Reals c, Reals segment, Reals power) const {
        return signedAs(c, (sizeOf(c) - knee * segment) * power);
    }
    NVDB_LANES Reals out(Reals c) const {
        const Reals its = segment(c);
        return out(c, its, twoTo(its));
    }
};

template<typename Reals>
NVDB_LANES void compandCells(const int32_t* from, size_t count, const Compand& compand, int32_t* to) {
    using Narrow = NarrowOf<Reals>;
    constexpr size_t lanes = kLanes<Reals>;
    const CompandMany<Reals> many(compand);
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        Narrow x;
        std::memcpy(&x, from + i, sizeof(x));
        x = NVDB_CONVERT(many.in(NVDB_CONVERT(x, Reals)), Narrow);
        std::memcpy(to + i, &x, sizeof(x));
    }
    for (; i < count; ++i) to[i] = int32_t(compand.in(from[i]));
}

#ifdef NVDB_AVX2
NVDB_AVX512 inline void compandFastest(const int32_t* from, size_t count, const Compand& compand, int32_t* to) {
    compandCells<EightReals>(from, count, compand, to);
}
NVDB_AVX2 inline void compandFast(const int32_t* from, size_t count, const Compand& compand, int32_t* to) {
    compandCells<FourReals>(from, count, compand, to);
}
#endif

// Numbers companded.
inline void compandAll(const int32_t* from, size_t count, const Compand& compand, int32_t* to) {
#ifdef NVDB_AVX2
    if (hasVnni()) return compandFastest(from, count, compand, to);
    if (hasAvx2()) return compandFast(from, count, compand, to);
#endif
    compandCells<FourReals>(from, count, compand, to);
}

} // namespace nvdb
