// Twin of values/lattice/inputs.py (gather): bricks of a level with what is around them.
#pragma once

#include "constants.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace nvdb {

constexpr int kNoAxis = 3, kPad = 3, kPadded = kEdge + 2 * kPad; // points are at most kPad away along an axis

struct LevelView {
    const int32_t* table;
    int64_t shape[3];
    const int32_t* cells;
    const int32_t* values;
    const uint8_t* active;
};

// Which coordinates from kPad before a brick on are looked at along an axis.
struct Coordinates {
    int count = 0, at[kPadded];

    void add(int coordinate) { at[count++] = coordinate; }
    const int* begin() const { return at; }
    const int* end() const { return at + count; }
};
using Reach = std::array<Coordinates, 3>;

// A brick with its neighbourhood, coordinates clamped to the level's box, those of points of a pass along `axis` mirrored
// first (values/lattice/inputs.py). A point is twice its value plus its active flag: values are below 2^30.
class Neighbourhood {
public:
    void look(const Reach& reach) { reach_ = reach; }
    void load(const LevelView& level, int64_t brick, int axis) {
        for (int a = 0; a < 3; ++a) {
            const int64_t first = level.cells[3 * brick + a] * int64_t(kEdge) - kPad;
            const int64_t last = level.shape[a] * kEdge - 1, turn = last - (a > axis);
            for (int i = 0; i < kPadded; ++i) {
                int64_t at = first + i;
                if (axis != kNoAxis) at = at > last ? 2 * turn - at : at < 0 && a != axis ? -at : at;
                at_[a][i] = std::clamp<int64_t>(at, 0, last);
            }
        }
        for (const int i : reach_[0])
            for (const int j : reach_[1]) loadLine(level, i, j);
    }
    const int32_t* points() const { return points_; }

private:
    void loadLine(const LevelView& level, int i, int j) {
        const int64_t x = at_[0][i], y = at_[1][j];
        const int32_t* line = level.table + ((x >> 3) * level.shape[1] + (y >> 3)) * level.shape[2];
        const int64_t inside = (x & 7) * 64 + (y & 7) * 8;
        int32_t* to = points_ + (i * kPadded + j) * kPadded;
        const int64_t middle = int64_t(line[at_[2][kPad] >> 3]) * kSlots + inside;
        for (int k = 0; k < kEdge; ++k) to[kPad + k] = level.values[middle + k] * 2 + level.active[middle + k];
        for (const int k : reach_[2]) {
            if (k >= kPad && k < kPad + kEdge) continue;
            const int64_t z = at_[2][k], from = int64_t(line[z >> 3]) * kSlots + inside + (z & 7);
            to[k] = level.values[from] * 2 + level.active[from];
        }
    }

    Reach reach_;
    int64_t at_[3][kPadded];
    int32_t points_[kPadded * kPadded * kPadded];
};

} // namespace nvdb
