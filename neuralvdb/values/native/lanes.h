// Numbers of a block's points side by side, for the kind of processor that NVDB_ISA names (portable.cc, avx2.cc): all that
// is not the same for all of them. Included by one of those files only, which are compiled for their processors.
//
// Halves of a block as 32 bits hold points 0 to 3 with 8 to 11, and 4 to 7 with 12 to 15: what unpacking gives.
#pragma once

#include "../../nets/native/simd.h"
#include "coding.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace nvdb {
namespace NVDB_ISA {

using Bytes = Vector<uint8_t, 16>;
using Eight = Vector<int16_t, 8>;
using Four = Vector<int32_t, 4>;
using Longs = Vector<uint64_t, 2>;
using Shorts = Vector<int16_t, 16>;
using Wrapping = Vector<uint16_t, 16>;
using Ints = Vector<int32_t, 8>;
using Floats = Vector<float, 8>;

// Whether points are predicted in groups (groups.h).
#ifdef __AVX512BW__
constexpr bool kGrouped = true;
#else
constexpr bool kGrouped = false;
#endif

template<typename T>
inline T loaded(const void* from) {
    T to;
    std::memcpy(&to, from, sizeof(to));
    return to;
}

template<typename To, typename From>
inline To bits(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "");
    return loaded<To>(&from);
}

template<typename T>
inline T clamped(T x, int low, int high) {
    using Number = std::remove_reference_t<decltype(x[0])>;
    const T least = T{} + Number(low), most = T{} + Number(high);
    x = x < least ? least : x;
    return x > most ? most : x;
}

inline Eight unpackLow(Eight a, Eight b) { return NVDB_SHUFFLE(Eight, a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
inline Eight unpackHigh(Eight a, Eight b) { return NVDB_SHUFFLE(Eight, a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
inline Eight evens(Eight a, Eight b) { return NVDB_SHUFFLE(Eight, a, b, 0, 2, 4, 6, 8, 10, 12, 14); }
inline Eight odds(Eight a, Eight b) { return NVDB_SHUFFLE(Eight, a, b, 1, 3, 5, 7, 9, 11, 13, 15); }

inline Shorts unpackLow(Shorts a, Shorts b) {
    return NVDB_SHUFFLE(Shorts, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27);
}
inline Shorts unpackHigh(Shorts a, Shorts b) {
    return NVDB_SHUFFLE(Shorts, a, b, 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31);
}

// 16 bits of numbers with and without sign as 32.
inline void widened(Shorts x, Ints* to) {
    to[0] = bits<Ints>(unpackLow(x, x)) >> 16;
    to[1] = bits<Ints>(unpackHigh(x, x)) >> 16;
}
inline void widenedUnsigned(Shorts x, Ints* to) {
    to[0] = bits<Ints>(unpackLow(x, Shorts{}));
    to[1] = bits<Ints>(unpackHigh(x, Shorts{}));
}

// Back, of numbers that fit.
inline Shorts narrowed(const Ints* x) {
#ifdef __AVX2__
    return bits<Shorts>(_mm256_packs_epi32(bits<__m256i>(x[0]), bits<__m256i>(x[1])));
#else
    const Shorts low = bits<Shorts>(x[0]), high = bits<Shorts>(x[1]);
    return NVDB_SHUFFLE(Shorts, low, high, 0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30);
#endif
}

// Twice numbers; those beyond 16 bits wrap around.
inline Shorts doubled(Shorts x) { return bits<Shorts>(bits<Wrapping>(x) + bits<Wrapping>(x)); }

// Sixteen numbers of 32 bits as 16, those that do not fit as the nearest that do.
inline Shorts saturated(Four a, Four b, Four c, Four d) {
#if defined(__AVX2__)
    const auto both = [](Four low, Four high) { return _mm256_set_m128i(bits<__m128i>(high), bits<__m128i>(low)); };
    return bits<Shorts>(_mm256_packs_epi32(both(a, c), both(b, d)));
#elif defined(__SSE2__)
    const auto packed = [](Four x, Four y) { return _mm_packs_epi32(bits<__m128i>(x), bits<__m128i>(y)); };
    const __m128i x[2] = {packed(a, b), packed(c, d)};
    return loaded<Shorts>(x);
#else
    const auto packed = [](Four x, Four y) {
        return evens(bits<Eight>(clamped(x, -32768, 32767)), bits<Eight>(clamped(y, -32768, 32767)));
    };
    const Eight x[2] = {packed(a, b), packed(c, d)};
    return loaded<Shorts>(x);
#endif
}

// Bytes without sign as 16 bits.
inline Shorts widened(Bytes x) { return NVDB_CONVERT(x, Shorts); }

// The higher 16 bits of products: floor(a * b / 2^16).
inline Shorts highProduct(Shorts a, Shorts b) {
#if defined(__AVX2__)
    return bits<Shorts>(_mm256_mulhi_epi16(bits<__m256i>(a), bits<__m256i>(b)));
#else
    Ints x[2], y[2];
    widened(a, x);
    widened(b, y);
    for (int half = 0; half < 2; ++half) x[half] = x[half] * y[half] >> 16;
    return narrowed(x);
#endif
}

// A column of numbers in the order of points, as halves, and back.
inline void halves(const int32_t* from, Ints* to) {
    for (int half = 0; half < 2; ++half) {
        std::memcpy(&to[half], from + 4 * half, 16);
        std::memcpy(reinterpret_cast<char*>(&to[half]) + 16, from + 8 + 4 * half, 16);
    }
}
inline void joined(const Ints* from, int32_t* to) {
    for (int half = 0; half < 2; ++half) {
        std::memcpy(to + 4 * half, &from[half], 16);
        std::memcpy(to + 8 + 4 * half, reinterpret_cast<const char*>(&from[half]) + 16, 16);
    }
}

// Whether any bit of a mask is set.
template<typename T>
inline bool any(const T& mask) {
    int64_t words[sizeof(T) / 8], all = 0;
    std::memcpy(words, &mask, sizeof(mask));
    for (const int64_t word : words) all |= word;
    return all != 0;
}

// Eight lines of eight numbers become columns, of Shorts both halves.
template<typename T>
inline void transpose(T* x) {
    for (int round = 0; round < 3; ++round) {
        T to[8];
        for (int i = 0; i < 4; ++i) {
            to[2 * i] = unpackLow(x[i], x[i + 4]);
            to[2 * i + 1] = unpackHigh(x[i], x[i + 4]);
        }
        for (int i = 0; i < 8; ++i) x[i] = to[i];
    }
}

} // namespace NVDB_ISA
} // namespace nvdb
