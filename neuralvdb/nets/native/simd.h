// Vectors of numbers and functions compiled for several processors: everything that GCC and Clang have and C++ has not.
// All native code of the codecs takes it from here; a compiler without it needs another version of this file only.
#pragma once

#include <cstdint>
#include <cstring>

namespace nvdb {

// N numbers side by side, with the operators of one.
template<typename T, int N>
struct VectorOf {
    typedef T Type __attribute__((vector_size(N * sizeof(T))));
};
template<typename T, int N> using Vector = typename VectorOf<T, N>::Type;

// Each number of a vector as a number of the vector type `To`.
#define NVDB_CONVERT(vector, To) __builtin_convertvector(vector, To)

// A function that becomes part of the functions that call it, and so is compiled for the processors they are for.
#define NVDB_LANES inline __attribute__((always_inline))

// NVDB_CLONES: a function compiled several times; the loader picks the one for this processor. NVDB_AVX2, NVDB_BYTES: a
// function for processors with AVX2 (hasAvx2()), which multiply pairs, and with products of bytes (hasBytes()); absent
// elsewhere.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define NVDB_CLONES __attribute__((target_clones("avx512f", "arch=haswell", "avx2", "default"), flatten))
#define NVDB_BYTES __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma"), flatten))
#else
#define NVDB_CLONES
#endif

#if defined(__x86_64__)
#define NVDB_AVX2 __attribute__((target("avx2,fma"), flatten))
#endif

inline bool hasAvx2() {
#ifdef NVDB_AVX2
    static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has;
#else
    return false;
#endif
}

inline bool hasBytes() {
#ifdef NVDB_BYTES
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}

#ifdef NVDB_AVX2

// sum += two signed numbers of 16 bits times two others, in each lane (VPMADDWD); the products' sum stays within 32 bits.
NVDB_LANES void addPairs(Vector<int32_t, 8>& sum, const Vector<int32_t, 8>& pairs, const Vector<int32_t, 8>& weights) {
    Vector<int32_t, 8> products;
    asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(pairs), "x"(weights));
    sum += products;
}

#endif

#ifdef NVDB_BYTES

// sum += four unsigned bytes times four signed ones, in each lane; nothing saturates (VPDPBUSD).
NVDB_LANES void addProducts(Vector<int32_t, 16>& sum, const Vector<int32_t, 16>& bytes, const int32_t& weights) {
    Vector<int32_t, 16> result = sum;
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(result) : "v"(bytes), "m"(weights));
    sum = result;
}

#endif

}  // namespace nvdb
