// The fast twin of values/lattice/sample_inputs.py and network.py: predictions and scale classes of the points of a phase.
// Same integers, point for point; see those modules for what is computed and why.
// Twin of values/lattice/mean_inputs.py.
#pragma once

#include "network.h"
#include "surroundings.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

namespace nvdb {

constexpr int kKnown = 36, kFaces = 6, kScales = 3;
constexpr int kOne = 16, kTop = 127;
constexpr int64_t kMaxPrediction = int64_t(1) << 30, kMaxBase = int64_t(1) << 29;
constexpr int kMeanKnown = 45, kMeanScales = 4, kShares = 32;
static_assert(kMaxInputs == 2 * (kMeanKnown + kFaces) + kMeanScales);

// Distances in a Neighbourhood from a point to those that a network sees.
struct Offsets {
    int count = 0, at[kMeanKnown + kFaces];

    void add(int distance) { at[count++] = distance; }
    int operator[](int i) const { return at[i]; }
};

// Those of the stencil of samples.
inline Offsets stencil(int axis, int phase) {
    const int stride[3] = {kPadded * kPadded, kPadded, 1};
    const int others[2] = {axis == 0 ? 1 : 0, axis == 2 ? 1 : 2};
    auto unit = [&](int other) { return (other < axis ? 1 : 2) * stride[other]; };
    Offsets offsets;
    for (int along : {-3, -1, 1, 3})
        for (int i = -1; i <= 1; ++i)
            for (int j = -1; j <= 1; ++j)
                offsets.add(along * stride[axis] + i * unit(others[0]) + j * unit(others[1]));
    if (phase) {
        for (int distance : {2 * stride[axis], unit(others[0]), unit(others[1])}) {
            offsets.add(-distance);
            offsets.add(distance);
        }
    }
    return offsets;
}

inline int bitLength(int64_t x) { return 64 - __builtin_clzll(uint64_t(x)); }

inline int64_t log2x16(int64_t x) {
    const int exponent = bitLength(x) - 1;
    return (int64_t(exponent) << 4) + (((x << 4) >> exponent) - 16);
}

// What a block of points sees around it, points side by side, as in a Neighbourhood; `share` is the mean lattice's.
struct Seen {
    IntLanes points[kMeanKnown + kFaces];
    int32_t share[kBlock];
    IntLanes base, exponent, scale;
};

inline int32_t* at(IntLanes& lanes) { return reinterpret_cast<int32_t*>(&lanes); }

// Which lattice a block is of: how many points of its stencil count for its scale, and whether only active ones are
// looked at.
struct Sample {
    static constexpr int kKnown = nvdb::kKnown;
    static constexpr bool kInside = false;
    static constexpr int32_t kNarrow = 1 << 24; // magnitudes below which sums over a stencil stay within 32 bits
};
struct Inside {
    static constexpr int kKnown = nvdb::kKnown;
    static constexpr bool kInside = true;
    static constexpr int32_t kNarrow = 1 << 22;
};
struct Mean {
    static constexpr int kKnown = kMeanKnown;
    static constexpr bool kInside = true;
    static constexpr int32_t kNarrow = 1 << 24;
};

// Four points along the axis, those that are not active replaced by what the others go on to; on: all bits set or none.
template<typename T>
NVDB_LANES void extend(T* line, const T* on) {
    const T far = line[0], near = line[1], beyond = line[2], last = line[3], bend = 3 * (near - beyond);
    const auto pick = [](const T& mask, const T& yes, const T& no) __attribute__((always_inline)) {
        return (mask & yes) | (~mask & no);
    };
    line[1] = pick(on[1], near, pick(on[2] & on[3], 2 * beyond - last, beyond));
    line[2] = pick(on[2], beyond, pick(on[0] & on[1], 2 * near - far, near));
    line[0] = pick(on[0], far, pick(on[1] & on[2] & on[3], bend + last, 2 * line[1] - line[2]));
    line[3] = pick(on[3], last, pick(on[0] & on[1] & on[2], far - bend, 2 * line[2] - line[1]));
}

NVDB_LANES void clamped(IntLanes& x, int32_t low, int32_t high) {
    x = x < low ? IntLanes{} + low : x;
    x = x > high ? IntLanes{} + high : x;
}

// floor(log2(x)) of 0 < x: of its highest bit, the next one left out so that no rounding carries.
NVDB_LANES void exponents(const IntLanes& x, IntLanes& found) {
    const Lanes rounded = NVDB_CONVERT(x & ~(x >> 1), Lanes);
    std::memcpy(&found, &rounded, sizeof(found));
    found = (found >> 23) - 127;
}

// log2 of 0 < x < 2^27 in 1/16, linear between powers of two.
NVDB_LANES void logs(const IntLanes& x, IntLanes& found) {
    IntLanes exponent;
    exponents(x, exponent);
    found = (exponent << 4) + ((x << 4) >> exponent) - 16;
}

// The twin of values/lattice/sample_inputs.py and mean_inputs.py: inputs of a block of points, where all numbers are below
// LatticeT::kNarrow; else nothing is done and the answer is false.
template<typename LatticeT, typename InputsT>
NVDB_LANES bool lookNarrow(Seen& seen, int count, int32_t step, int32_t log_step, InputsT& inputs) {
    constexpr bool mean = std::is_same_v<LatticeT, Mean>;
    IntLanes delta[kMeanKnown + kFaces], size{}, sum{}, known = IntLanes{} + 1;
    for (int i = 0; i < count; ++i) {
        delta[i] = seen.points[i] >> 1;
        size |= delta[i] ^ (delta[i] >> 31);
    }
    for (int lane = 0; lane < kBlock; ++lane)
        if (size[lane] >= LatticeT::kNarrow) return false;
    IntLanes about = delta[kMeanKnown / 2];
    if (!mean) {
        IntLanes line[4], on[4];
        for (int i = 0; i < 4; ++i) {
            line[i] = delta[4 + 9 * i];
            on[i] = -(seen.points[4 + 9 * i] & 1);
        }
        if (LatticeT::kInside) extend(line, on);
        about = (9 * (line[1] + line[2]) - line[0] - line[3] + 8) >> 4;
    }
    for (int i = 0; i < count; ++i) {
        const IntLanes active = seen.points[i] & 1;
        if (!mean || i < kMeanKnown) delta[i] -= about;
        if (LatticeT::kInside) delta[i] *= active;
        if (i < LatticeT::kKnown) {
            const IntLanes magnitude = delta[i] < 0 ? -delta[i] : delta[i];
            sum += LatticeT::kInside ? magnitude : magnitude * active;
            known += active;
        }
    }
    seen.base = mean ? (delta[13] - delta[31]) >> 2 : about;
    const DoubleLanes whole = NVDB_CONVERT(sum, DoubleLanes) / NVDB_CONVERT(known, DoubleLanes);
    IntLanes sigma = NVDB_CONVERT(whole, IntLanes) + (step >> 2);
    sigma = sigma < 1 ? IntLanes{} + 1 : sigma;
    exponents(sigma, seen.exponent);
    logs(sigma, seen.scale);
    seen.scale -= log_step;
    for (int i = 0; i < count; ++i) {
        IntLanes x = (delta[i] * kOne) >> seen.exponent;
        clamped(x, -kTop, kTop);
        inputs.put(i, x);
        inputs.put(count + i, (seen.points[i] & 1) * kOne);
    }
    IntLanes x = seen.scale, large;
    clamped(x, -kTop, kTop);
    inputs.put(2 * count, x);
    logs((about < 0 ? -about : about) + step, large);
    large = (large - log_step) >> 1;
    clamped(large, 0, kTop);
    inputs.put(2 * count + 1, large);
    x = (about * kOne) >> seen.exponent;
    clamped(x, -4 * kOne, 4 * kOne);
    inputs.put(2 * count + 2, x);
    if (mean) {
        std::memcpy(&x, seen.share, sizeof(x));
        inputs.put(2 * count + 3, x - kShares / 2);
    }
    return true;
}

// The same, whatever the magnitudes, for one point of the block.
template<typename LatticeT, typename InputsT>
inline void lookWide(Seen& seen, int lane, int count, int64_t step, int64_t log_step, InputsT& inputs) {
    constexpr bool mean = std::is_same_v<LatticeT, Mean>;
    int64_t delta[kMeanKnown + kFaces], sum = 0, known = 1;
    for (int i = 0; i < count; ++i) delta[i] = seen.points[i][lane] >> 1;
    int64_t about = delta[kMeanKnown / 2];
    if (!mean) {
        int64_t line[4], on[4];
        for (int i = 0; i < 4; ++i) {
            line[i] = delta[4 + 9 * i];
            on[i] = -int64_t(seen.points[4 + 9 * i][lane] & 1);
        }
        if (LatticeT::kInside) extend(line, on);
        about = std::clamp((9 * (line[1] + line[2]) - line[0] - line[3] + 8) >> 4, -kMaxBase, kMaxBase);
    }
    for (int i = 0; i < count; ++i) {
        const int64_t active = seen.points[i][lane] & 1;
        if (!mean || i < kMeanKnown) delta[i] -= about;
        if (LatticeT::kInside) delta[i] *= active;
        if (i < LatticeT::kKnown) sum += std::abs(delta[i]) * active, known += active;
    }
    const int64_t sigma = std::max<int64_t>(sum / known + (step >> 2), 1), exponent = bitLength(sigma) - 1;
    seen.base[lane] = int32_t(mean ? (delta[13] - delta[31]) >> 2 : about);
    seen.exponent[lane] = int32_t(exponent);
    seen.scale[lane] = int32_t(log2x16(sigma) - log_step);
    const auto put = [&](int row, int64_t x, int64_t low, int64_t high) {
        inputs.put(row, lane, std::clamp(x, low, high));
    };
    for (int i = 0; i < count; ++i) {
        put(i, (delta[i] * kOne) >> exponent, -kTop, kTop);
        put(count + i, (seen.points[i][lane] & 1) * kOne, 0, kOne);
    }
    put(2 * count, seen.scale[lane], -kTop, kTop);
    put(2 * count + 1, (log2x16(std::abs(about) + step) - log_step) >> 1, 0, kTop);
    put(2 * count + 2, (about * kOne) >> exponent, -4 * kOne, 4 * kOne);
    if (mean) put(2 * count + 3, seen.share[lane] - kShares / 2, -kTop, kTop);
}

// Predictions and classes of a block.
template<typename LatticeT, typename InputsT>
NVDB_LANES void predictBlock(const Net& net, Seen& seen, int count, int64_t step, int64_t log_step, int32_t* predictions,
    int32_t* classes)
{
    InputsT inputs;
    IntLanes out[kOutputs];
    if (!lookNarrow<LatticeT>(seen, count, int32_t(step), int32_t(log_step), inputs))
        for (int lane = 0; lane < kBlock; ++lane) lookWide<LatticeT>(seen, lane, count, step, log_step, inputs);
    forward(net, inputs, out);
    clamped(out[0], -(1 << 13), 1 << 13);
    for (int lane = 0; lane < kBlock; ++lane) {
        const int64_t found = seen.base[lane] + ((int64_t(out[0][lane]) << seen.exponent[lane]) >> 8);
        predictions[lane] = int32_t(std::clamp<int64_t>(found, -kMaxPrediction, kMaxPrediction));
    }
    IntLanes kind = ((seen.scale + out[1]) >> 2) + 16;
    clamped(kind, 0, 63);
    std::memcpy(classes, &kind, sizeof(kind));
}

NVDB_CLONES inline void predictBlock(Sample, const Net& net, Seen& seen, int count, int64_t step, int64_t log_step,
    int32_t* predictions, int32_t* classes)
{
    predictBlock<Sample, FloatInputs>(net, seen, count, step, log_step, predictions, classes);
}

NVDB_CLONES inline void predictBlock(Inside, const Net& net, Seen& seen, int count, int64_t step, int64_t log_step,
    int32_t* predictions, int32_t* classes)
{
    predictBlock<Inside, FloatInputs>(net, seen, count, step, log_step, predictions, classes);
}

NVDB_CLONES inline void predictBlock(Mean, const Net& net, Seen& seen, int count, int64_t step, int64_t log_step,
    int32_t* predictions, int32_t* classes)
{
    predictBlock<Mean, FloatInputs>(net, seen, count, step, log_step, predictions, classes);
}

#ifdef NVDB_BYTES

template<typename LatticeT>
NVDB_BYTES inline void predictBytes(LatticeT, const Net& net, Seen& seen, int count, int64_t step, int64_t log_step,
    int32_t* predictions, int32_t* classes)
{
    predictBlock<LatticeT, ByteInputs>(net, seen, count, step, log_step, predictions, classes);
}

#endif

// Fills a block of what points see with gather(point, place in a Neighbourhood, block, lane), two blocks before the
// first of them is worked on: what has just been written number by number cannot be read as a vector without waiting.
template<typename LatticeT, typename GatherT>
inline void predictBlocks(LatticeT lattice, const Net& net, const int16_t* places, size_t first, size_t last, int count,
    int64_t step, int32_t* predictions, uint8_t* classes, GatherT gather)
{
    std::array<Seen, 2> seen{};
    const int64_t log_step = log2x16(step);
    for (size_t i = first; i < last; i += 2 * kBlock) {
        const size_t end = std::min(i + 2 * kBlock, last);
        for (size_t point = i; point < end; ++point) {
            const int place = places[point];
            const int from = (((place >> 6) + kPad) * kPadded + (place >> 3 & 7) + kPad) * kPadded + (place & 7) + kPad;
            gather(point, from, seen[(point - i) / kBlock], (point - i) % kBlock);
        }
        for (size_t block = i; block < end; block += kBlock) {
            int32_t found[kBlock], kinds[kBlock];
            Seen& mine = seen[(block - i) / kBlock];
#ifdef NVDB_BYTES
            if (net.bytes) predictBytes(lattice, net, mine, count, step, log_step, found, kinds);
            else
#endif
                predictBlock(lattice, net, mine, count, step, log_step, found, kinds);
            for (size_t point = block; point < std::min(block + kBlock, end); ++point) {
                predictions[point] = found[point - block];
                classes[point] = uint8_t(kinds[point - block]);
            }
        }
    }
}

// Predictions and classes of points `first` to `last`, which must be sorted by row.
inline void predictRange(const LevelView& level, const Net& net, const int32_t* rows, const int16_t* places, size_t first,
    size_t last, int axis, int phase, int64_t step, bool inside, int32_t* predictions, uint8_t* classes)
{
    const auto offsets = stencil(axis, phase);
    const int count = offsets.count;
    const auto reach = [&](int other) {
        return other == axis ? Reach(3, phase ? 1 : 2) : other < axis ? Reach(1) : Reach(2, 2);
    };
    Neighbourhood near({reach(0), reach(1), reach(2)});
    int64_t loaded = -1;
    const auto gather = [&](size_t point, int from, Seen& seen, int lane) {
        if (rows[point] != loaded) near.load(level, loaded = rows[point], axis);
        const int32_t* points = near.points() + from;
        for (int i = 0; i < count; ++i) at(seen.points[i])[lane] = points[offsets[i]];
    };
    if (inside) predictBlocks(Inside(), net, places, first, last, count, step, predictions, classes, gather);
    else predictBlocks(Sample(), net, places, first, last, count, step, predictions, classes, gather);
}

// The same for cells of the mean lattice; `gaps` has the differences known so far.
inline void predictMeanRange(const LevelView& level, const LevelView& gaps, const uint8_t* share, const Net& net,
    const int32_t* rows, const int16_t* places, size_t first, size_t last, int axis, int phase, int64_t step,
    int32_t* predictions, uint8_t* classes)
{
    const int stride[3] = {kPadded * kPadded, kPadded, 1};
    const int units[3] = {stride[axis], stride[axis == 0 ? 1 : 0], stride[axis == 2 ? 1 : 2]};
    Offsets offsets;
    for (int a = -2; a <= 2; ++a)
        for (int i = -1; i <= 1; ++i)
            for (int j = -1; j <= 1; ++j) offsets.add(a * units[0] + i * units[1] + j * units[2]);
    if (phase) {
        for (int unit : units) {
            offsets.add(-unit);
            offsets.add(unit);
        }
    }
    const int count = offsets.count;
    const auto reach = [&](int other) { return Reach(other == axis ? 2 : 1); };
    Neighbourhood near({reach(0), reach(1), reach(2)});
    Neighbourhood around({Reach(1), Reach(1), Reach(1)});
    int64_t loaded = -1;
    predictBlocks(Mean(), net, places, first, last, count, step, predictions, classes,
        [&](size_t point, int from, Seen& seen, int lane) {
            if (rows[point] != loaded) {
                near.load(level, loaded = rows[point]);
                if (phase) around.load(gaps, loaded);
            }
            const int32_t *means = near.points() + from, *differences = around.points() + from;
            for (int i = 0; i < kMeanKnown; ++i) at(seen.points[i])[lane] = means[offsets[i]];
            for (int i = kMeanKnown; i < count; ++i) at(seen.points[i])[lane] = differences[offsets[i]];
            seen.share[lane] = share[size_t(rows[point]) * 512 + size_t(places[point])];
        });
}

} // namespace nvdb
