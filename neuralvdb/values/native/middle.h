// Twin of values/lattice/sample_inputs.py, values/lattice/mean_inputs.py and values/lattice/inputs.py: inputs of a block of
// points in 32 bits, where 16 do not suffice (look.h) and 64 are not needed (wide.h). Same integers.
#pragma once

#include "wide.h"

namespace nvdb {
namespace NVDB_ISA {

constexpr int kMiddle = 1 << 21; // values, less the brick's reference, are smaller

// What is around a brick, up to kHalo away: twice the value, less a reference, plus the active flag.
struct Cube {
    alignas(32) int32_t points[kLine * kLine * kLine];

    static int indexOf(int x, int y, int z) { return ((x + kHalo) * kLine + y + kHalo) * kLine + z + kHalo; }
    static int indexOf(int offset) { return indexOf(offset >> 6, offset >> 3 & 7, offset & 7); }

    // Takes what is up to `farthest` away; whether all of it is small enough.
    bool make(const LevelView& level, const Around& around, int32_t reference, int farthest) {
        const int first = kHalo - farthest, last = kHalo + kEdge + farthest;
        int32_t large = 0;
        for (int i = first; i < last; ++i)
            for (int j = first; j < last; ++j) {
                const int64_t cells = around.cells[0][i] + around.cells[1][j], inside = around.inside[0][i] + around.inside[1][j];
                int32_t* to = points + (i * kLine + j) * kLine;
                const auto take = [&](int k, int64_t from) {
                    const auto x = int32_t(uint32_t(level.values[from]) - uint32_t(reference));
                    large |= x ^ (x >> 31);
                    to[k] = int32_t(uint32_t(x) << 1 | (level.active[from] & 1));
                };
                const auto beside = [&](int k) {
                    take(k, int64_t(level.table[cells + around.cells[2][k]]) * kSlots + inside + around.inside[2][k]);
                };
                for (int k = first; k < kHalo; ++k) beside(k);
                const int64_t middle = int64_t(level.table[cells + around.cells[2][kHalo]]) * kSlots + inside;
                for (int k = 0; k < kEdge; ++k) take(kHalo + k, middle + k);
                for (int k = kHalo + kEdge; k < last; ++k) beside(k);
            }
        return large < kMiddle;
    }
};

// What points of a block see, of cubes.
struct MiddleBlock {
    alignas(32) int32_t points[kMaxPoints][kBlock];
    alignas(32) int32_t reference[kBlock];
    alignas(32) int16_t share[kBlock];
    size_t index[kBlock];
    int count = 0;

    // The lanes that have no points get those of the first one.
    void fill(int seen) {
        for (int lane = count; lane < kBlock; ++lane) {
            for (int i = 0; i < seen; ++i) points[i][lane] = points[i][0];
            reference[lane] = reference[0];
            share[lane] = share[0];
        }
    }
};

// What the base is made from: the centre itself, or what four points along the axis say of it.
template<Rule kRule>
inline Ints middleCentre(const Ints* line, const Ints* flags) {
    if (kRule == Rule::mean) return line[1];
    Ints x[4] = {line[0], line[1], line[2], line[3]};
    if (kRule == Rule::activeOnly) extend(x, flags);
    return (9 * (x[1] + x[2]) - x[0] - x[3] + 8) >> 4;
}

// Inputs of a block of points; false where numbers might leave 32 bits.
template<Rule kRule>
inline bool lookMiddle(const Coding& coding, const MiddleBlock& block, Inputs& inputs, Scaled& scaled) {
    using Doubles = Vector<double, 8>;
    constexpr bool mean = kRule == Rule::mean, masked = kRule != Rule::sample;
    Ints seen[kMaxPoints][2], centre[2], all = Ints{} + 1;
    for (int i = 0; i < coding.points; ++i) halves(block.points[i], seen[i]);
    for (int half = 0; half < 2; ++half) {
        Ints line[4], flags[4], sum{}, count = Ints{} + 1;
        for (int i = 0; i < (mean ? 3 : 4); ++i) {
            line[i] = seen[coding.line[i]][half] >> 1;
            flags[i] = -(seen[coding.line[i]][half] & 1);
        }
        centre[half] = middleCentre<kRule>(line, flags);
        for (int g = 0; g < coding.group_count; ++g) {
            const Group& group = coding.groups[g];
            for (int i = group.begin; i < group.end; ++i) {
                const Ints active = -(seen[i][half] & 1);
                all &= seen[i][half];
                Ints distance = seen[i][half] >> 1;
                if (group.centred) distance -= centre[half];
                if (masked) distance &= active;
                seen[i][half] = distance;
                if (!group.scaling) continue;
                sum += (distance < 0 ? -distance : distance) & active;
                count -= active;
            }
        }
        const Doubles quotient = NVDB_CONVERT(sum, Doubles) / NVDB_CONVERT(count, Doubles);
        const Ints sigma = NVDB_CONVERT(quotient, Ints) + int32_t(coding.step >> 2);
        Ints reference[2];
        halves(block.reference, reference);
        scaled.base[half] = mean ? (seen[coding.line[0]][half] - seen[coding.line[2]][half]) >> 2 : centre[half] + reference[half];
        centre[half] += reference[half];
        const Ints size = centre[half] < 0 ? -centre[half] : centre[half];
        if (any((sigma >= 1 << 24) | (size + int32_t(coding.step) >= 1 << 24))) return false;
        const Ints log = logs(sigma < 1 ? Ints{} + 1 : sigma);
        scaled.scale[half] = log - int32_t(coding.log_step);
        scaled.exponent[half] = log >> kLogBits;
    }
    scaled.all_active = !any(~all & 1);
    for (int i = 0; i < coding.points; ++i) {
        for (int half = 0; half < 2; ++half)
            seen[i][half] = clamped((seen[i][half] * kOne) >> scaled.exponent[half], -kMaxInput, kMaxInput);
        inputs.numbers[i] = narrowed(seen[i]);
    }
    putScales(coding, block.share, centre, scaled, inputs);
    for (int i = 0; i < coding.points && !scaled.all_active; ++i) {
        Ints flags[2];
        halves(block.points[i], flags);
        for (Ints& flag : flags) flag = (flag & 1) * kOne;
        inputs.numbers[inputs.with_sign + i] = narrowed(flags);
    }
    return true;
}

} // namespace NVDB_ISA
} // namespace nvdb
