// Twin of values/lattice/inputs.py (gather): what is around a brick in 16 bits, row by row along z.
#pragma once

#include "lanes.h"

namespace nvdb {
namespace NVDB_ISA {

constexpr int kHalo = 4, kLine = kEdge + 2 * kHalo; // coordinates -4 to 11

// Asks for what lies behind a brick along z, and beside that: of what is around it, all that bricks before it have not seen.
NVDB_LANES void prefetchBehind(const LevelView& level, int64_t brick) {
    const int32_t* cell = level.cells + 3 * brick;
    for (int axis = 0; axis < 3; ++axis)
        if (cell[axis] < 1 || cell[axis] + 1 >= level.shape[axis]) return;
    for (int i = 0; i < 9; ++i) {
        const int64_t at = ((cell[0] + i / 3 - 1) * level.shape[1] + cell[1] + i % 3 - 1) * level.shape[2] + cell[2] + 1;
        const int64_t from = int64_t(level.table[at]) * kSlots;
        if (level.packed) prefetch(level.packed + from, kSlots * sizeof(int16_t));
        else prefetch(level.values + from, kSlots * sizeof(int32_t)), prefetch(level.active + from, kSlots);
    }
}

// Fetches points of one source as twice the value, less a reference, plus the active flag.
template<bool kMean>
class Fetcher {
public:
    Fetcher(const Coding& coding, const LevelView& level, int64_t brick, int32_t reference)
        : level_(level), reference_(reference), across_(kMean || (coding.along == 2 && coding.group_count > 1))
    {
        int64_t beside[3][3];
        for (int axis = 0; axis < 3; ++axis) find(coding, axis, level.cells[3 * brick + axis], beside[axis]);
        for (int i = 0; i < 9; ++i) {
            const int32_t* row = level.table + (beside[0][i / 3] * level.shape[1] + beside[1][i % 3]) * level.shape[2];
            for (int k = 0; k < 3; ++k) bricks_[i][k] = int64_t(row[beside[2][k]]) * kSlots;
        }
    }

    // The row along z at coordinates i and j, which begin at -kHalo.
    Shorts fetch(int i, int j) {
        const int64_t* bricks = bricks_[3 * side_[0][i] + side_[1][j]];
        const int inside = inside_[0][i] + inside_[1][j];
        return level_.packed ? packed(bricks, inside) : whole(bricks, inside);
    }

    // Whether all that was fetched and is needed fits into 16 bits.
    bool fits() const { return !any(over_ > kLargest); }

private:
    // Where coordinates along an axis lie; beside: the cells before, at and behind that of the brick, in the box.
    void find(const Coding& coding, int axis, int64_t cell, int64_t* beside) {
        const int64_t last = level_.shape[axis] - 1;
        const bool inside = cell > 0 && cell < last;
        const int shift = 6 - 3 * axis;
        beside[0] = cell - (cell > 0), beside[1] = cell, beside[2] = cell + (cell < last);
        for (int i = 0; i < kLine; ++i) {
            const int64_t from = cell * kEdge - kHalo + i, at = inside ? from : coordinate(coding, level_, axis, from);
            side_[axis][i] = int16_t((at >> 3) - cell + 1);
            inside_[axis][i] = int16_t((at & 7) << shift);
        }
        if (axis == 2) plain_ = inside;
    }

    Shorts packed(const int64_t* bricks, int inside) const {
        const int16_t* own = level_.packed + bricks[1] + inside;
        int16_t ends[8];
        if (!plain_)
            for (int k = 0; k < 8; ++k) ends[k] = level_.packed[end(bricks, inside, k)];
        const int16_t* before = plain_ ? level_.packed + bricks[0] + inside + 4 : ends;
        const int16_t* behind = plain_ ? level_.packed + bricks[2] + inside : ends + 4;
        return bits<Shorts>(Vector<uint64_t, 4>{loaded<uint64_t>(before), loaded<uint64_t>(own), loaded<uint64_t>(own + 4),
            loaded<uint64_t>(behind)});
    }

    Shorts whole(const int64_t* bricks, int inside) {
        const int64_t middle = bricks[1] + inside;
        Four first, last;
        const uint64_t flags = loaded<uint64_t>(level_.active + middle);
        uint32_t before, behind;
        if (plain_) {
            const int64_t from = bricks[0] + inside + 4, next = bricks[2] + inside;
            first = loaded<Four>(level_.values + from);
            last = loaded<Four>(level_.values + next);
            before = loaded<uint32_t>(level_.active + from);
            behind = loaded<uint32_t>(level_.active + next);
        }
        else {
            int32_t values[8];
            uint8_t ends[8];
            for (int k = 0; k < 8; ++k) {
                values[k] = level_.values[end(bricks, inside, k)];
                ends[k] = level_.active[end(bricks, inside, k)];
            }
            first = loaded<Four>(values);
            last = loaded<Four>(values + 4);
            before = loaded<uint32_t>(ends);
            behind = loaded<uint32_t>(ends + 4);
        }
        const Shorts active = widened(bits<Bytes>(Longs{before | flags << 32, flags >> 32 | uint64_t(behind) << 32}));
        const auto own = [&](int k) { return loaded<Four>(level_.values + middle + k) - reference_; };
        const Shorts value = saturated(first - reference_, own(0), own(4), last - reference_);
        const Shorts size = (value ^ (value >> 15)) & needed() & (kMean ? -active : Shorts{} - 1);
        over_ = size > over_ ? size : over_;
        return doubled(value) + active;
    }

    // Where the four points before a row and the four behind it are.
    int64_t end(const int64_t* bricks, int inside, int k) const {
        const int i = k < 4 ? k : k + 8;
        return bricks[side_[2][i]] + inside + inside_[2][i];
    }

    Shorts needed() const {
        constexpr Shorts mean = {0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 0};
        constexpr Shorts known = {0, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0};
        constexpr Shorts all = {0, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0};
        return kMean ? mean : across_ ? all : known;
    }

    const LevelView& level_;
    const int32_t reference_;
    const bool across_; // points of the pass itself are seen, between those that are known along z
    bool plain_; // what is before and behind along z lies in bricks of their own
    int64_t bricks_[9][3];
    int16_t side_[3][kLine], inside_[3][kLine];
    Shorts over_{};
};

} // namespace NVDB_ISA
} // namespace nvdb
