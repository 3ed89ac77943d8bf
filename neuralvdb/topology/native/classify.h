// The fast twin of topology/inputs.py and nets/network.py: the classes of the cells of a phase. Same integers, cell for cell;
// see those modules for what is computed and why. A state is -1, 0 or 1, so the first layer is a sum of weights in 16 bits.
#pragma once

#include "../../nets/native/simd.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nvdb {

constexpr int kOutputs = 2, kOne = 16, kClasses = 64, kLogitShift = 2;
constexpr int kMaxInputs = 256; // times 127 stays within 16 bits
constexpr int kGroup = 16, kMaxGroups = 4, kMaxFirst = kMaxGroups * kGroup - kOutputs;
constexpr int kReach = 2, kMaxPadded = 8 + 2 * kReach;

constexpr int kHalf = kGroup / 2;

using Shorts = Vector<int16_t, kGroup>;
using Halves = Vector<int16_t, kHalf>;
using Ints = Vector<int32_t, kHalf>;
using Floats = Vector<float, kHalf>;

// States of one level: rows of n^3, the last two of them outside of the bricks.
struct States {
    const int8_t* data = nullptr;
    int n = 0;
};

// What is known when a phase is coded; `reference` may have no data.
struct View {
    States states, above, reference;
    const int32_t* near;
};

// Offsets (x, y, z) into the level above, the level itself and the reference.
struct Stencil {
    std::vector<int8_t> above, same, other;
};

// A network in the order in which it is used. Units of the first layer and, behind them, outputs of the linear path, in
// groups: `w1` is (inputs, groups), `bias` (units). The second layer is (units, group).
struct Net {
    int first = 0, groups = 0;
    std::vector<Shorts> w1;
    std::vector<int32_t> bias;
    std::vector<float> w2;
    float b2[kGroup] = {}, w3[kOutputs][kGroup] = {};
    int32_t b3[kOutputs] = {};
    int shifts[6] = {};
};

// The states of a brick and around it, beyond the next bricks clamped.
class Block {
public:
    Block(const States& states, int pad) : states_(states), pad_(pad), padded_(states.n + 2 * pad) {
        const int n = states.n;
        for (int i = 0; i < padded_; ++i) {
            const int to = std::clamp(i - pad, -n, 2 * n - 1) + n;
            brick_[i] = to / n;
            cell_[i] = to % n;
        }
    }

    void load(const int32_t* near) {
        switch (states_.n) {
            case 8: return loadRows<8>(near);
            case 4: return loadRows<4>(near);
            case 2: return loadRows<2>(near);
            default: return loadRows<1>(near);
        }
    }

    int step(const int8_t* offset) const { return (offset[0] * padded_ + offset[1]) * padded_ + offset[2]; }

    const int16_t* at(int x, int y, int z) const {
        return cells_ + ((x + pad_) * padded_ + y + pad_) * padded_ + z + pad_;
    }

private:
    template<int N> void loadRows(const int32_t* near) {
        int16_t* to = cells_;
        for (int i = 0; i < padded_; ++i) {
            for (int j = 0; j < padded_; ++j, to += padded_) {
                const int32_t* bricks = near + brick_[i] * 9 + brick_[j] * 3;
                const int8_t* from = states_.data + (cell_[i] * N + cell_[j]) * N;
                const int8_t *left = from + int64_t(bricks[0]) * (N * N * N), *right = from + int64_t(bricks[2]) * (N * N * N);
                from += int64_t(bricks[1]) * (N * N * N);
                for (int p = 0; p < pad_; ++p) {
                    to[p] = left[cell_[p]];
                    to[pad_ + N + p] = right[cell_[pad_ + N + p]];
                }
                widen<N>(from, to + pad_);
            }
        }
    }

    template<int N> static void widen(const int8_t* from, int16_t* to) {
        if (N == kHalf) {
            Vector<int8_t, kHalf> states;
            std::memcpy(&states, from, sizeof(states));
            const Halves wide = NVDB_CONVERT(states, Halves);
            std::memcpy(to, &wide, sizeof(wide));
        } else {
            for (int k = 0; k < N; ++k) to[k] = from[k];
        }
    }

    States states_;
    int pad_, padded_, brick_[kMaxPadded], cell_[kMaxPadded];
    int16_t cells_[kMaxPadded * kMaxPadded * kMaxPadded];
};

// Offsets of a stencil as distances in a block.
struct Steps {
    int count = 0, distances[kMaxInputs];

    Steps(const Block& block, const std::vector<int8_t>& offsets) {
        for (size_t i = 0; i < offsets.size(); i += 3) distances[count++] = block.step(&offsets[i]);
    }
    const int* begin() const { return distances; }
    const int* end() const { return distances + count; }
};

// Adds to sum the weights of the states at `at` + steps; gives the weights behind them.
template<int Groups>
inline const Shorts* add(const Shorts* weights, const int16_t* at, const Steps& steps, Shorts* sum) {
    for (int step : steps) {
        const int16_t state = at[step];
        for (int g = 0; g < Groups; ++g) sum[g] += weights[g] * state;
        weights += Groups;
    }
    return weights;
}

template<typename T, typename V>
inline T loaded(const V* from) {
    T to;
    std::memcpy(&to, from, sizeof(to));
    return to;
}

inline Floats activation(Ints sum, int shift) {
    sum >>= shift;
    sum = sum < 0 ? Ints{} : sum;
    sum = sum > 255 ? Ints{} + 255 : sum;
    return NVDB_CONVERT(sum, Floats);
}

// The rest of the network; `sum` holds the first layer and the linear path, without bias.
template<int Groups>
inline void finish(const Net& net, const Shorts* sum, uint8_t* classes) {
    alignas(64) int32_t units[Groups * kGroup];
    alignas(64) float h1[Groups * kGroup], h2[kHalf];
    const auto* halves = reinterpret_cast<const char*>(sum);
    for (int h = 0; h < 2 * Groups; ++h) {
        const Ints whole = NVDB_CONVERT(loaded<Halves>(halves + h * sizeof(Halves)), Ints) * kOne +
            loaded<Ints>(&net.bias[h * kHalf]);
        std::memcpy(units + h * kHalf, &whole, sizeof(whole));
        const Floats h1s = activation(whole, net.shifts[0]);
        std::memcpy(h1 + h * kHalf, &h1s, sizeof(h1s));
    }
    Floats low = loaded<Floats>(net.b2), high = loaded<Floats>(net.b2 + kHalf), low2{}, high2{};
    const float* weights = net.w2.data();
    for (int j = 0; j < Groups * kGroup - kOutputs; j += 2, weights += 2 * kGroup) {
        low += loaded<Floats>(weights) * h1[j];
        high += loaded<Floats>(weights + kHalf) * h1[j];
        low2 += loaded<Floats>(weights + kGroup) * h1[j + 1];
        high2 += loaded<Floats>(weights + kGroup + kHalf) * h1[j + 1];
    }
    const Floats first = activation(NVDB_CONVERT(low + low2, Ints), net.shifts[1]);
    const Floats second = activation(NVDB_CONVERT(high + high2, Ints), net.shifts[1]);
    for (int r = 0; r < kOutputs; ++r) {
        const Floats products = first * loaded<Floats>(net.w3[r]) + second * loaded<Floats>(net.w3[r] + kHalf);
        std::memcpy(h2, &products, sizeof(products));
        int32_t last = net.b3[r];
        for (int j = 0; j < kHalf; ++j) last += int32_t(h2[j]);
        const int logit = (last >> net.shifts[2 + r]) + (units[net.first + r] >> net.shifts[4 + r]);
        classes[r] = uint8_t(std::clamp((logit >> kLogitShift) + kClasses / 2, 0, kClasses - 1));
    }
}

template<int Groups>
inline void classifyCells(const View& view, const Stencil& stencil, const Net& net, const int32_t* rows, const int16_t* cells,
    size_t first, size_t last, uint8_t* classes)
{
    Block same(view.states, kReach), above(view.above, 1), other(view.reference.data ? view.reference : view.above, 1);
    const Steps up(above, stencil.above), around(same, stencil.same), also(other, stencil.other);
    const int n = view.states.n;
    int64_t loaded = -1;
    for (size_t i = first; i < last; ++i) {
        if (rows[i] != loaded) {
            loaded = rows[i];
            above.load(view.near + 27 * loaded);
            same.load(view.near + 27 * loaded);
            if (also.count) other.load(view.near + 27 * loaded);
        }
        const int x = cells[i] / (n * n), y = cells[i] / n % n, z = cells[i] % n;
        Shorts sum[Groups] = {};
        const Shorts* weights = add<Groups>(net.w1.data(), above.at(x / 2, y / 2, z / 2), up, sum);
        weights = add<Groups>(weights, same.at(x, y, z), around, sum);
        if (also.count) add<Groups>(weights, other.at(x, y, z), also, sum);
        finish<Groups>(net, sum, classes + i * kOutputs);
    }
}

// Classes (2 each) of the cells `first` to `last`, which are sorted by brick.
inline void classifyPlain(const View& view, const Stencil& stencil, const Net& net, const int32_t* rows, const int16_t* cells,
    size_t first, size_t last, uint8_t* classes)
{
    switch (net.groups) {
        case 1: return classifyCells<1>(view, stencil, net, rows, cells, first, last, classes);
        case 2: return classifyCells<2>(view, stencil, net, rows, cells, first, last, classes);
        case 3: return classifyCells<3>(view, stencil, net, rows, cells, first, last, classes);
        default: return classifyCells<4>(view, stencil, net, rows, cells, first, last, classes);
    }
}

#ifdef NVDB_AVX2
NVDB_AVX2 inline void classifyFast(const View& view, const Stencil& stencil, const Net& net,
    const int32_t* rows, const int16_t* cells, size_t first, size_t last, uint8_t* classes)
{
    classifyPlain(view, stencil, net, rows, cells, first, last, classes);
}
#endif

// The same, compiled for this machine where that is worth it.
inline void classifyRange(const View& view, const Stencil& stencil, const Net& net, const int32_t* rows, const int16_t* cells,
    size_t first, size_t last, uint8_t* classes)
{
#ifdef NVDB_AVX2
    if (hasAvx2()) return classifyFast(view, stencil, net, rows, cells, first, last, classes);
#endif
    classifyPlain(view, stencil, net, rows, cells, first, last, classes);
}

} // namespace nvdb
