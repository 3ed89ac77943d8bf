// Twin of values/lattice/sample_inputs.py, values/lattice/mean_inputs.py and values/lattice/inputs.py (normalise): inputs of
// a block of points in 16 bits. Same integers; where numbers might not fit, the answer is no and wide.h does it.
#pragma once

#include "lines.h"

namespace nvdb {
namespace NVDB_ISA {

// A network's inputs for a block: values and scales, then active flags; zeros fill numbers of 32 bits (network.h).
struct Inputs {
    Shorts numbers[2 * kMaxPoints + kMaxScales + 8];
    int with_sign, count;

    explicit Inputs(const Coding& coding)
        : numbers{}, with_sign((coding.points + coding.scales + 3) / 4 * 4), count(with_sign + (coding.points + 3) / 4 * 4) {}
};

// What else predictions of a block are made from. reference: of each point, added to its base.
struct Scaled {
    Ints base[2], exponent[2], scale[2];
    bool all_active;
};

struct Block {
    Seen seen;
    Eight stretches[kBlock][9]; // become columns of `seen`
    alignas(32) int32_t reference[kBlock];
    alignas(32) int16_t share[kBlock];
    size_t index[kBlock];
    int count = 0;
};

// Four points on a line, those that are not active extrapolated (sample_inputs.extended); on: all bits set or none.
template<typename T>
inline void extend(T* line, const T* on) {
    const T far = line[0], near = line[1], beyond = line[2], last = line[3], bend = 3 * (near - beyond);
    const auto pick = [](const T& mask, const T& yes, const T& no) { return (mask & yes) | (~mask & no); };
    line[1] = pick(on[1], near, pick(on[2] & on[3], 2 * beyond - last, beyond));
    line[2] = pick(on[2], beyond, pick(on[0] & on[1], 2 * near - far, near));
    line[0] = pick(on[0], far, pick(on[1] & on[2] & on[3], bend + last, 2 * line[1] - line[2]));
    line[3] = pick(on[3], last, pick(on[0] & on[1] & on[2], far - bend, 2 * line[2] - line[1]));
}

// 2 to the power of `exponent`.
inline Ints powers(Ints exponent) { return NVDB_CONVERT(bits<Floats>((exponent + 127) << 23), Ints); }

// log2 of 0 < x < 2^24 in 1/16, linear between powers of two: the highest bits of x as a float.
inline Ints logs(Ints x) { return (bits<Ints>(NVDB_CONVERT(x, Floats)) >> (23 - kLogBits)) - (127 << kLogBits); }

// What the base of the sample lattice is made from: four points along the axis.
template<Rule kRule>
inline void interpolate(const Coding& coding, const Seen& seen, Ints* base) {
    Ints line[4][2], on[4][2];
    for (int i = 0; i < 4; ++i) {
        const Shorts x = loaded<Shorts>(seen.points[coding.line[i]]);
        widened(x >> 1, line[i]);
        widened(-(x & 1), on[i]);
    }
    for (int half = 0; half < 2; ++half) {
        Ints x[4] = {line[0][half], line[1][half], line[2][half], line[3][half]};
        const Ints active[4] = {on[0][half], on[1][half], on[2][half], on[3][half]};
        if (kRule == Rule::activeOnly) extend(x, active);
        base[half] = (9 * (x[1] + x[2]) - x[0] - x[3] + 8) >> 4;
    }
}

// Distances of points from the centre, and sums over those that are known; low: the sum's lowest 16 bits.
struct Distances {
    Shorts of[kMaxPoints], coarse{}, count{}, all = Shorts{} + 1;
    Wrapping low{};

    // `coarse` lacks less than 64 for each point, so that 16 bits tell how much.
    void sum(Ints* to) const {
        Ints rest[2];
        widenedUnsigned(bits<Shorts>(low - (bits<Wrapping>(coarse) << 6)), rest);
        widened(coarse, to);
        for (int half = 0; half < 2; ++half) to[half] = (to[half] << 6) + rest[half];
    }
};

template<Rule kRule>
inline void measure(const Coding& coding, const Seen& seen, Shorts centre, Distances& to) {
    constexpr bool mean = kRule == Rule::mean, masked = kRule != Rule::sample;
    constexpr int known = mean ? 45 : 36;
    for (int i = 0; i < known; ++i) {
        const Shorts x = loaded<Shorts>(seen.points[i]), active = -(x & 1);
        Shorts distance = (x >> 1) - centre;
        if (masked) distance &= active;
        const Shorts size = distance < 0 ? -distance : distance, counted = masked ? size : size & active;
        to.of[i] = distance;
        to.low += bits<Wrapping>(counted);
        to.coarse += counted >> 6;
        to.count -= active;
        to.all &= x;
    }
    for (int i = known; i < coding.points; ++i) {
        const Shorts x = loaded<Shorts>(seen.points[i]);
        to.of[i] = mean ? x >> 1 : (x >> 1) - centre;
        if (masked) to.of[i] &= -(x & 1);
        to.all &= x;
    }
}

// The inputs that are no points. centre: with its reference.
inline void putScales(const Coding& coding, const int16_t* share, const Ints* centre, const Scaled& scaled, Inputs& inputs) {
    Ints scale[2], large[2], middle[2];
    for (int half = 0; half < 2; ++half) {
        const Ints x = centre[half], size = x < 0 ? -x : x;
        scale[half] = clamped(scaled.scale[half], -kMaxInput, kMaxInput);
        large[half] = clamped((logs(size + int32_t(coding.step)) - int32_t(coding.log_step)) >> 1, 0, kMaxInput);
        middle[half] = clamped((x * kOne) >> scaled.exponent[half], -4 * kOne, 4 * kOne);
    }
    Shorts* to = inputs.numbers + coding.points;
    to[0] = narrowed(scale);
    to[1] = narrowed(large);
    to[2] = narrowed(middle);
    if (coding.rule == Rule::mean) to[3] = loaded<Shorts>(share) - kShares / 2;
}

// Inputs of a block of points; false where numbers might leave 16 bits.
template<Rule kRule>
inline bool look(const Coding& coding, const Block& block, Inputs& inputs, Scaled& scaled) {
    constexpr bool mean = kRule == Rule::mean;
    Ints centre[2];
    Shorts middle;
    if (mean) {
        middle = loaded<Shorts>(block.seen.points[coding.line[1]]);
        if (any(~middle & 1)) return false; // a cell that is not active may not fit
        middle >>= 1;
        widened(middle, centre);
    }
    else {
        interpolate<kRule>(coding, block.seen, centre);
        for (const Ints& x : centre)
            if (any((x > kLargest) | (x < -kLargest))) return false;
        middle = narrowed(centre);
    }
    Distances distances;
    measure<kRule>(coding, block.seen, middle, distances);
    scaled.all_active = !any(~distances.all & 1);
    Ints sum[2], count[2], reference[2], limit[2], first[2], second[2];
    distances.sum(sum);
    widened(distances.count, count);
    halves(block.reference, reference);
    for (int half = 0; half < 2; ++half) {
        const Floats quotient = NVDB_CONVERT(sum[half], Floats) / NVDB_CONVERT(count[half] + 1, Floats);
        const Ints sigma = NVDB_CONVERT(quotient, Ints) + int32_t(coding.step >> 2);
        if (any(sigma > 32767)) return false;
        const Ints log = logs(sigma < 1 ? Ints{} + 1 : sigma), exponent = log >> kLogBits;
        scaled.scale[half] = log - int32_t(coding.log_step);
        scaled.exponent[half] = exponent;
        limit[half] = powers(exponent + 3);
        limit[half] = limit[half] > 32767 ? Ints{} + 32767 : limit[half];
        const Ints higher = exponent < 6 ? Ints{} + 6 : exponent;
        first[half] = powers(higher - exponent);
        second[half] = powers(16 + kLogBits - higher);
        scaled.base[half] = centre[half] + reference[half];
        centre[half] = scaled.base[half];
    }
    const Shorts limits = narrowed(limit), up = narrowed(first), down = narrowed(second);
    for (int i = 0; i < coding.points; ++i) {
        Shorts x = distances.of[i];
        x = x < -limits ? -limits : x;
        x = x > limits ? limits : x; // beyond it is the largest input anyway
        inputs.numbers[i] = clamped(highProduct(x * up, down), -kMaxInput, kMaxInput);
    }
    putScales(coding, block.share, centre, scaled, inputs);
    if (!scaled.all_active)
        for (int i = 0; i < coding.points; ++i)
            inputs.numbers[inputs.with_sign + i] = (loaded<Shorts>(block.seen.points[i]) & 1) * kOne;
    if (mean) {
        Ints before[2], behind[2];
        widened(distances.of[coding.line[0]], before);
        widened(distances.of[coding.line[2]], behind);
        for (int half = 0; half < 2; ++half) scaled.base[half] = (before[half] - behind[half]) >> 2;
    }
    return true;
}

} // namespace NVDB_ISA
} // namespace nvdb
