// Bricks of a level with what is around them, for values/lattice/sample_inputs.py and mean_inputs.py.
// Twin of values/lattice/levels.py.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace nvdb {

constexpr int kEdge = 8, kNoAxis = 3, kPad = 3, kPadded = kEdge + 2 * kPad;

struct LevelView {
    const int32_t* table;
    int64_t shape[3];
    const int32_t* cells;
    const int32_t* values;
    const uint8_t* active;
};

// Points of a level within reach of a brick along an axis, from kPad before it: all or, of a step of 2, even ones only.
struct Reach {
    int first, last, step;

    explicit Reach(int reach, int step = 1): first(kPad - reach), last(kPad + kEdge + reach), step(step) {
        if (step == 2) first |= 1;
    }
};

// A brick with its surroundings, coordinates clamped to the level's box, those of points of a pass along `axis`
// mirrored first (values/lattice/sample_inputs.py). A point is twice its value plus its active flag: values are below 2^30.
class Neighbourhood {
public:
    explicit Neighbourhood(const std::array<Reach, 3>& reach): reach_(reach) {}

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
        for (int i = reach_[0].first; i < reach_[0].last; i += reach_[0].step)
            for (int j = reach_[1].first; j < reach_[1].last; j += reach_[1].step) loadLine(level, i, j);
    }
    const int32_t* points() const { return points_; }

private:
    void loadLine(const LevelView& level, int i, int j) {
        const int64_t x = at_[0][i], y = at_[1][j];
        const int32_t* line = level.table + ((x >> 3) * level.shape[1] + (y >> 3)) * level.shape[2];
        const int64_t inside = (x & 7) * 64 + (y & 7) * 8;
        int32_t* to = points_ + (i * kPadded + j) * kPadded;
        const int64_t middle = int64_t(line[at_[2][kPad] >> 3]) * 512 + inside;
        for (int k = 0; k < kEdge; ++k) to[kPad + k] = level.values[middle + k] * 2 + level.active[middle + k];
        const auto put = [&](int k) {
            const int64_t z = at_[2][k], from = int64_t(line[z >> 3]) * 512 + inside + (z & 7);
            to[k] = level.values[from] * 2 + level.active[from];
        };
        for (int k = reach_[2].first; k < kPad; k += reach_[2].step) put(k);
        for (int k = kPad + kEdge; k < reach_[2].last; k += reach_[2].step) put(k);
    }

    const std::array<Reach, 3> reach_;
    int64_t at_[3][kPadded];
    int32_t points_[kPadded * kPadded * kPadded];
};

} // namespace nvdb
