// Twin of values/lattice/sample_inputs.py, values/lattice/mean_inputs.py and values/lattice/inputs.py: inputs of one point,
// whatever its layout and however large the numbers around it. Slow; look.h does what it can instead.
#pragma once

#include "product.h"

#include <algorithm>
#include <cstdlib>

namespace nvdb {
namespace NVDB_ISA {

inline int bitLength(int64_t x) { return 64 - __builtin_clzll(uint64_t(x)); }

inline int64_t log2x16(int64_t x) {
    const int exponent = bitLength(x) - 1;
    return (int64_t(exponent) << kLogBits) + (((x << kLogBits) >> exponent) - (1 << kLogBits));
}

// What a point sees in 64 bits.
struct WideSeen {
    int64_t distance[kMaxPoints], active[kMaxPoints];
};

// Where the coordinates around a brick lie: along each axis, the distances in the table and within a brick.
struct Around {
    static constexpr int kFar = kHalo, kCount = kEdge + 2 * kFar;
    int64_t brick = -1, cells[3][kCount], inside[3][kCount];

    void find(const Coding& coding, int64_t which) {
        brick = which;
        const LevelView& level = coding.sources[0];
        const int64_t strides[3] = {level.shape[1] * level.shape[2], level.shape[2], 1};
        for (int a = 0; a < 3; ++a) {
            for (int i = 0; i < kCount; ++i) {
                const int64_t at = coordinate(coding, level, a, level.cells[3 * brick + a] * int64_t(kEdge) - kFar + i);
                cells[a][i] = (at >> 3) * strides[a];
                inside[a][i] = (at & 7) << (6 - 3 * a);
            }
        }
    }
};

inline void gatherWide(const Coding& coding, const Around& around, int offset, WideSeen& to) {
    const int x = (offset >> 6) + Around::kFar, y = (offset >> 3 & 7) + Around::kFar, z = (offset & 7) + Around::kFar;
    for (int g = 0; g < coding.group_count; ++g) {
        const LevelView& level = coding.sources[coding.groups[g].source];
        for (int i = coding.groups[g].begin; i < coding.groups[g].end; ++i) {
            const int a = x + coding.offsets[i][0], b = y + coding.offsets[i][1], c = z + coding.offsets[i][2];
            const int64_t cell = around.cells[0][a] + around.cells[1][b] + around.cells[2][c];
            const int64_t inside = around.inside[0][a] + around.inside[1][b] + around.inside[2][c];
            const int64_t from = int64_t(level.table[cell]) * kSlots + inside;
            to.distance[i] = level.packed ? level.packed[from] >> 1 : level.values[from];
            to.active[i] = (level.packed ? level.packed[from] : level.active[from]) & 1;
        }
    }
}

// What predictions of a point are made from.
struct WideScaled {
    int64_t base, exponent, scale;
};

inline int64_t wideCentre(const Coding& coding, const WideSeen& seen) {
    if (coding.rule == Rule::mean) return seen.distance[coding.line[1]];
    int64_t line[4], on[4];
    for (int i = 0; i < 4; ++i) {
        line[i] = seen.distance[coding.line[i]];
        on[i] = -seen.active[coding.line[i]];
    }
    if (coding.rule == Rule::activeOnly) extend(line, on);
    return std::clamp((9 * (line[1] + line[2]) - line[0] - line[3] + 8) >> 4, -kMaxBase, kMaxBase);
}

// Inputs of a point as those of one lane of a block; share: the mean lattice's.
inline WideScaled lookWide(const Coding& coding, WideSeen& seen, int share, int lane, Inputs& inputs) {
    const bool mean = coding.rule == Rule::mean, masked = coding.rule != Rule::sample;
    const int points = coding.points;
    const int64_t centre = wideCentre(coding, seen);
    int64_t sum = 0, count = 1;
    for (int g = 0; g < coding.group_count; ++g) {
        const Group& group = coding.groups[g];
        for (int i = group.begin; i < group.end; ++i) {
            if (group.centred) seen.distance[i] -= centre;
            if (masked) seen.distance[i] *= seen.active[i];
            if (group.scaling) sum += std::abs(seen.distance[i]) * seen.active[i], count += seen.active[i];
        }
    }
    const int64_t sigma = std::max<int64_t>(sum / count + (coding.step >> 2), 1);
    WideScaled scaled{centre, bitLength(sigma) - 1, log2x16(sigma) - coding.log_step};
    if (mean) scaled.base = (seen.distance[coding.line[0]] - seen.distance[coding.line[2]]) >> 2;
    const auto put = [&](int number, int64_t x, int64_t low, int64_t high) {
        inputs.numbers[number][lane] = int16_t(std::clamp(x, low, high));
    };
    for (int i = 0; i < points; ++i) {
        put(i, (seen.distance[i] * kOne) >> scaled.exponent, -kMaxInput, kMaxInput);
        put(inputs.with_sign + i, seen.active[i] * kOne, 0, kOne);
    }
    put(points, scaled.scale, -kMaxInput, kMaxInput);
    put(points + 1, (log2x16(std::abs(centre) + coding.step) - coding.log_step) >> 1, 0, kMaxInput);
    put(points + 2, (centre * kOne) >> scaled.exponent, -4 * kOne, 4 * kOne);
    if (mean) put(points + 3, share - kShares / 2, -kMaxInput, kMaxInput);
    return scaled;
}

} // namespace NVDB_ISA
} // namespace nvdb
