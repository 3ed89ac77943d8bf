// Twin of values/lattice/inputs.py (gather): what is around a brick in 16 bits, in lines along the axis of a pass, so that
// what a point sees lies in nine short stretches.
#pragma once

#include "fetch.h"

namespace nvdb {
namespace NVDB_ISA {

constexpr int kSide = kEdge + 2; // coordinates -1 to 8

// A line lies at first * kSide + second, the coordinates on the other two axes plus 1, in units of what is known there: 1 or
// 2. On the sample lattice a line is the 8 known points, at -4, -2 to 10, and lines of the 8 others follow all of those; on
// the mean lattice it is all 16 cells.
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
        : along_(coding.along), both_(kMean || coding.group_count > 1), from_(coding, level, brick, reference) {}

    // Whether all points that are needed fit into 16 bits.
    bool make(bool, Lines& lines) {
        if (along_ == 2) {
            for (int i = 0; i < kSide; ++i)
                for (int j = 0; j < kSide; ++j) {
                    const Shorts line = from_.fetch(i + kHalo - 1, j + kHalo - 1);
                    int16_t* to = lines.points + (i * kSide + j) * kWords<kMean>;
                    if (kMean) std::memcpy(to, &line, sizeof(line));
                    else put(NVDB_SHUFFLE(Shorts, line, line, 0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15), to, to + kOthers);
                }
        }
        else {
            const bool two = !kMean && along_ == 0; // units of the first of the other axes
            for (int i = 0; i < (two ? kEdge / 2 + 2 : kSide); ++i)
                makePlane(two ? 2 * i + kHalo - 2 : i + kHalo - 1, lines.points + i * kSide * kWords<kMean>);
        }
        return from_.fits();
    }

private:
    static void put(const Shorts& x, int16_t* first, int16_t* second) {
        std::memcpy(first, &x, sizeof(x) / 2);
        std::memcpy(second, reinterpret_cast<const char*>(&x) + sizeof(x) / 2, sizeof(x) / 2);
    }

    // Lines along x or y that have the same coordinate y or x: those along z, turned.
    void makePlane(int same, int16_t* to) {
        Shorts line[kLine] = {}, x[kEdge];
        for (int i = kMean ? 2 : 1; i < (kMean ? kLine - 2 : kLine); ++i)
            if (both_ || i % 2 == 0) line[i] = along_ == 0 ? from_.fetch(i, same) : from_.fetch(same, i);
        for (int half = 0; kMean && half < 2; ++half) {
            for (int i = 0; i < kEdge; ++i) x[i] = line[half * kEdge + i];
            transpose(x);
            for (int z = kHalo - 1; z < kEdge; ++z) { // and z + kEdge, up to kHalo + kEdge
                int16_t* first = to + (z - kHalo + 1) * kLine + half * kEdge;
                put(x[z], first, first + kEdge * kLine);
            }
            for (int z = 0; z < kHalo - 1; ++z) {
                int16_t* second = to + (z + kEdge - kHalo + 1) * kLine + half * kEdge;
                std::memcpy(second, reinterpret_cast<const char*>(&x[z]) + sizeof(x[z]) / 2, sizeof(x[z]) / 2);
            }
        }
        if (kMean) return;
        for (int i = 0; i < kEdge; ++i)
            x[i] = NVDB_SHUFFLE(Shorts, line[2 * i], line[2 * i + 1], 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        transpose(x);
        for (int z = 1; z < 7; ++z) put(x[z], to + (z - 1) * kWords<false>, to + (z - 1) * kWords<false> + kOthers);
    }

    const int along_;
    const bool both_; // points of phase 0 are seen, too
    Fetcher<kMean> from_;
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
