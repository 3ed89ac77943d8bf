// The networks of values/lattice/network.py for blocks of points, side by side in vectors.
#pragma once

#include <cstdint>
#include <vector>

namespace nvdb {

constexpr int kFirst = 48, kSecond = 32, kOutputs = 2;
constexpr int kBlock = 16; // points that go through the network together

typedef float Lanes __attribute__((vector_size(4 * kBlock)));
typedef int32_t IntLanes __attribute__((vector_size(4 * kBlock)));
typedef double DoubleLanes __attribute__((vector_size(8 * kBlock)));

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define NVDB_CLONES __attribute__((target_clones("avx512f", "arch=haswell", "avx2", "default"), flatten))
#else
#define NVDB_CLONES
#endif

#define NVDB_LANES inline __attribute__((always_inline))

// Weights as floats, row by row. hidden: whether any output comes by way of the hidden layers.
struct Net {
    int inputs;
    bool hidden;
    std::vector<float> w1, b1, w2, b2, w3, b3, linear;
    int shifts[6];
};

// to[row] = sum over i of weights[row][i] * from[i] + bias[row], for kBlock points at once.
template<int Rows>
inline void product(const float* weights, const float* bias, const Lanes* from, int count, Lanes* to) {
    Lanes sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = Lanes{} + (bias ? bias[r] : 0.0f);
    for (int i = 0; i < count; ++i)
        for (int r = 0; r < Rows; ++r) sum[r] += weights[r * count + i] * from[i];
    for (int r = 0; r < Rows; ++r) to[r] = sum[r];
}

inline void layer(const std::vector<float>& weights, const std::vector<float>& bias, int rows, int count, int shift,
    const Lanes* from, Lanes* to)
{
    for (int row = 0; row < rows; row += 8) {
        product<8>(&weights[size_t(row) * count], &bias[row], from, count, to + row);
        for (int r = row; r < row + 8; ++r) {
            IntLanes whole = __builtin_convertvector(to[r], IntLanes) >> shift;
            whole = whole < 0 ? IntLanes{} : whole;
            whole = whole > 255 ? IntLanes{} + 255 : whole;
            to[r] = __builtin_convertvector(whole, Lanes);
        }
    }
}

// out[0] and out[1] of values/lattice/network.py for kBlock points.
NVDB_LANES void forward(const Net& net, const Lanes* x, IntLanes* out) {
    Lanes h1[kFirst], h2[kSecond], last[kOutputs], line[kOutputs];
    if (net.hidden) {
        layer(net.w1, net.b1, kFirst, net.inputs, net.shifts[0], x, h1);
        layer(net.w2, net.b2, kSecond, kFirst, net.shifts[1], h1, h2);
    }
    product<kOutputs>(net.w3.data(), net.b3.data(), h2, net.hidden ? kSecond : 0, last);
    product<kOutputs>(net.linear.data(), nullptr, x, net.inputs, line);
    for (int r = 0; r < kOutputs; ++r) {
        out[r] = (__builtin_convertvector(last[r], IntLanes) >> net.shifts[2 + r]) +
            (__builtin_convertvector(line[r], IntLanes) >> net.shifts[4 + r]);
    }
}

} // namespace nvdb
