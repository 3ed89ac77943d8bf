// Twin of motion/move.py: a grid moved along velocities, leaf by leaf. Same integers; see there for what is computed.
#pragma once

#include "../../topology/native/find.h"
#include "blocks.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace nvdb {

constexpr int kLeafEdge = 8, kLeafVoxels = 512, kMaxComponents = 3;
constexpr int32_t kVoxel = 256, kHalfVoxel = 128; // of a voxel, in positions
constexpr int kHalfStep = 5; // bits by which a displacement is shifted to become half of it as a position
constexpr double kMost = 1 << 27, kFastest = 8 << 12; // values in units; displacements, in 1/4096 voxel
constexpr int kFar = 127; // voxels, shifts are at most

// Leaves of a grid, floats or doubles, which are read as whole numbers: times `scale`, at most `limit`.
struct Field {
    const CoordTable* table;
    const float* narrow; // of leaf after leaf, components of a voxel together; null where they are doubles
    const double* wide;
    int components;
    double background[kMaxComponents], scale, limit;

    // As motion/field.py has it.
    int32_t whole(double value) const {
        constexpr double shift = 0x1.8p52;
        const double x = value * scale;
        const double near = x > limit ? limit : x < -limit ? -limit : x;
        return near == near ? int32_t((near + shift) - shift) : 0;
    }
};

struct Movement {
    int32_t shift[3]; // in positions
    bool cubic, staggered;
    int displacement_count; // 0, 1 or 2: now and before
    Field source, displacements[2];
    Blocks blocks; // in place of displacements
};

// Weights by position in a voxel, which sum to 2 to the power of kBits along an axis.
struct Linear {
    static constexpr int kTaps = 2, kFirst = 0, kBits = 8;
};

struct Cubic {
    static constexpr int kTaps = 4, kFirst = -1, kBits = 9;
    int64_t weights[kVoxel][kTaps];

    Cubic() {
        for (int64_t f = 0; f < kVoxel; ++f) {
            const int64_t one = f << 16, two = f * f << 8, three = f * f * f;
            const int64_t all[] = {2 * two - three - one, 3 * three - 5 * two + (2 << 24), 4 * two - 3 * three + one, three - two};
            int64_t rest = 1 << kBits;
            for (int i = 0; i < kTaps; ++i) rest -= weights[f][i] = (all[i] + (1 << 15)) >> 16;
            weights[f][1 + (f >= kHalfVoxel)] += rest;
        }
    }
};

// Positions of a leaf's voxels, axis by axis, less the leaf's origin.
using Positions = std::array<std::array<int32_t, kLeafVoxels>, 3>;
using Offset = std::array<int32_t, 3>;

// Field values within a box of voxels around a leaf, component by component.
class Window {
public:
    explicit Window(const int32_t* origin): origin_{origin[0], origin[1], origin[2]} {}

    // Takes what interpolation reads at positions that are `before` to `behind` those given.
    void load(const Field& field, const Positions& at, const Offset& before, const Offset& behind, int first, int taps) {
        int64_t from[3], to[3];
        for (size_t axis = 0; axis < 3; ++axis) {
            const auto ends = std::minmax_element(at[axis].begin(), at[axis].end());
            low_[axis] = ((*ends.first + before[axis]) >> 8) + first;
            size_[axis] = ((*ends.second + behind[axis]) >> 8) + first + taps - low_[axis];
            from[axis] = origin_[axis] + low_[axis];
            to[axis] = from[axis] + size_[axis];
        }
        int64_t brick[3];
        for (brick[0] = from[0] & ~7; brick[0] < to[0]; brick[0] += kLeafEdge)
            for (brick[1] = from[1] & ~7; brick[1] < to[1]; brick[1] += kLeafEdge)
                for (brick[2] = from[2] & ~7; brick[2] < to[2]; brick[2] += kLeafEdge) copy(field, brick, from, to);
    }

    // What is at a voxel, less the leaf's origin.
    const int32_t* at(int component, int x, int y, int z) const { return values_ + indexOf(component, x, y, z); }
    int64_t row() const { return size_[2]; }
    int64_t plane() const { return int64_t(size_[1]) * size_[2]; }

private:
    // A leaf's edge, what moves two steps of four voxels either way, and what is around it.
    static constexpr int kMostEdge = kLeafEdge + 2 * 8 + 8;

    int indexOf(int component, int x, int y, int z) const {
        return ((component * size_[0] + x - low_[0]) * size_[1] + y - low_[1]) * size_[2] + z - low_[2];
    }

    void copy(const Field& field, const int64_t* brick, const int64_t* from, const int64_t* to) {
        int64_t first[3], last[3];
        int32_t origin[3];
        bool possible = true;
        for (int axis = 0; axis < 3; ++axis) {
            first[axis] = std::max(brick[axis], from[axis]);
            last[axis] = std::min(brick[axis] + kLeafEdge, to[axis]);
            origin[axis] = int32_t(brick[axis]);
            possible = possible && origin[axis] == brick[axis];
        }
        const int64_t leaf = possible ? field.table->find(origin) : -1;
        for (int64_t x = first[0]; x < last[0]; ++x)
            for (int64_t y = first[1]; y < last[1]; ++y) {
                const int64_t slot = ((leaf * kLeafEdge + (x & 7)) * kLeafEdge + (y & 7)) * kLeafEdge + (first[2] & 7);
                for (int c = 0; c < field.components; ++c) {
                    int32_t* row = values_ + indexOf(c, int(x - origin_[0]), int(y - origin_[1]), int(first[2] - origin_[2]));
                    const int64_t count = last[2] - first[2], cell = slot * field.components + c;
                    if (leaf < 0) std::fill_n(row, count, field.whole(field.background[c]));
                    else if (field.narrow) take(field, field.narrow + cell, count, row);
                    else take(field, field.wide + cell, count, row);
                }
            }
    }

    template<typename T>
    static void take(const Field& field, const T* from, int64_t count, int32_t* to) {
        for (int64_t i = 0; i < count; ++i) to[i] = field.whole(double(from[i * field.components]));
    }

    int64_t origin_[3];
    int low_[3], size_[3];
    int32_t values_[kMaxComponents * kMostEdge * kMostEdge * kMostEdge];
};

inline int64_t weighted(const Linear&, const int32_t* corner, int64_t row, int64_t plane, const int32_t* part) {
    const auto along = [&](const int32_t* from) { return int64_t(from[0]) * kVoxel + int64_t(part[2]) * (int64_t(from[1]) - from[0]); };
    const auto across = [&](const int32_t* from) {
        const int64_t first = along(from);
        return first * kVoxel + part[1] * (along(from + row) - first);
    };
    const int64_t first = across(corner);
    return first * kVoxel + part[0] * (across(corner + plane) - first);
}

inline int64_t weighted(const Cubic& taps, const int32_t* corner, int64_t row, int64_t plane, const int32_t* part) {
    const int64_t *x = taps.weights[part[0]], *y = taps.weights[part[1]], *z = taps.weights[part[2]];
    int64_t sum = 0;
    for (int i = 0; i < Cubic::kTaps; ++i) {
        int64_t of_plane = 0;
        for (int j = 0; j < Cubic::kTaps; ++j) {
            const int32_t* from = corner + i * plane + j * row;
            int64_t of_row = 0;
            for (int k = 0; k < Cubic::kTaps; ++k) of_row += z[k] * from[k];
            of_plane += y[j] * of_row;
        }
        sum += x[i] * of_plane;
    }
    return sum;
}

// Calls job(voxel, sum) with the weighted sum of what is around each position, which are `offset` from those given.
template<typename Taps, typename Job>
inline void eachWeighted(const Taps& taps, const Window& window, int component, const Positions& at, const Offset& offset, const Job& job) {
    const int64_t row = window.row(), plane = window.plane();
    for (size_t i = 0; i < kLeafVoxels; ++i) {
        const int32_t place[3] = {at[0][i] + offset[0], at[1][i] + offset[1], at[2][i] + offset[2]};
        const int32_t part[3] = {place[0] & (kVoxel - 1), place[1] & (kVoxel - 1), place[2] & (kVoxel - 1)};
        const auto first = [&](int axis) { return (place[axis] >> 8) + Taps::kFirst; };
        const int32_t* corner = window.at(component, first(0), first(1), first(2));
        job(i, weighted(taps, corner, row, plane, part));
    }
}

// Moves positions of whole voxels back by vectors of blocks.
inline void takeOff(const Blocks& blocks, const int32_t* origin, Positions& at) {
    Beside beside[3][kLeafEdge];
    for (size_t axis = 0; axis < 3; ++axis)
        for (int step = 0; step < kLeafEdge; ++step) beside[axis][step] = blocks.beside(axis, int64_t(origin[axis]) + step);
    for (size_t i = 0; i < kLeafVoxels; ++i) {
        const auto sum = blocks.sum({beside[0][i >> 6], beside[1][i >> 3 & 7], beside[2][i & 7]});
        for (size_t axis = 0; axis < 3; ++axis) at[axis][i] -= roundedSum(sum[axis]);
    }
}

// Moves positions back along the displacements, in two steps.
inline void trace(const Movement& movement, Window& window, Positions& at) {
    for (int step = 0; step < 2 && movement.displacement_count; ++step) {
        std::array<std::array<int64_t, kLeafVoxels>, 3> total{};
        for (int number = 0; number < movement.displacement_count; ++number) {
            const int64_t share = movement.displacement_count == 1 ? 4 : step == number ? 3 : 1;
            const int32_t face = movement.staggered ? kHalfVoxel : 0;
            Offset offset{}, behind{};
            for (size_t a = 0; a < 3; ++a) {
                offset[a] = -number * movement.shift[a];
                behind[a] = offset[a] + face;
            }
            window.load(movement.displacements[number], at, offset, behind, Linear::kFirst, Linear::kTaps);
            for (size_t axis = 0; axis < 3; ++axis) {
                Offset of_face = offset;
                of_face[axis] += face;
                eachWeighted(Linear(), window, int(axis), at, of_face, [&](size_t i, int64_t sum) { total[axis][i] += share * sum; });
            }
        }
        constexpr int kBits = 3 * Linear::kBits + 2 + kHalfStep;
        for (size_t axis = 0; axis < 3; ++axis)
            for (size_t i = 0; i < kLeafVoxels; ++i) at[axis][i] -= int32_t((total[axis][i] + (int64_t(1) << (kBits - 1))) >> kBits);
    }
}

// Components `first` to `last` of the source at positions that are `offset` from those given.
template<typename Taps>
inline void interpolate(const Movement& movement, const Taps& taps, const Positions& at, Offset offset, int first, int last,
    Window& window, int32_t* to)
{
    constexpr int kBits = 3 * Taps::kBits;
    for (size_t axis = 0; axis < 3; ++axis) offset[axis] -= movement.shift[axis];
    window.load(movement.source, at, offset, offset, Taps::kFirst, Taps::kTaps);
    for (int component = first; component < last; ++component)
        eachWeighted(taps, window, component, at, offset, [&](size_t i, int64_t sum) {
            to[int(i) * movement.source.components + component] = int32_t((sum + (int64_t(1) << (kBits - 1))) >> kBits);
        });
}

// What comes to the leaf at `origin`: 512 voxels of the source's components.
inline void moveLeaf(const Movement& movement, const Cubic& cubic, const int32_t* origin, int32_t* to) {
    Window window(origin);
    Positions at;
    const int components = movement.source.components;
    const bool moves = movement.displacement_count > 0, faces = moves && movement.staggered && components > 1;
    for (int first = 0; first < components; first += faces ? 1 : components) {
        Offset face{};
        if (faces) face[size_t(first)] = kHalfVoxel;
        for (int i = 0; i < kLeafVoxels; ++i) {
            const int32_t slot[3] = {i >> 6, i >> 3 & 7, i & 7};
            for (size_t a = 0; a < 3; ++a) at[a][size_t(i)] = slot[a] * kVoxel - face[a];
        }
        if (movement.blocks.vectors) takeOff(movement.blocks, origin, at);
        else trace(movement, window, at);
        const int last = faces ? first + 1 : components;
        if (movement.cubic && (moves || movement.blocks.vectors)) interpolate(movement, cubic, at, face, first, last, window, to);
        else interpolate(movement, Linear(), at, face, first, last, window, to); // the same where nothing is between voxels
    }
}

} // namespace nvdb
