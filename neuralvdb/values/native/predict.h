// The fast twin of values/lattice/context.py and network.py: predictions and scale classes of the points of a phase.
// Same integers, point for point; see those modules for what is computed and why.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace nvdb {

constexpr int kEdge = 8, kKnown = 36, kFaces = 6, kScales = 3;
constexpr int kOne = 16, kTop = 127;
constexpr int kFirst = 48, kSecond = 32, kOutputs = 2;
constexpr int64_t kMaxPrediction = int64_t(1) << 30;
constexpr int kBlock = 16; // points that go through the network together
constexpr int kMeanKnown = 45, kMeanScales = 4, kShares = 32;
constexpr int kMaxInputs = 2 * (kMeanKnown + kFaces) + kMeanScales;
constexpr int kNoAxis = 3, kPad = 3, kPadded = kEdge + 2 * kPad;

typedef float Lanes __attribute__((vector_size(4 * kBlock)));
typedef int32_t IntLanes __attribute__((vector_size(4 * kBlock)));

struct LevelView {
    const int32_t* table;
    int64_t shape[3];
    const int32_t* cells;
    const int32_t* values;
    const uint8_t* active;
};

// Weights as floats, row by row. hidden: whether any output comes by way of the hidden layers.
struct Net {
    int inputs;
    bool hidden;
    std::vector<float> w1, b1, w2, b2, w3, b3, linear;
    int shifts[6];
};

// A brick with its surroundings, `reach` points to either side of each axis, coordinates clamped to the
// level's box, those of points of a pass along `axis` mirrored first (values/lattice/context.py).
class Neighbourhood {
public:
    explicit Neighbourhood(const std::array<int, 3>& reach): reach_(reach) {}

    void load(const LevelView& level, int64_t brick, int axis = kNoAxis) {
        for (int a = 0; a < 3; ++a) {
            const int64_t first = level.cells[3 * brick + a] * int64_t(kEdge) - kPad;
            const int64_t last = level.shape[a] * kEdge - 1, turn = last - (a > axis);
            for (int i = 0; i < kPadded; ++i) {
                int64_t at = first + i;
                if (axis != kNoAxis) at = at > last ? 2 * turn - at : at < 0 && a != axis ? -at : at;
                at_[a][i] = std::clamp<int64_t>(at, 0, last);
            }
        }
        for (int i = kPad - reach_[0]; i < kPad + kEdge + reach_[0]; ++i)
            for (int j = kPad - reach_[1]; j < kPad + kEdge + reach_[1]; ++j) loadLine(level, i, j);
    }
    int32_t value(int at) const { return values_[at]; }
    int active(int at) const { return active_[at]; }

private:
    void loadLine(const LevelView& level, int i, int j) {
        const int64_t x = at_[0][i], y = at_[1][j];
        const int32_t* line = level.table + ((x >> 3) * level.shape[1] + (y >> 3)) * level.shape[2];
        const int64_t inside = (x & 7) * 64 + (y & 7) * 8;
        int32_t* values = values_ + (i * kPadded + j) * kPadded;
        uint8_t* active = active_ + (i * kPadded + j) * kPadded;
        const int64_t middle = int64_t(line[at_[2][kPad] >> 3]) * 512 + inside;
        std::memcpy(values + kPad, level.values + middle, kEdge * sizeof(int32_t));
        std::memcpy(active + kPad, level.active + middle, kEdge);
        for (int k = 1; k <= reach_[2]; ++k) {
            for (const int to : {kPad - k, kPad + kEdge - 1 + k}) {
                const int64_t z = at_[2][to], from = int64_t(line[z >> 3]) * 512 + inside + (z & 7);
                values[to] = level.values[from];
                active[to] = level.active[from];
            }
        }
    }

    const std::array<int, 3> reach_;
    int64_t at_[3][kPadded];
    int32_t values_[kPadded * kPadded * kPadded];
    uint8_t active_[kPadded * kPadded * kPadded];
};

// Distances in a Neighbourhood from a point to those of its stencil.
inline std::vector<int> stencil(int axis, int phase) {
    const int stride[3] = {kPadded * kPadded, kPadded, 1};
    const int others[2] = {axis == 0 ? 1 : 0, axis == 2 ? 1 : 2};
    auto unit = [&](int other) { return (other < axis ? 1 : 2) * stride[other]; };
    std::vector<int> found;
    for (int along : {-3, -1, 1, 3})
        for (int i = -1; i <= 1; ++i)
            for (int j = -1; j <= 1; ++j)
                found.push_back(along * stride[axis] + i * unit(others[0]) + j * unit(others[1]));
    if (phase) {
        for (int distance : {2 * stride[axis], unit(others[0]), unit(others[1])}) {
            found.push_back(-distance);
            found.push_back(distance);
        }
    }
    return found;
}

inline int bitLength(int64_t x) { return 64 - __builtin_clzll(uint64_t(x)); }

inline int64_t log2x16(int64_t x) {
    const int exponent = bitLength(x) - 1;
    return (int64_t(exponent) << 4) + (((x << 4) >> exponent) - 16);
}

// What a block of points sees around it, points side by side: values less the base, flags, and what scales them.
struct Seen {
    IntLanes values[kMeanKnown + kFaces], active[kMeanKnown + kFaces];
    int64_t base[kBlock], exponent[kBlock], scale[kBlock];
};

inline int32_t* at(IntLanes& lanes) { return reinterpret_cast<int32_t*>(&lanes); }

// Magnitudes below which sums over a stencil stay within 32 bits.
constexpr int32_t kNarrow = 1 << 24;

inline bool narrow(const Seen& seen, int count) {
    IntLanes outside{};
    for (int i = 0; i < count; ++i) outside |= (seen.values[i] > kNarrow) | (seen.values[i] < -kNarrow);
    for (int lane = 0; lane < kBlock; ++lane)
        if (outside[lane]) return false;
    return true;
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define NVDB_CLONES __attribute__((target_clones("avx512f", "arch=haswell", "avx2", "default"), flatten))
#else
#define NVDB_CLONES
#endif

inline IntLanes clamped(IntLanes x, int32_t low, int32_t high) {
    x = x < low ? IntLanes{} + low : x;
    return x > high ? IntLanes{} + high : x;
}

// Exponent and scale of each point from the sum of magnitudes around it and how many they are.
inline void measure(Seen& seen, const int64_t* spread, const int32_t* known, int64_t step, int64_t log_step) {
    for (int lane = 0; lane < kBlock; ++lane) {
        const int64_t sigma = std::max<int64_t>(spread[lane] / (known[lane] + 1) + (step >> 2), 1);
        seen.exponent[lane] = bitLength(sigma) - 1;
        seen.scale[lane] = log2x16(sigma) - log_step;
    }
}

// Sums of |value| where active over the first `known` rows of a block.
NVDB_CLONES inline void spreads(const Seen& seen, int known, int64_t* spread, int32_t* counts) {
    IntLanes sum{}, count{};
    for (int i = 0; i < known; ++i) {
        const IntLanes v = seen.values[i];
        sum += (v < 0 ? -v : v) * seen.active[i];
        count += seen.active[i];
    }
    for (int lane = 0; lane < kBlock; ++lane) spread[lane] = sum[lane], counts[lane] = count[lane];
}

// Values and flags as inputs (rows x kBlock).
NVDB_CLONES inline void scaled(const Seen& seen, int count, float* inputs) {
    IntLanes exponent;
    for (int lane = 0; lane < kBlock; ++lane) exponent[lane] = int32_t(seen.exponent[lane]);
    Lanes* to = reinterpret_cast<Lanes*>(inputs);
    for (int i = 0; i < count; ++i) {
        to[i] = __builtin_convertvector(clamped((seen.values[i] * kOne) >> exponent, -kTop, kTop), Lanes);
        to[count + i] = __builtin_convertvector(seen.active[i] * kOne, Lanes);
    }
}

// The same, whatever the magnitudes; wide: (count x kBlock).
inline void wideSpreads(const Seen& seen, const int64_t* wide, int known, int64_t* spread, int32_t* counts) {
    for (int lane = 0; lane < kBlock; ++lane) {
        spread[lane] = counts[lane] = 0;
        for (int i = 0; i < known; ++i) {
            spread[lane] += seen.active[i][lane] ? std::abs(wide[i * kBlock + lane]) : 0;
            counts[lane] += seen.active[i][lane];
        }
    }
}

inline void wideScaled(const Seen& seen, const int64_t* wide, int count, float* inputs) {
    for (int i = 0; i < count; ++i) {
        for (int lane = 0; lane < kBlock; ++lane) {
            const int64_t x = (wide[i * kBlock + lane] * kOne) >> seen.exponent[lane];
            inputs[i * kBlock + lane] = float(std::clamp<int64_t>(x, -kTop, kTop));
            inputs[(count + i) * kBlock + lane] = float(seen.active[i][lane] * kOne);
        }
    }
}

// Inputs that are no points, of which `about` is the value that the point is near to.
inline void extras(const Seen& seen, const int64_t* about, int64_t step, int64_t log_step, float* inputs) {
    for (int lane = 0; lane < kBlock; ++lane) {
        const int64_t size = log2x16(std::abs(about[lane]) + step) - log_step;
        const int64_t part = (about[lane] * kOne) >> seen.exponent[lane];
        inputs[lane] = float(std::clamp<int64_t>(seen.scale[lane], -kTop, kTop));
        inputs[kBlock + lane] = float(std::clamp<int64_t>(size >> 1, 0, kTop));
        inputs[2 * kBlock + lane] = float(std::clamp<int64_t>(part, -4 * kOne, 4 * kOne));
    }
}

// Scales and inputs of a block whose `about` and differences to it (narrow: in seen.values, else in wide) are there.
inline void normalise(Seen& seen, const int64_t* wide, int known, int count, const int64_t* about, int64_t step,
    int64_t log_step, float* inputs)
{
    int64_t spread[kBlock];
    int32_t counts[kBlock];
    wide ? wideSpreads(seen, wide, known, spread, counts) : spreads(seen, known, spread, counts);
    measure(seen, spread, counts, step, log_step);
    wide ? wideScaled(seen, wide, count, inputs) : scaled(seen, count, inputs);
    extras(seen, about, step, log_step, inputs + 2 * count * kBlock);
}

// The twin of values/lattice/context.py: inputs of a block of points.
inline void look(Seen& seen, int count, int64_t step, int64_t log_step, float* inputs) {
    const auto& v = seen.values;
    for (int lane = 0; lane < kBlock; ++lane) {
        const int64_t near = int64_t(v[13][lane]) + v[22][lane], far = int64_t(v[4][lane]) + v[31][lane];
        seen.base[lane] = (9 * near - far + 8) >> 4;
    }
    if (narrow(seen, count)) {
        IntLanes base;
        for (int lane = 0; lane < kBlock; ++lane) base[lane] = int32_t(seen.base[lane]);
        for (int i = 0; i < count; ++i) seen.values[i] -= base;
        return normalise(seen, nullptr, kKnown, count, seen.base, step, log_step, inputs);
    }
    int64_t wide[(kKnown + kFaces) * kBlock];
    for (int i = 0; i < count * kBlock; ++i) wide[i] = v[i / kBlock][i % kBlock] - seen.base[i % kBlock];
    normalise(seen, wide, kKnown, count, seen.base, step, log_step, inputs);
}

// The twin of values/lattice/mean_context.py: inputs of a block of cells; beyond the stencil stand known differences.
inline void lookMean(Seen& seen, int count, const int* share, int64_t step, int64_t log_step, float* inputs) {
    int64_t centre[kBlock], wide[(kMeanKnown + kFaces) * kBlock];
    const bool all_narrow = narrow(seen, count);
    const IntLanes middle = seen.values[kMeanKnown / 2];
    for (int lane = 0; lane < kBlock; ++lane) centre[lane] = middle[lane];
    for (int i = 0; i < count; ++i) {
        const int inside = i < kMeanKnown;
        if (all_narrow) {
            seen.values[i] = (seen.values[i] - (inside ? middle : IntLanes{})) * seen.active[i];
            continue;
        }
        for (int lane = 0; lane < kBlock; ++lane) {
            const int64_t x = int64_t(seen.values[i][lane]) - (inside ? centre[lane] : 0);
            wide[i * kBlock + lane] = seen.active[i][lane] ? x : 0;
        }
    }
    for (int lane = 0; lane < kBlock; ++lane) {
        const int64_t before = all_narrow ? seen.values[13][lane] : wide[13 * kBlock + lane];
        const int64_t behind = all_narrow ? seen.values[31][lane] : wide[31 * kBlock + lane];
        seen.base[lane] = (before - behind) >> 2;
        inputs[(2 * count + 3) * kBlock + lane] = float(share[lane] - kShares / 2);
    }
    normalise(seen, all_narrow ? nullptr : wide, kMeanKnown, count, centre, step, log_step, inputs);
}

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
NVDB_CLONES inline void forward(const Net& net, const float* inputs, int32_t* out) {
    Lanes h1[kFirst], h2[kSecond], last[kOutputs], line[kOutputs];
    const Lanes* x = reinterpret_cast<const Lanes*>(inputs);
    if (net.hidden) {
        layer(net.w1, net.b1, kFirst, net.inputs, net.shifts[0], x, h1);
        layer(net.w2, net.b2, kSecond, kFirst, net.shifts[1], h1, h2);
    }
    product<kOutputs>(net.w3.data(), net.b3.data(), h2, net.hidden ? kSecond : 0, last);
    product<kOutputs>(net.linear.data(), nullptr, x, net.inputs, line);
    for (int r = 0; r < kOutputs; ++r) {
        const IntLanes sum = (__builtin_convertvector(last[r], IntLanes) >> net.shifts[2 + r]) +
            (__builtin_convertvector(line[r], IntLanes) >> net.shifts[4 + r]);
        std::memcpy(out + r * kBlock, &sum, sizeof(sum));
    }
}

// Fills `seen` point by point with gather(point, place in a Neighbourhood, lane), turns it into inputs with
// look(inputs), and these into predictions.
template<typename GatherT, typename LookT>
inline void predictBlocks(const Net& net, const int16_t* places, size_t first, size_t last, int32_t* predictions,
    uint8_t* classes, Seen& seen, GatherT gather, LookT look)
{
    alignas(64) float inputs[kMaxInputs * kBlock] = {};
    alignas(64) int32_t out[kOutputs * kBlock];
    for (size_t i = first; i < last; i += kBlock) {
        const int count = int(std::min<size_t>(kBlock, last - i));
        for (int lane = 0; lane < count; ++lane) {
            const int place = places[i + lane];
            gather(i + lane, (((place >> 6) + kPad) * kPadded + (place >> 3 & 7) + kPad) * kPadded + (place & 7) + kPad, lane);
        }
        look(inputs);
        forward(net, inputs, out);
        for (int lane = 0; lane < count; ++lane) {
            const int64_t offset = std::clamp(out[lane], -(1 << 13), 1 << 13);
            const int64_t found = seen.base[lane] + ((offset << seen.exponent[lane]) >> 8);
            predictions[i + lane] = int32_t(std::clamp<int64_t>(found, -kMaxPrediction, kMaxPrediction));
            classes[i + lane] = uint8_t(std::clamp<int64_t>(((seen.scale[lane] + out[kBlock + lane]) >> 2) + 16, 0, 63));
        }
    }
}

// Predictions and classes of points `first` to `last`, which must be sorted by row.
inline void predictRange(const LevelView& level, const Net& net, const int32_t* rows, const int16_t* places, size_t first,
    size_t last, int axis, int phase, int64_t step, int32_t* predictions, uint8_t* classes)
{
    const auto offsets = stencil(axis, phase);
    const int count = int(offsets.size());
    const int64_t log_step = log2x16(step);
    std::array<int, 3> reach;
    for (int other = 0; other < 3; ++other) reach[other] = other == axis ? 3 : other < axis ? 1 : 2;
    auto near = std::make_unique<Neighbourhood>(reach);
    auto seen = std::make_unique<Seen>();
    int64_t loaded = -1;
    predictBlocks(net, places, first, last, predictions, classes, *seen,
        [&](size_t point, int from, int lane) {
            if (rows[point] != loaded) near->load(level, loaded = rows[point], axis);
            for (int i = 0; i < count; ++i) {
                at(seen->values[i])[lane] = near->value(from + offsets[i]);
                at(seen->active[i])[lane] = near->active(from + offsets[i]);
            }
        },
        [&](float* inputs) { look(*seen, count, step, log_step, inputs); });
}

// The same for cells of the mean lattice; `gaps` has the differences known so far.
inline void predictMeanRange(const LevelView& level, const LevelView& gaps, const uint8_t* share, const Net& net,
    const int32_t* rows, const int16_t* places, size_t first, size_t last, int axis, int phase, int64_t step,
    int32_t* predictions, uint8_t* classes)
{
    const int stride[3] = {kPadded * kPadded, kPadded, 1};
    const int units[3] = {stride[axis], stride[axis == 0 ? 1 : 0], stride[axis == 2 ? 1 : 2]};
    std::vector<int> offsets;
    for (int a = -2; a <= 2; ++a)
        for (int i = -1; i <= 1; ++i)
            for (int j = -1; j <= 1; ++j) offsets.push_back(a * units[0] + i * units[1] + j * units[2]);
    if (phase) for (int unit : units) offsets.insert(offsets.end(), {-unit, unit});
    const int count = int(offsets.size());
    const int64_t log_step = log2x16(step);
    std::array<int, 3> reach = {1, 1, 1};
    auto around = std::make_unique<Neighbourhood>(reach);
    reach[axis] = 2;
    auto near = std::make_unique<Neighbourhood>(reach);
    auto seen = std::make_unique<Seen>();
    int64_t loaded = -1;
    int shares[kBlock] = {};
    predictBlocks(net, places, first, last, predictions, classes, *seen,
        [&](size_t point, int from, int lane) {
            if (rows[point] != loaded) {
                near->load(level, loaded = rows[point]);
                if (phase) around->load(gaps, loaded);
            }
            for (int i = 0; i < count; ++i) {
                const Neighbourhood& source = i < kMeanKnown ? *near : *around;
                at(seen->values[i])[lane] = source.value(from + offsets[i]);
                at(seen->active[i])[lane] = source.active(from + offsets[i]);
            }
            shares[lane] = share[size_t(rows[point]) * 512 + size_t(places[point])];
        },
        [&](float* inputs) { lookMean(*seen, count, shares, step, log_step, inputs); });
}

} // namespace nvdb
