// Twin of values/lattice/network.py and nets/network.py for blocks of points, side by side in vectors: in floats anywhere,
// in bytes where the processor multiplies those.
#pragma once

#include "../../nets/native/simd.h"
#include "constants.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace nvdb {

constexpr int kMaxInputs = 200;
constexpr int kBlock = 16; // points that go through the network together

using Lanes = Vector<float, kBlock>;
using IntLanes = Vector<int32_t, kBlock>;
using DoubleLanes = Vector<double, kBlock>;

// Weights of a layer: as floats row by row, and four bytes in each number of `quads`, of kRows rows side by side for each
// four inputs; sums of those begin with `sums`, which make up for inputs that are `excess` too large.
struct Layer {
    int rows = 0, count = 0;
    std::vector<float> weights, bias;
    std::vector<int32_t> quads, sums;

    static constexpr int kRows = 16;

    Layer(int rows, std::vector<float> from, std::vector<float> with, int excess = 0)
        : rows(rows), count(int(from.size()) / rows), weights(std::move(from)), bias(std::move(with)),
          quads(size_t(rows) * quadsOf(count)), sums(rows)
    {
        bias.resize(rows);
        for (int r = 0; r < rows; ++r) {
            sums[r] = int32_t(bias[r]);
            for (int i = 0; i < count; ++i) {
                const auto weight = int32_t(weights[size_t(r) * count + i]);
                sums[r] -= excess * weight;
                quads[quadAt(r, i / 4)] |= int32_t(uint32_t(weight & 255) << (8 * (i & 3)));
            }
        }
    }
    int quadAt(int row, int quad) const {
        const int side = std::min(rows, kRows);
        return (row / side * quadsOf(count) + quad) * side + row % side;
    }
    static constexpr int quadsOf(int count) { return (count + 3) / 4; }
};

// hidden: whether any output comes by way of the hidden layers; bytes: whether to compute in bytes.
struct Net {
    bool hidden, bytes;
    Layer first, second, third, linear;
    int shifts[6];
};

NVDB_LANES void activated(IntLanes& x, int shift) {
    x >>= shift;
    x = x < 0 ? IntLanes{} : x;
    x = x > 255 ? IntLanes{} + 255 : x;
}

// to[row] = sum over i of weights[row][i] * from[i] + bias[row], for kBlock points at once.
template<int Rows>
inline void product(const Layer& layer, int row, const Lanes* from, Lanes* to) {
    const float* weights = &layer.weights[size_t(row) * layer.count];
    Lanes sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = Lanes{} + layer.bias[row + r];
    for (int i = 0; i < layer.count; ++i)
        for (int r = 0; r < Rows; ++r) sum[r] += weights[r * layer.count + i] * from[i];
    for (int r = 0; r < Rows; ++r) to[r] = sum[r];
}

inline void hidden(const Layer& layer, int shift, const Lanes* from, Lanes* to) {
    for (int row = 0; row < layer.rows; row += 8) {
        product<8>(layer, row, from, to + row);
        for (int r = row; r < row + 8; ++r) {
            IntLanes whole = NVDB_CONVERT(to[r], IntLanes);
            activated(whole, shift);
            to[r] = NVDB_CONVERT(whole, Lanes);
        }
    }
}

// What a network gets: its inputs, -127 to 127, in rows of kBlock.
struct FloatInputs {
    Lanes rows[kMaxInputs];

    NVDB_LANES explicit FloatInputs(int) {}
    NVDB_LANES void put(int row, const IntLanes& x) { rows[row] = NVDB_CONVERT(x, Lanes); }
    void put(int row, int lane, int64_t x) { rows[row][lane] = float(x); }
};

NVDB_LANES void outputs(const Net& net, const IntLanes* last, const IntLanes* line, IntLanes* out) {
    for (int r = 0; r < kOutputs; ++r) out[r] = (last[r] >> net.shifts[2 + r]) + (line[r] >> net.shifts[4 + r]);
}

// out[0] and out[1] of values/lattice/network.py for kBlock points.
NVDB_LANES void forward(const Net& net, FloatInputs& x, IntLanes* out) {
    Lanes h1[kFirstHidden], h2[kSecondHidden] = {}, sums[kOutputs];
    IntLanes last[kOutputs], line[kOutputs];
    if (net.hidden) {
        hidden(net.first, net.shifts[0], x.rows, h1);
        hidden(net.second, net.shifts[1], h1, h2);
    }
    product<kOutputs>(net.third, 0, h2, sums);
    for (int r = 0; r < kOutputs; ++r) last[r] = NVDB_CONVERT(sums[r], IntLanes);
    product<kOutputs>(net.linear, 0, x.rows, sums);
    for (int r = 0; r < kOutputs; ++r) line[r] = NVDB_CONVERT(sums[r], IntLanes);
    outputs(net, last, line, out);
}

#ifdef NVDB_BYTES

// The same inputs plus 128, four to a number.
struct ByteInputs {
    IntLanes quads[Layer::quadsOf(kMaxInputs)];

    NVDB_LANES explicit ByteInputs(int count) { std::fill_n(quads, Layer::quadsOf(count), IntLanes{}); }
    NVDB_LANES void put(int row, const IntLanes& x) { quads[row / 4] |= (x & 255) << (8 * (row & 3)); }
    void put(int row, int lane, int64_t x) {
        quads[row / 4][lane] |= int32_t(uint32_t(x & 255) << (8 * (row & 3)));
    }
};

template<int Rows>
NVDB_LANES void product(const Layer& layer, int row, const IntLanes* from, IntLanes* to) {
    const int count = Layer::quadsOf(layer.count);
    const int32_t* weights = &layer.quads[layer.quadAt(row, 0)];
    IntLanes sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = IntLanes{} + layer.sums[row + r];
    for (int i = 0; i < count; ++i)
        for (int r = 0; r < Rows; ++r) addProducts(sum[r], from[i], weights[i * Rows + r]);
    for (int r = 0; r < Rows; ++r) to[r] = sum[r];
}

NVDB_LANES void hidden(const Layer& layer, int shift, const IntLanes* from, IntLanes* to) {
    for (int row = 0; row < layer.rows; row += Layer::kRows) {
        IntLanes sum[Layer::kRows];
        product<Layer::kRows>(layer, row, from, sum);
        for (auto& x : sum) activated(x, shift);
        for (int r = 0; r < Layer::kRows; r += 4)
            to[(row + r) / 4] = sum[r] | sum[r + 1] << 8 | sum[r + 2] << 16 | sum[r + 3] << 24;
    }
}

NVDB_LANES void forward(const Net& net, ByteInputs& x, IntLanes* out) {
    IntLanes h1[kFirstHidden / 4], h2[kSecondHidden / 4] = {}, last[kOutputs], line[kOutputs];
    for (int i = 0; i < Layer::quadsOf(net.first.count); ++i) x.quads[i] ^= int32_t(0x80808080);
    if (net.hidden) {
        hidden(net.first, net.shifts[0], x.quads, h1);
        hidden(net.second, net.shifts[1], h1, h2);
    }
    product<kOutputs>(net.third, 0, h2, last);
    product<kOutputs>(net.linear, 0, x.quads, line);
    outputs(net, last, line, out);
}

#endif

} // namespace nvdb
