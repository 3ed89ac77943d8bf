// Twin of values/lattice/network.py and nets/network.py: networks prepared for one of the ways in which product.h computes
// them. Plain numbers, so that code for other processors needs nothing of this file but its data.
#pragma once

#include "coding.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nvdb {

constexpr int kMaxInputs = 2 * kMaxPoints + kMaxScales;

// How products are computed, the slowest first: in pairs of 16 bits anywhere, in bytes with AVX2, in bytes
// whose sums have 32 bits with VNNI.
enum class Products { pairs, avx2, vnni };

// Numbers that stand side by side in one of 32 bits, and rows whose weights stand together at most.
constexpr int kPairs = 2, kQuads = 4, kMostRows = kManyRows;

// Weights of a layer. For each group of rows a range of runs, begin[group] to begin[group + 1]; a run is a range of entries,
// runs[run] to runs[run + 1], whose sums of bytes all fit into 16 bits (AVX2); an entry has a number of inputs and the weights of
// each row in turn.
struct Packed {
    std::vector<int32_t> weights, bias, begin, runs, inputs;

    int32_t groups() const { return int32_t(begin.size()) - 1; }
};

// A layer before it is packed: weights row by row, the largest number that each input may be, and those added to them to
// make them positive.
struct Layer {
    int rows, count;
    std::vector<int32_t> weights, bias, largest, excess;

    int32_t weight(int row, int i) const { return i < count ? weights[size_t(row) * count + i] : 0; }
};

// Packs a layer, `kRows` rows at a time.
class Packing {
public:
    Packing(const Layer& layer, int rows_at_once, Products products)
        : layer_(layer), side_(rows_at_once), pack_(products == Products::pairs ? kPairs : kQuads),
          products_(products)
    {
        units_.reserve(size_t(2 * (layer.count / pack_ + 1)));
        for (int r = 0; r < layer.rows; ++r) {
            int32_t bias = layer.bias[size_t(r)];
            for (int i = 0; i < layer.count; ++i)
                if (pack_ == kQuads) bias -= layer.excess[size_t(i)] * layer.weight(r, i);
            packed_.bias.push_back(bias);
        }
        packed_.begin.push_back(0);
        packed_.runs.push_back(0);
        for (int r = 0; r < layer.rows; r += side_) {
            units_.clear();
            for (int number = 0; number * pack_ < layer.count; ++number) addUnit(r, number);
            products == Products::avx2 ? putQuads() : putAll();
            packed_.begin.push_back(int32_t(packed_.runs.size()) - 1);
        }
    }
    Packed take() { return std::move(packed_); }

private:
    // Inputs of one number with their weights, for a group of rows.
    struct Unit {
        int number = 0;
        std::array<int32_t, kMostRows * kQuads> weights{}; // of each row, `pack_` of them
        std::array<int32_t, kMostRows * kQuads / 2> low{}, high{}; // bounds of the sums of 16 bits: two for each row
        bool taken = false;
    };

    void addUnit(int row, int number) {
        Unit unit;
        unit.number = number;
        bool any = false;
        for (int i = 0; i < side_ * pack_; ++i) {
            unit.weights[size_t(i)] = layer_.weight(row + i / pack_, number * pack_ + i % pack_);
            any |= unit.weights[size_t(i)] != 0;
        }
        if (!any) return;
        if (products_ != Products::avx2) return units_.push_back(unit);
        bound(unit);
        if (fits(Unit{}, unit)) return units_.push_back(unit);
        Unit rest = unit; // two halves of the weights, so that no sum of two products leaves 16 bits
        for (size_t i = 0; i < unit.weights.size(); ++i) {
            unit.weights[i] /= 2;
            rest.weights[i] -= unit.weights[i];
        }
        bound(unit);
        bound(rest);
        units_.push_back(unit);
        units_.push_back(rest);
    }

    void bound(Unit& unit) const {
        unit.low.fill(0);
        unit.high.fill(0);
        for (int i = 0; i < side_ * kQuads; ++i) {
            const int input = unit.number * kQuads + i % kQuads;
            if (input >= layer_.count) continue;
            const int32_t product = unit.weights[size_t(i)] * (layer_.largest[size_t(input)] + layer_.excess[size_t(input)]);
            (product < 0 ? unit.low : unit.high)[size_t(i / 2)] += product;
        }
    }

    static bool fits(const Unit& a, const Unit& b) {
        for (size_t i = 0; i < a.low.size(); ++i)
            if (a.low[i] + b.low[i] < -32768 || a.high[i] + b.high[i] > 32767) return false;
        return true;
    }

    void putAll() {
        for (const Unit& unit : units_) put(unit);
        endRun();
    }

    // Each run takes all units that still fit.
    void putQuads() {
        for (size_t waiting = units_.size(); waiting > 0; endRun()) {
            Unit sums;
            for (Unit& unit : units_) {
                if (unit.taken || !fits(sums, unit)) continue;
                unit.taken = true;
                --waiting;
                put(unit);
                for (size_t i = 0; i < sums.low.size(); ++i) sums.low[i] += unit.low[i], sums.high[i] += unit.high[i];
            }
        }
    }

    void put(const Unit& unit) {
        packed_.inputs.push_back(unit.number);
        for (int r = 0; r < side_; ++r) putWeights(unit, r);
    }

    void endRun() { packed_.runs.push_back(int32_t(packed_.inputs.size())); }

    void putWeights(const Unit& unit, int row) {
        const int bits = 32 / pack_;
        uint32_t number = 0;
        for (int i = 0; i < pack_; ++i)
            number |= (uint32_t(unit.weights[size_t(row * pack_ + i)]) & ((uint32_t(1) << bits) - 1)) << (bits * i);
        packed_.weights.push_back(int32_t(number));
    }

    const Layer& layer_;
    int side_, pack_;
    Products products_;
    Packed packed_;
    std::vector<Unit> units_;
};

// Inputs of a network as product.h orders them: those with a sign, then the active flags, which are 0 or kOne; each kind
// fills numbers of 32 bits. `first` and `linear` are for any block of points, the second of each for one whose points see
// active points only: the flags' share is in the sums from the beginning.
struct Net {
    bool hidden; // whether any output comes by way of the hidden layers
    Products products;
    int points, scales;
    Packed first[2], second, third, linear[2];
    int shifts[6];
};

constexpr int filled(int count) { return (count + kQuads - 1) / kQuads * kQuads; }

// A layer that sees a network's inputs; `weights` in the order of values/lattice/inputs.py: values, flags, scales.
inline Layer onInputs(const std::vector<int32_t>& weights, std::vector<int32_t> bias, int points, int scales, bool all_active)
{
    const int rows = int(bias.size()), count = 2 * points + scales, with_sign = filled(points + scales);
    Layer layer{rows, all_active ? with_sign : with_sign + filled(points), {}, std::move(bias), {}, {}};
    layer.largest.assign(size_t(layer.count), kOne);
    layer.excess.assign(size_t(layer.count), 0);
    std::fill_n(layer.largest.begin(), with_sign, kMaxInput);
    std::fill_n(layer.excess.begin(), with_sign, kMaxInput + 1);
    layer.weights.assign(size_t(rows) * size_t(layer.count), 0);
    for (int r = 0; r < rows; ++r) {
        const auto from = weights.begin() + ptrdiff_t(r) * count;
        const auto to = layer.weights.begin() + ptrdiff_t(r) * layer.count;
        std::copy_n(from, points, to);
        std::copy_n(from + 2 * points, scales, to + points);
        if (!all_active) std::copy_n(from + points, points, to + with_sign);
        for (int i = points; all_active && i < 2 * points; ++i) layer.bias[size_t(r)] += kOne * from[i];
    }
    return layer;
}

// A layer that sees hidden units, 0 to 255.
inline Layer onHidden(std::vector<int32_t> weights, std::vector<int32_t> bias) {
    const int rows = int(bias.size()), count = int(weights.size()) / rows;
    return {rows, count, std::move(weights), std::move(bias), std::vector<int32_t>(size_t(count), 255),
        std::vector<int32_t>(size_t(count), 0)};
}

} // namespace nvdb
