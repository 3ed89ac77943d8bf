// Twin of values/lattice/inputs.py (gather): what is around a brick in 16 bits, in lines along the axis of a pass, so that
// what a point sees lies in nine short stretches.
#pragma once

#include "lanes.h"

namespace nvdb {
namespace NVDB_ISA {

constexpr int kHalo = 4, kLine = kEdge + 2 * kHalo, kSide = kEdge + 2; // coordinates -4 to 11 and -1 to 8
constexpr int kLargest = (1 << 14) - 1; // value, less the brick's reference

// Points as twice the value plus the active flag. A line lies at first * kSide + second, the coordinates on the other two
// axes plus 1, in units of what is known there: 1 or 2. On the sample lattice a line is the 8 known points, at -4, -2 to 10,
// and lines of the 8 others follow all of those; on the mean lattice it is all 16 cells.
template<bool kMean> constexpr int kWords = kMean ? kLine : kLine / 2; // of a line
constexpr int kOthers = kSide * kSide * kWords<false>;
struct Lines {
    alignas(64) int16_t points[2 * kOthers + 4 * kLine];
};

// Makes the lines of bricks of one source.
template<bool kMean>
class LineMaker {
public:
    LineMaker(const Coding& coding, const LevelView& level, int64_t brick, int32_t reference)
        : coding_(coding), level_(level), reference_(reference), both_(kMean || coding.group_count > 1)
    {
        const int32_t* cell = level.cells + 3 * brick;
        for (int axis = 0; axis < 3; ++axis)
            for (int i = 0; i < kLine; ++i)
                at_[axis][i] = coordinate(coding, level, axis, cell[axis] * int64_t(kEdge) - kHalo + i);
        cell_ = cell[2];
        inside_ = cell[2] > 0 && cell[2] + 1 < level.shape[2];
        for (int i = 0; i < kLine; ++i)
            needed_[i / 8][i % 8] = i > 1 && i < kLine - 2 + !kMean && ((both_ && (kMean || coding.along == 2)) || i % 2 == 0) ? -1 : 0;
    }

    // Whether all points that are needed fit into 16 bits.
    bool make(Lines& lines) {
        if (coding_.along == 2) {
            for (int i = 0; i < kSide; ++i)
                for (int j = 0; j < kSide; ++j) {
                    Eight line[2];
                    fetch(i + kHalo - 1, j + kHalo - 1, line);
                    int16_t* to = lines.points + (i * kSide + j) * kWords<kMean>;
                    const Eight first = kMean ? line[0] : evens(line[0], line[1]);
                    const Eight second = kMean ? line[1] : odds(line[0], line[1]);
                    std::memcpy(to, &first, sizeof(first));
                    std::memcpy(to + kSecond, &second, sizeof(second));
                }
        }
        else {
            const bool two = !kMean && coding_.along == 0; // units of the first of the other axes
            for (int i = 0; i < (two ? kEdge / 2 + 2 : kSide); ++i)
                makePlane(two ? 2 * i + kHalo - 2 : i + kHalo - 1, lines.points + i * kSide * kWords<kMean>);
        }
        return !any(over_ > kLargest);
    }

private:
    static constexpr int kSecond = kMean ? 8 : kOthers; // from the first 8 numbers of a line to the others

    // Lines along x or y that have the same coordinate y or x: those along z, turned.
    void makePlane(int same, int16_t* to) {
        Eight line[kLine][2];
        for (int i = kMean ? 2 : 1; i < (kMean ? kLine - 2 : kLine); ++i) {
            if (!both_ && i % 2) continue;
            coding_.along == 0 ? fetch(i, same, line[i]) : fetch(same, i, line[i]);
        }
        if (kMean) {
            for (int block = 0; block < 4; ++block) {
                Eight x[8];
                for (int i = 0; i < 8; ++i) x[i] = line[(block & 1) * 8 + i][block >> 1];
                transpose(x);
                for (int i = 0; i < 8; ++i) {
                    const int z = (block >> 1) * 8 + i - (kHalo - 1);
                    if (z >= 0 && z < kSide) std::memcpy(to + z * kLine + (block & 1) * 8, &x[i], sizeof(x[i]));
                }
            }
            return;
        }
        for (int odd = 0; odd < 1 + both_; ++odd) {
            Eight x[8];
            for (int i = 0; i < 8; ++i) x[i] = evens(line[2 * i + odd][0], line[2 * i + odd][1]);
            transpose(x);
            for (int z = 1; z < 7; ++z) std::memcpy(to + (z - 1) * kWords<kMean> + odd * kSecond, &x[z], sizeof(x[z]));
        }
    }

    // The line along z at coordinates i and j.
    void fetch(int i, int j, Eight* to) {
        const int64_t x = at_[0][i], y = at_[1][j], inside = (x & 7) * 64 + (y & 7) * 8;
        const int32_t* line = level_.table + ((x >> 3) * level_.shape[1] + (y >> 3)) * level_.shape[2];
        const int64_t middle = int64_t(line[cell_]) * kSlots + inside;
        Four values[4] = {{}, loaded<Four>(level_.values + middle), loaded<Four>(level_.values + middle + 4), {}};
        uint64_t flags = loaded<uint64_t>(level_.active + middle);
        uint32_t before = 0, behind = 0;
        if (inside_) {
            const int64_t last = int64_t(line[cell_ - 1]) * kSlots + inside + 4;
            const int64_t first = int64_t(line[cell_ + 1]) * kSlots + inside;
            values[0] = loaded<Four>(level_.values + last);
            values[3] = loaded<Four>(level_.values + first);
            before = loaded<uint32_t>(level_.active + last);
            behind = loaded<uint32_t>(level_.active + first);
        }
        else {
            uint8_t ends[8];
            for (int k = 0; k < 8; ++k) {
                const int64_t z = at_[2][k < 4 ? k : k + 8], from = int64_t(line[z >> 3]) * kSlots + inside + (z & 7);
                values[k < 4 ? 0 : 3][k & 3] = level_.values[from];
                ends[k] = level_.active[from];
            }
            before = loaded<uint32_t>(ends);
            behind = loaded<uint32_t>(ends + 4);
        }
        const Longs sixteen = {before | flags << 32, flags >> 32 | uint64_t(behind) << 32};
        const Bytes on = bits<Bytes>(sixteen);
        const Eight active[2] = {bits<Eight>(NVDB_SHUFFLE(Bytes, on, Bytes{}, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)),
            bits<Eight>(NVDB_SHUFFLE(Bytes, on, Bytes{}, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31))};
        for (int half = 0; half < 2; ++half) {
            const Eight x = saturated(values[2 * half] - reference_, values[2 * half + 1] - reference_);
            const Eight size = (x ^ (x >> 15)) & needed_[half] & (kMean ? -active[half] : Eight{} - 1);
            over_ = size > over_ ? size : over_;
            to[half] = doubled(x) + active[half];
        }
    }

    const Coding& coding_;
    const LevelView& level_;
    const int32_t reference_;
    const bool both_; // points of phase 0 are seen, too
    int64_t cell_; // along z
    bool inside_; // what is before and behind along z lies in bricks of their own
    int64_t at_[3][kLine];
    Eight needed_[2], over_{};
};

// Where a point's nine stretches begin: the middle one.
template<bool kMean>
inline int lineOf(int along, int offset) {
    const int x = offset >> 6, y = offset >> 3 & 7, z = offset & 7;
    const int at = along == 0 ? x : along == 1 ? y : z;
    int first = along == 0 ? y : x, second = along == 2 ? y : z;
    if (!kMean && along == 0) first >>= 1;
    if (!kMean && along != 2) second >>= 1;
    return ((first + 1) * kSide + second + 1) * kWords<kMean> + (kMean ? at + 2 : (at + 1) >> 1);
}

// What points see, point by point: kAlong of each of the nine stretches, then the six nearest of the pass itself.
struct Seen {
    alignas(64) int16_t points[kMaxPoints][2 * kBlock]; // the second half of a row is for vectors that begin in the first
};

// What one point sees, as it lies in lines.
template<bool kMean>
struct Stretches {
    static constexpr int kAlong = kMean ? 5 : 4;
    Eight of[9];
    int16_t nearest[6];

    // known, pass: where the point's stretches begin in the lines of what is known and of the pass itself; or null.
    Stretches(const int16_t* known, const int16_t* pass) {
        for (int i = 0; i < 9; ++i) of[i] = loaded<Eight>(known + ((i / 3 - 1) * kSide + i % 3 - 1) * kWords<kMean>);
        constexpr int kMiddle = kMean ? 2 : 1, kBeside = kWords<kMean>, kAbove = kSide * kBeside;
        constexpr int kFrom[6] = {kMiddle - 1, kMiddle + 1, kMiddle - kAbove, kMiddle + kAbove, kMiddle - kBeside,
            kMiddle + kBeside};
        for (int i = 0; pass && i < 6; ++i) nearest[i] = pass[kFrom[i]];
    }
    bool allActive(bool with_nearest) const {
        Eight all = of[0];
        for (int i = 1; i < 9; ++i) all &= of[i];
        int16_t flags = 1;
        for (int i = 0; with_nearest && i < 6; ++i) flags &= nearest[i];
        for (int k = 0; k < kAlong; ++k) flags &= all[k];
        return flags;
    }
};

// Stretches of a block's points become columns.
template<bool kMean>
inline void turn(const Eight (*stretches)[9], Seen& seen) {
    for (int lane = 0; lane < kBlock; lane += 8) {
        for (int i = 0; i < 9; ++i) {
            Eight x[8];
            for (int k = 0; k < 8; ++k) x[k] = stretches[lane + k][i];
            transpose(x);
            for (int k = 0; k < Stretches<kMean>::kAlong; ++k) std::memcpy(&seen.points[9 * k + i][lane], &x[k], sizeof(x[k]));
        }
    }
}

} // namespace NVDB_ISA
} // namespace nvdb
