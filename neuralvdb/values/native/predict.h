// Twin of values/lattice/sample_inputs.py, values/lattice/mean_inputs.py, values/lattice/inputs.py and
// values/lattice/network.py: predictions and scale classes of the points of a pass. Same integers, point for point; see
// those modules for what is computed and why.
#pragma once

#include "layout.h"
#include "network.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace nvdb {

inline int bitLength(int64_t x) { return 64 - __builtin_clzll(uint64_t(x)); }

inline int64_t log2x16(int64_t x) {
    const int exponent = bitLength(x) - 1;
    return (int64_t(exponent) << kLogBits) + (((x << kLogBits) >> exponent) - (1 << kLogBits));
}

// A pass: what its points see. groups: of the layout; line: of its points, those that make the base.
struct Coding {
    const Group* groups;
    int group_count, points, line[4];
    int64_t step, log_step;
    int32_t narrow; // magnitudes below which sums over a neighbourhood stay within 32 bits

    Coding(const InputLayout& layout, Rule rule, int64_t step)
        : groups(layout.groups.data()), group_count(int(layout.groups.size())), points(layout.points()), line{}, step(step),
          log_step(log2x16(step)), narrow(rule == Rule::activeOnly ? 1 << 22 : 1 << 24)
    {
        std::copy(layout.line.begin(), layout.line.end(), line);
        for (int count = 48; count < layout.scaling(); count *= 2) narrow >>= 1;
    }
};

// What a block of points sees around it, points side by side, as in a Neighbourhood; `share` is the mean lattice's.
struct Seen {
    IntLanes points[kMaxPoints];
    int32_t share[kBlock];
    IntLanes base, exponent, scale;
};

inline int32_t* at(IntLanes& lanes) { return reinterpret_cast<int32_t*>(&lanes); }

// Four points on a line, those that are not active extrapolated (sample_inputs.extended); on: all bits set or none.
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
NVDB_LANES void exponents(const IntLanes& x, IntLanes& exponent) {
    const Lanes rounded = NVDB_CONVERT(x & ~(x >> 1), Lanes);
    std::memcpy(&exponent, &rounded, sizeof(exponent));
    exponent = (exponent >> 23) - 127;
}

// log2 of 0 < x < 2^27 in 1/16, linear between powers of two.
NVDB_LANES void logs(const IntLanes& x, IntLanes& log) {
    IntLanes exponent;
    exponents(x, exponent);
    log = (exponent << kLogBits) + ((x << kLogBits) >> exponent) - (1 << kLogBits);
}

// Inputs of a block of points, where all numbers are below coding.narrow; else nothing is done and the answer is false.
template<Rule kRule, typename InputsT>
NVDB_LANES bool lookNarrow(const Coding& coding, Seen& seen, InputsT& inputs) {
    constexpr bool mean = kRule == Rule::mean, masked = kRule != Rule::sample;
    const int points = coding.points;
    IntLanes distance[kMaxPoints], size{}, sum{}, count = IntLanes{} + 1;
    for (int i = 0; i < points; ++i) {
        distance[i] = seen.points[i] >> 1;
        size |= distance[i] ^ (distance[i] >> 31);
    }
    for (int lane = 0; lane < kBlock; ++lane)
        if (size[lane] >= coding.narrow) return false;
    IntLanes centre;
    if (mean) {
        centre = distance[coding.line[1]];
    }
    else {
        IntLanes line[4], on[4];
        for (int i = 0; i < 4; ++i) {
            line[i] = distance[coding.line[i]];
            on[i] = -(seen.points[coding.line[i]] & 1);
        }
        if (masked) extend(line, on);
        centre = (9 * (line[1] + line[2]) - line[0] - line[3] + 8) >> 4;
    }
    for (int g = 0; g < coding.group_count; ++g) {
        const Group& group = coding.groups[g];
        const bool centred = group.centred, scaling = group.scaling;
        for (int i = group.begin; i < group.end; ++i) {
            const IntLanes active = seen.points[i] & 1;
            if (centred) distance[i] -= centre;
            if (masked) distance[i] *= active;
            if (scaling) {
                const IntLanes magnitude = distance[i] < 0 ? -distance[i] : distance[i];
                sum += masked ? magnitude : magnitude * active;
                count += active;
            }
        }
    }
    seen.base = mean ? (distance[coding.line[0]] - distance[coding.line[2]]) >> 2 : centre;
    const DoubleLanes whole = NVDB_CONVERT(sum, DoubleLanes) / NVDB_CONVERT(count, DoubleLanes);
    IntLanes sigma = NVDB_CONVERT(whole, IntLanes) + int32_t(coding.step >> 2);
    sigma = sigma < 1 ? IntLanes{} + 1 : sigma;
    exponents(sigma, seen.exponent);
    logs(sigma, seen.scale);
    seen.scale -= int32_t(coding.log_step);
    for (int i = 0; i < points; ++i) {
        IntLanes x = (distance[i] * kOne) >> seen.exponent;
        clamped(x, -kMaxInput, kMaxInput);
        inputs.put(i, x);
        inputs.put(points + i, (seen.points[i] & 1) * kOne);
    }
    IntLanes x = seen.scale, large;
    clamped(x, -kMaxInput, kMaxInput);
    inputs.put(2 * points, x);
    logs((centre < 0 ? -centre : centre) + int32_t(coding.step), large);
    large = (large - int32_t(coding.log_step)) >> 1;
    clamped(large, 0, kMaxInput);
    inputs.put(2 * points + 1, large);
    x = (centre * kOne) >> seen.exponent;
    clamped(x, -4 * kOne, 4 * kOne);
    inputs.put(2 * points + 2, x);
    if (mean) {
        std::memcpy(&x, seen.share, sizeof(x));
        inputs.put(2 * points + 3, x - kShares / 2);
    }
    return true;
}

// The same, whatever the magnitudes, for one point of the block.
template<Rule kRule, typename InputsT>
inline void lookWide(const Coding& coding, Seen& seen, int lane, InputsT& inputs) {
    constexpr bool mean = kRule == Rule::mean, masked = kRule != Rule::sample;
    const int points = coding.points;
    int64_t distance[kMaxPoints], sum = 0, count = 1, centre;
    for (int i = 0; i < points; ++i) distance[i] = seen.points[i][lane] >> 1;
    if (mean) {
        centre = distance[coding.line[1]];
    }
    else {
        int64_t line[4], on[4];
        for (int i = 0; i < 4; ++i) {
            line[i] = distance[coding.line[i]];
            on[i] = -int64_t(seen.points[coding.line[i]][lane] & 1);
        }
        if (masked) extend(line, on);
        centre = std::clamp((9 * (line[1] + line[2]) - line[0] - line[3] + 8) >> 4, -kMaxBase, kMaxBase);
    }
    for (int g = 0; g < coding.group_count; ++g) {
        const Group& group = coding.groups[g];
        for (int i = group.begin; i < group.end; ++i) {
            const int64_t active = seen.points[i][lane] & 1;
            if (group.centred) distance[i] -= centre;
            if (masked) distance[i] *= active;
            if (group.scaling) sum += std::abs(distance[i]) * active, count += active;
        }
    }
    const int64_t sigma = std::max<int64_t>(sum / count + (coding.step >> 2), 1), exponent = bitLength(sigma) - 1;
    seen.base[lane] = int32_t(mean ? (distance[coding.line[0]] - distance[coding.line[2]]) >> 2 : centre);
    seen.exponent[lane] = int32_t(exponent);
    seen.scale[lane] = int32_t(log2x16(sigma) - coding.log_step);
    const auto put = [&](int row, int64_t x, int64_t low, int64_t high) {
        inputs.put(row, lane, std::clamp(x, low, high));
    };
    for (int i = 0; i < points; ++i) {
        put(i, (distance[i] * kOne) >> exponent, -kMaxInput, kMaxInput);
        put(points + i, (seen.points[i][lane] & 1) * kOne, 0, kOne);
    }
    put(2 * points, seen.scale[lane], -kMaxInput, kMaxInput);
    put(2 * points + 1, (log2x16(std::abs(centre) + coding.step) - coding.log_step) >> 1, 0, kMaxInput);
    put(2 * points + 2, (centre * kOne) >> exponent, -4 * kOne, 4 * kOne);
    if (mean) put(2 * points + 3, seen.share[lane] - kShares / 2, -kMaxInput, kMaxInput);
}

// Predictions and scale classes of a block.
template<Rule kRule, typename InputsT>
NVDB_LANES void predictBlock(const Net& net, const Coding& coding, Seen& seen, int32_t* predictions, int32_t* scale_classes)
{
    InputsT inputs(2 * coding.points + kMaxScales);
    IntLanes out[kOutputs];
    if (!lookNarrow<kRule>(coding, seen, inputs))
        for (int lane = 0; lane < kBlock; ++lane) lookWide<kRule>(coding, seen, lane, inputs);
    forward(net, inputs, out);
    clamped(out[0], -kMaxOffset, kMaxOffset);
    for (int lane = 0; lane < kBlock; ++lane) {
        const int64_t predicted = seen.base[lane] + (out[0][lane] * (int64_t(1) << seen.exponent[lane]) >> kOffsetBits);
        predictions[lane] = int32_t(std::clamp<int64_t>(predicted, -kMaxPrediction, kMaxPrediction));
    }
    IntLanes scale_class = ((seen.scale + out[1]) >> 2) + kClassOfOneStep;
    clamped(scale_class, 0, kScaleClasses - 1);
    std::memcpy(scale_classes, &scale_class, sizeof(scale_class));
}

// Clones for several processors are made of functions that are no templates.
#define NVDB_PREDICT_FLOATS(NAME, RULE)                                                                                     \
    NVDB_CLONES inline void NAME(const Net& net, const Coding& coding, Seen& seen, int32_t* predictions,                    \
        int32_t* scale_classes)                                                                                             \
    {                                                                                                                       \
        predictBlock<RULE, FloatInputs>(net, coding, seen, predictions, scale_classes);                                     \
    }
NVDB_PREDICT_FLOATS(predictSample, Rule::sample)
NVDB_PREDICT_FLOATS(predictActiveOnly, Rule::activeOnly)
NVDB_PREDICT_FLOATS(predictMean, Rule::mean)
#undef NVDB_PREDICT_FLOATS

#ifdef NVDB_AVX2

template<Rule kRule>
NVDB_AVX2 inline void predictPairs(const Net& net, const Coding& coding, Seen& seen, int32_t* predictions,
    int32_t* scale_classes)
{
    predictBlock<kRule, PairInputs>(net, coding, seen, predictions, scale_classes);
}

#endif

#ifdef NVDB_BYTES

template<Rule kRule>
NVDB_BYTES inline void predictBytes(const Net& net, const Coding& coding, Seen& seen, int32_t* predictions,
    int32_t* scale_classes)
{
    predictBlock<kRule, ByteInputs>(net, coding, seen, predictions, scale_classes);
}

#endif

using PredictBlock = void (*)(const Net&, const Coding&, Seen&, int32_t*, int32_t*);

inline PredictBlock blockPredictor(Rule rule, [[maybe_unused]] Products products) {
#ifdef NVDB_BYTES
    if (products == Products::bytes) {
        return rule == Rule::mean ? predictBytes<Rule::mean>
            : rule == Rule::activeOnly ? predictBytes<Rule::activeOnly> : predictBytes<Rule::sample>;
    }
#endif
#ifdef NVDB_AVX2
    if (products == Products::pairs) {
        return rule == Rule::mean ? predictPairs<Rule::mean>
            : rule == Rule::activeOnly ? predictPairs<Rule::activeOnly> : predictPairs<Rule::sample>;
    }
#endif
    return rule == Rule::mean ? predictMean : rule == Rule::activeOnly ? predictActiveOnly : predictSample;
}

// What predictors see: levels with the same table and cells, and the mean lattice's share.
struct View {
    std::vector<LevelView> sources;
    const uint8_t* share;
};

// A pass: what is seen, in which layout, and the network. axis: of the pass whose points must not be seen before they are
// coded, kNoAxis for cells.
struct Pass {
    View view;
    const InputLayout* layout;
    const Net* net;
    Rule rule;
    int axis;
    int64_t step;
};

struct Targets {
    const int32_t* bricks;
    const int16_t* places;
    size_t first, last; // of those, which are to be predicted; sorted by brick
};

// Predictions and scale classes of points. Two blocks are gathered before the networks run, so that what bricks hold
// stays in the cache. Takes no memory (nets/native/parallel.h).
inline void predictRange(const Pass& pass, const Targets& targets, int32_t* predictions, uint8_t* scale_classes) {
    const View& view = pass.view;
    const InputLayout& layout = *pass.layout;
    const Coding coding(layout, pass.rule, pass.step);
    const PredictBlock predict = blockPredictor(pass.rule, pass.net->products);
    const int sources = int(view.sources.size());
    std::array<Neighbourhood, kMaxSources> near;
    for (int source = 0; source < sources; ++source)
        near[source].look(layout.reach(source, targets.places + targets.first, targets.last - targets.first));
    std::array<Seen, 2> seen{};
    int64_t loaded = -1;
    const auto gather = [&](size_t point, Seen& block, int lane) {
        const int32_t brick = targets.bricks[point];
        const int place = targets.places[point];
        if (brick != loaded) {
            loaded = brick;
            for (int source = 0; source < sources; ++source) near[source].load(view.sources[source], brick, pass.axis);
        }
        const int from = (((place >> 6) + kPad) * kPadded + (place >> 3 & 7) + kPad) * kPadded + (place & 7) + kPad;
        for (const Group& group : layout.groups) {
            const int32_t* points = near[group.source].points() + from;
            for (int i = group.begin; i < group.end; ++i) at(block.points[i])[lane] = points[layout.distances[i]];
        }
        if (view.share) block.share[lane] = view.share[size_t(brick) * kSlots + size_t(place)];
    };
    for (size_t i = targets.first; i < targets.last; i += 2 * kBlock) {
        const size_t end = std::min(i + 2 * kBlock, targets.last);
        for (size_t point = i; point < end; ++point) gather(point, seen[(point - i) / kBlock], (point - i) % kBlock);
        for (size_t begin = i; begin < end; begin += kBlock) {
            int32_t values[kBlock], classes[kBlock];
            predict(*pass.net, coding, seen[(begin - i) / kBlock], values, classes);
            for (size_t point = begin; point < std::min(begin + kBlock, end); ++point) {
                predictions[point] = values[point - begin];
                scale_classes[point] = uint8_t(classes[point - begin]);
            }
        }
    }
}

// Predictions and scale classes of all targets, on several threads; compiled once, in module.cc.
void predictAll(const Pass& pass, const Targets& targets, size_t threads, int32_t* predictions, uint8_t* scale_classes);

} // namespace nvdb
