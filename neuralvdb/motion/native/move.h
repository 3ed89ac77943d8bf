// Twin of motion/move.py: a grid moved along velocities, leaf by leaf. Same integers; see there for what is computed.
#pragma once

#include "../../topology/native/find.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>

namespace nvdb {

constexpr int kLeafEdge = 8, kLeafVoxels = 512, kMaxComponents = 3;
constexpr int64_t kOne = 256, kHalf = 128; // of a voxel, in positions
constexpr int kHalfStep = 5; // bits by which a displacement is shifted to become half of it as a position
constexpr int64_t kFastest = 8 << 12; // 1/4096 voxel

struct Field {
    const CoordTable* table;
    const int32_t* values; // of leaf after leaf, components of a voxel together
    const int32_t* background;
    int components;
};

struct Movement {
    int64_t shift[3];
    bool cubic, staggered;
    int displacement_count; // 0, 1 or 2: now and before
    Field source, displacements[2];
};

// Weights by position in a voxel, which sum to 2 to the power of kBits along an axis.
struct Linear {
    static constexpr int kTaps = 2, kFirst = 0, kBits = 8;
    void weigh(int64_t at, int64_t* to) const {
        to[0] = kOne - at;
        to[1] = at;
    }
};

struct Cubic {
    static constexpr int kTaps = 4, kFirst = -1, kBits = 9;
    int64_t weights[kOne][kTaps];

    Cubic() {
        for (int64_t f = 0; f < kOne; ++f) {
            const int64_t one = f << 16, two = f * f << 8, three = f * f * f;
            const int64_t all[] = {2 * two - three - one, 3 * three - 5 * two + (2 << 24), 4 * two - 3 * three + one, three - two};
            int64_t rest = 1 << kBits;
            for (int i = 0; i < kTaps; ++i) rest -= weights[f][i] = (all[i] + (1 << 15)) >> 16;
            weights[f][1 + (f >= kHalf)] += rest;
        }
    }
    void weigh(int64_t at, int64_t* to) const { std::copy_n(weights[at], kTaps, to); }
};

using Position = std::array<int64_t, 3>;
using Positions = std::array<Position, kLeafVoxels>;

// One component of a field within a box of voxels.
class Window {
public:
    // Takes what interpolation at all positions, each plus `offset`, reads.
    void load(const Field& field, int component, const Positions& at, const Position& offset, int first, int taps) {
        for (int axis = 0; axis < 3; ++axis) {
            const auto less = [axis](const Position& a, const Position& b) { return a[size_t(axis)] < b[size_t(axis)]; };
            const auto ends = std::minmax_element(at.begin(), at.end(), less);
            low_[axis] = (((*ends.first)[size_t(axis)] + offset[size_t(axis)]) >> 8) + first;
            size_[axis] = int((((*ends.second)[size_t(axis)] + offset[size_t(axis)]) >> 8) + first + taps - low_[axis]);
        }
        int64_t brick[3];
        for (brick[0] = low_[0] & ~7; brick[0] < low_[0] + size_[0]; brick[0] += kLeafEdge)
            for (brick[1] = low_[1] & ~7; brick[1] < low_[1] + size_[1]; brick[1] += kLeafEdge)
                for (brick[2] = low_[2] & ~7; brick[2] < low_[2] + size_[2]; brick[2] += kLeafEdge) copy(field, component, brick);
    }

    template<typename Taps>
    int64_t weighted(const Taps& taps, const Position& at) const {
        int64_t x[Taps::kTaps], y[Taps::kTaps], z[Taps::kTaps], sum = 0;
        taps.weigh(at[0] & (kOne - 1), x);
        taps.weigh(at[1] & (kOne - 1), y);
        taps.weigh(at[2] & (kOne - 1), z);
        const int32_t* corner = values_ + place((at[0] >> 8) + Taps::kFirst, (at[1] >> 8) + Taps::kFirst, (at[2] >> 8) + Taps::kFirst);
        for (int i = 0; i < Taps::kTaps; ++i)
            for (int j = 0; j < Taps::kTaps; ++j) {
                const int32_t* row = corner + (i * kEdge + j) * kEdge;
                int64_t of_row = 0;
                for (int k = 0; k < Taps::kTaps; ++k) of_row += z[k] * row[k];
                sum += x[i] * y[j] * of_row;
            }
        return sum;
    }

private:
    // A leaf's edge, what moves two steps either way, and what is around it.
    static constexpr int kEdge = kLeafEdge + 2 * (8 + 2) + 4;

    int place(int64_t x, int64_t y, int64_t z) const {
        return int(((x - low_[0]) * kEdge + y - low_[1]) * kEdge + z - low_[2]);
    }

    void copy(const Field& field, int component, const int64_t* brick) {
        int64_t from[3], to[3];
        int32_t origin[3];
        bool inside = true;
        for (int axis = 0; axis < 3; ++axis) {
            from[axis] = std::max(brick[axis], low_[axis]);
            to[axis] = std::min(brick[axis] + kLeafEdge, low_[axis] + size_[axis]);
            origin[axis] = int32_t(brick[axis]);
            inside = inside && origin[axis] == brick[axis];
        }
        const int64_t leaf = inside ? field.table->find(origin) : -1;
        const int step = leaf < 0 ? 0 : field.components;
        for (int64_t x = from[0]; x < to[0]; ++x)
            for (int64_t y = from[1]; y < to[1]; ++y) {
                const int64_t slot = ((x & 7) * kLeafEdge + (y & 7)) * kLeafEdge + (from[2] & 7);
                const int32_t* row = leaf < 0 ? field.background : field.values + (leaf * kLeafVoxels + slot) * field.components;
                int32_t* target = values_ + place(x, y, from[2]);
                for (int64_t z = 0; z < to[2] - from[2]; ++z) target[z] = row[z * step + component];
            }
    }

    int64_t low_[3];
    int size_[3];
    int32_t values_[kEdge * kEdge * kEdge];
};

// Moves positions back along the displacements, in two steps.
inline void trace(const Movement& movement, Window& window, Positions& at) {
    const Linear taps;
    for (int step = 0; step < 2 && movement.displacement_count; ++step) {
        Positions total{};
        for (int number = 0; number < movement.displacement_count; ++number) {
            const int64_t share = movement.displacement_count == 1 ? 4 : step == number ? 3 : 1;
            for (size_t axis = 0; axis < 3; ++axis) {
                Position offset{};
                for (size_t a = 0; a < 3; ++a) offset[a] = (movement.staggered && a == axis ? kHalf : 0) - number * movement.shift[a];
                window.load(movement.displacements[number], int(axis), at, offset, Linear::kFirst, Linear::kTaps);
                for (size_t i = 0; i < kLeafVoxels; ++i) {
                    const Position seen{at[i][0] + offset[0], at[i][1] + offset[1], at[i][2] + offset[2]};
                    total[i][axis] += share * window.weighted(taps, seen);
                }
            }
        }
        constexpr int kBits = 3 * Linear::kBits + 2 + kHalfStep;
        for (size_t i = 0; i < kLeafVoxels; ++i)
            for (size_t axis = 0; axis < 3; ++axis) at[i][axis] -= (total[i][axis] + (int64_t(1) << (kBits - 1))) >> kBits;
    }
}

template<typename Taps>
inline void interpolate(const Movement& movement, const Taps& taps, const Positions& at, Position offset, int component,
    Window& window, int32_t* to)
{
    constexpr int kBits = 3 * Taps::kBits;
    for (size_t axis = 0; axis < 3; ++axis) offset[axis] -= movement.shift[axis];
    window.load(movement.source, component, at, offset, Taps::kFirst, Taps::kTaps);
    for (size_t i = 0; i < kLeafVoxels; ++i) {
        const Position from{at[i][0] + offset[0], at[i][1] + offset[1], at[i][2] + offset[2]};
        const int64_t sum = window.weighted(taps, from);
        to[int64_t(i) * movement.source.components + component] = int32_t((sum + (int64_t(1) << (kBits - 1))) >> kBits);
    }
}

// What comes to the leaf at `origin`: 512 voxels of the source's components.
inline void moveLeaf(const Movement& movement, const Cubic& cubic, const int32_t* origin, int32_t* to) {
    Window window;
    Positions at;
    const bool faces = movement.staggered && movement.source.components > 1;
    for (int component = 0; component < movement.source.components; ++component) {
        Position face{};
        if (faces) face[size_t(component)] = kHalf;
        if (faces || component == 0) {
            for (size_t i = 0; i < kLeafVoxels; ++i) {
                const int64_t slot[3] = {int64_t(i >> 6), int64_t(i >> 3 & 7), int64_t(i & 7)};
                for (size_t a = 0; a < 3; ++a) at[i][a] = (origin[a] + slot[a]) * kOne - face[a];
            }
            trace(movement, window, at);
        }
        if (movement.cubic)
            interpolate(movement, cubic, at, face, component, window, to);
        else
            interpolate(movement, Linear(), at, face, component, window, to);
    }
}

} // namespace nvdb
