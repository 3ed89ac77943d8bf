// Twin of values/lattice/network.py and nets/network.py for blocks of points, side by side in vectors: in floats anywhere,
// in pairs of 16 bits or in bytes where the processor multiplies those.
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

// Numbers of which `Pack` stand in one of 32 bits, the weights of `Rows` rows side by side for each such group of inputs.
template<int Pack, int Rows>
struct PackedWeights {
    static constexpr int kPack = Pack, kRows = Rows, kBits = 32 / Pack;
    std::vector<int32_t> numbers;

    PackedWeights(const std::vector<float>& weights, int rows)
        : numbers(size_t(rows) * groupsOf(int(weights.size()) / rows))
    {
        const int count = int(weights.size()) / rows;
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < count; ++i)
                numbers[at(rows, count, r, i / Pack)] |= lane(int32_t(weights[size_t(r) * count + i]), i);
    }
    static int at(int rows, int count, int row, int group) {
        const int side = std::min(rows, Rows);
        return (row / side * groupsOf(count) + group) * side + row % side;
    }
    static constexpr int groupsOf(int count) { return (count + Pack - 1) / Pack; }
    static int32_t lane(int32_t x, int i) { return int32_t((uint32_t(x) & mask()) << (kBits * (i % Pack))); }
    static constexpr uint32_t mask() { return (uint32_t(1) << kBits) - 1; }
};
using Pairs = PackedWeights<2, 4>;
using Quads = PackedWeights<4, 16>;

// Weights of a layer: as floats row by row, in pairs and in quads. Sums begin with `bias`, those of quads with `sums`,
// which make up for inputs that are `excess` too large.
struct Layer {
    int rows = 0, count = 0;
    std::vector<float> weights, bias;
    Pairs pairs;
    Quads quads;
    std::vector<int32_t> sums;

    Layer(int rows, std::vector<float> from, std::vector<float> with, int excess = 0)
        : rows(rows), count(int(from.size()) / rows), weights(std::move(from)), bias(std::move(with)), pairs(weights, rows),
          quads(weights, rows), sums(rows)
    {
        bias.resize(rows);
        for (int r = 0; r < rows; ++r) {
            sums[r] = int32_t(bias[r]);
            for (int i = 0; i < count; ++i) sums[r] -= excess * int32_t(weights[size_t(r) * count + i]);
        }
    }
};

// What a network is computed in, the slowest first.
enum class Products { floats, pairs, bytes };

inline Products bestProducts() { return hasBytes() ? Products::bytes : hasAvx2() ? Products::pairs : Products::floats; }

// hidden: whether any output comes by way of the hidden layers.
struct Net {
    bool hidden;
    Products products;
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
    for (int row = 0; row < layer.rows; row += 4) { // so many sums stay in registers
        product<4>(layer, row, from, to + row);
        for (int r = row; r < row + 4; ++r) {
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

// The same inputs, as many to a number as weights are.
template<typename Packed>
struct PackedInputs {
    IntLanes groups[Packed::groupsOf(kMaxInputs)];

    NVDB_LANES explicit PackedInputs(int count) { std::fill_n(groups, Packed::groupsOf(count), IntLanes{}); }
    NVDB_LANES void put(int row, const IntLanes& x) {
        groups[row / Packed::kPack] |= (x & int32_t(Packed::mask())) << (Packed::kBits * (row % Packed::kPack));
    }
    void put(int row, int lane, int64_t x) { groups[row / Packed::kPack][lane] |= Packed::lane(int32_t(x), row); }
};
using PairInputs = PackedInputs<Pairs>;
using ByteInputs = PackedInputs<Quads>;

#ifdef NVDB_AVX2

using HalfLanes = Vector<int32_t, kBlock / 2>;

// Sums of Rows rows, in halves of a block: few enough to stay in 16 registers.
template<int Rows>
NVDB_LANES void product(const Layer& layer, int row, const HalfLanes* from, HalfLanes* to) {
    const int count = Pairs::groupsOf(layer.count);
    const int32_t* weights = &layer.pairs.numbers[Pairs::at(layer.rows, layer.count, row, 0)];
    HalfLanes sum[Rows][2];
    for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = HalfLanes{} + int32_t(layer.bias[row + r]);
    for (int i = 0; i < count; ++i) {
        const HalfLanes left = from[2 * i], right = from[2 * i + 1];
        for (int r = 0; r < Rows; ++r) {
            const HalfLanes weight = HalfLanes{} + weights[i * Rows + r];
            addPairs(sum[r][0], left, weight);
            addPairs(sum[r][1], right, weight);
        }
    }
    for (int r = 0; r < Rows; ++r) to[2 * r] = sum[r][0], to[2 * r + 1] = sum[r][1];
}

NVDB_LANES void hidden(const Layer& layer, int shift, const HalfLanes* from, HalfLanes* to) {
    for (int row = 0; row < layer.rows; row += Pairs::kRows) {
        HalfLanes sum[2 * Pairs::kRows];
        product<Pairs::kRows>(layer, row, from, sum);
        for (auto& x : sum) {
            x >>= shift;
            x = x < 0 ? HalfLanes{} : x;
            x = x > 255 ? HalfLanes{} + 255 : x;
        }
        for (int r = 0; r < Pairs::kRows; r += 2)
            for (int half = 0; half < 2; ++half) to[row + r + half] = sum[2 * r + half] | sum[2 * r + 2 + half] << 16;
    }
}

NVDB_LANES void forward(const Net& net, PairInputs& x, IntLanes* out) {
    HalfLanes h1[kFirstHidden], h2[kSecondHidden] = {}, last[2 * kOutputs], line[2 * kOutputs];
    const auto* inputs = reinterpret_cast<const HalfLanes*>(x.groups);
    if (net.hidden) {
        hidden(net.first, net.shifts[0], inputs, h1);
        hidden(net.second, net.shifts[1], h1, h2);
    }
    product<kOutputs>(net.third, 0, h2, last);
    product<kOutputs>(net.linear, 0, inputs, line);
    outputs(net, reinterpret_cast<const IntLanes*>(last), reinterpret_cast<const IntLanes*>(line), out);
}

#endif

#ifdef NVDB_BYTES

template<int Rows>
NVDB_LANES void product(const Layer& layer, int row, const IntLanes* from, IntLanes* to) {
    const int count = Quads::groupsOf(layer.count);
    const int32_t* weights = &layer.quads.numbers[Quads::at(layer.rows, layer.count, row, 0)];
    IntLanes sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = IntLanes{} + layer.sums[row + r];
    for (int i = 0; i < count; ++i)
        for (int r = 0; r < Rows; ++r) addProducts(sum[r], from[i], weights[i * Rows + r]);
    for (int r = 0; r < Rows; ++r) to[r] = sum[r];
}

NVDB_LANES void hidden(const Layer& layer, int shift, const IntLanes* from, IntLanes* to) {
    for (int row = 0; row < layer.rows; row += Quads::kRows) {
        IntLanes sum[Quads::kRows];
        product<Quads::kRows>(layer, row, from, sum);
        for (auto& x : sum) activated(x, shift);
        for (int r = 0; r < Quads::kRows; r += 4)
            to[(row + r) / 4] = sum[r] | sum[r + 1] << 8 | sum[r + 2] << 16 | sum[r + 3] << 24;
    }
}

NVDB_LANES void forward(const Net& net, ByteInputs& x, IntLanes* out) {
    IntLanes h1[kFirstHidden / 4], h2[kSecondHidden / 4] = {}, last[kOutputs], line[kOutputs];
    for (int i = 0; i < Quads::groupsOf(net.first.count); ++i) x.groups[i] ^= int32_t(0x80808080); // plus 128
    if (net.hidden) {
        hidden(net.first, net.shifts[0], x.groups, h1);
        hidden(net.second, net.shifts[1], h1, h2);
    }
    product<kOutputs>(net.third, 0, h2, last);
    product<kOutputs>(net.linear, 0, x.groups, line);
    outputs(net, last, line, out);
}

#endif

} // namespace nvdb
