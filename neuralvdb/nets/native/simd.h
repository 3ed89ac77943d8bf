// Vectors of numbers and functions compiled for several processors: everything that GCC and Clang have and C++ has not.
// All native code of the codecs takes it from here; a compiler without it needs another version of this file only.
#pragma once

#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace nvdb {

// N numbers side by side, with the operators of one.
template<typename T, int N>
struct VectorOf {
    typedef T Type __attribute__((vector_size(N * sizeof(T))));
};
template<typename T, int N> using Vector = typename VectorOf<T, N>::Type;

// Numbers that hold all of 52 bits exactly, and of 32.
using FourReals = Vector<double, 4>;
using FourNarrow = Vector<int32_t, 4>;
using EightReals = Vector<double, 8>;
using EightNarrow = Vector<int32_t, 8>;

// Each number of a vector as a number of the vector type `To`.
#define NVDB_CONVERT(vector, To) __builtin_convertvector(vector, To)

// Numbers of two vectors in another order, as __builtin_shuffle has it; Mask: the vector type of the order.
#ifdef __clang__
#define NVDB_SHUFFLE(Mask, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define NVDB_SHUFFLE(Mask, a, b, ...) __builtin_shuffle(a, b, Mask{__VA_ARGS__})
#endif

// A function that becomes part of the functions that call it, and so is compiled for the processors they are for.
#define NVDB_LANES inline __attribute__((always_inline))

// Asks for what will be read soon. Always inlined: GCC drops calls of functions that only ask.
NVDB_LANES void prefetch(const void* from, int bytes) {
    for (int i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(from) + i);
}

// Keeps a vector of AVX2 in a register from one step of a loop to the next: compilers load so many others first that one of
// the sums goes through memory, which is what the loop then waits for.
#define NVDB_KEEP(vector) __asm__("" : "+x"(vector))

// NVDB_AVX2, NVDB_AVX512: a function for processors with AVX2 (hasAvx2()) or with AVX-512 (hasVnni()); absent elsewhere.
#if defined(__x86_64__)
#define NVDB_AVX2 __attribute__((target("avx2,fma"), flatten))
#define NVDB_AVX512 __attribute__((target("avx512bw,avx512dq,avx512vl,fma"), flatten))
#endif

inline bool hasAvx2() {
#ifdef NVDB_AVX2
    static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has;
#else
    return false;
#endif
}

// Whether there is all that avx512.cc is compiled for: AVX-512 as processors have it since 2019, with products of bytes (VNNI).
inline bool hasVnni() {
#ifdef NVDB_AVX2
    static const bool has = hasAvx2() && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2") &&
        __builtin_cpu_supports("avx512vnni");
    return has;
#else
    return false;
#endif
}

}  // namespace nvdb
