// Twin of motion/move.py: a grid moved along velocities, leaf by leaf. Same integers; see there for what is computed.
#pragma once

#include "../../nets/native/simd.h"
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
    const int32_t* read; // the same as whole numbers; null where they are read when they are needed
    int components;
    int32_t background[kMaxComponents];
    double scale, limit;

    int32_t whole(double value) const { return wholes(FourReals{value})[0]; }

    template<typename T>
    NVDB_LANES void wholes(const T* values, int64_t count, int32_t* to) const {
        int64_t i = 0;
        for (; i + 4 <= count; i += 4) {
            const FourNarrow four = wholes(FourReals{double(values[i]), double(values[i + 1]), double(values[i + 2]), double(values[i + 3])});
            std::memcpy(to + i, &four, sizeof(four));
        }
        for (; i < count; ++i) to[i] = wholes(FourReals{double(values[i])})[0];
    }

private:
    // As motion/field.py has it.
    NVDB_LANES FourNarrow wholes(FourReals values) const {
        constexpr double kShift = 0x1.8p52;
        FourReals x = values * scale;
        x = x == x ? x : FourReals{};
        x = x > limit ? FourReals{} + limit : x;
        x = x < -limit ? FourReals{} - limit : x;
        return NVDB_CONVERT((x + kShift) - kShift, FourNarrow);
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
    int32_t weights[kVoxel][kTaps];

    Cubic() {
        for (int64_t f = 0; f < kVoxel; ++f) {
            const int64_t one = f << 16, two = f * f << 8, three = f * f * f;
            const int64_t all[] = {2 * two - three - one, 3 * three - 5 * two + (2 << 24), 4 * two - 3 * three + one, three - two};
            int32_t rest = 1 << kBits;
            for (int i = 0; i < kTaps; ++i) rest -= weights[f][i] = int32_t((all[i] + (1 << 15)) >> 16);
            weights[f][1 + (f >= kHalfVoxel)] += rest;
        }
    }
};

using Offset = std::array<int32_t, 3>;

// Some voxels of a leaf.
struct Voxels {
    size_t count = 0;
    std::array<uint16_t, kLeafVoxels> slots;

    // Those whose bits are set.
    explicit Voxels(const uint8_t* bits) {
        for (int slot = 0; slot < kLeafVoxels; ++slot)
            if (bits[slot >> 3] >> (slot & 7) & 1) slots[count++] = uint16_t(slot);
    }
};

// Positions of voxels of a leaf, axis by axis, less the leaf's origin.
struct Positions {
    size_t count;
    std::array<std::array<int32_t, kLeafVoxels>, 3> at;

    // Where voxels are; face: from there to what is moved.
    void take(const Voxels& voxels, const Offset& face) {
        count = voxels.count;
        for (size_t i = 0; i < count; ++i) {
            const int slot = voxels.slots[i], voxel[3] = {slot >> 6, slot >> 3 & 7, slot & 7};
            for (size_t axis = 0; axis < 3; ++axis) at[axis][i] = voxel[axis] * kVoxel - face[axis];
        }
    }
};

// From where to where positions are along each axis.
struct Ends {
    int32_t low[3] = {INT32_MAX, INT32_MAX, INT32_MAX}, high[3] = {INT32_MIN, INT32_MIN, INT32_MIN};

    // Takes those that are `before` to `behind` those given, of which there is one at least.
    void add(const Positions& positions, const Offset& before, const Offset& behind) {
        for (size_t axis = 0; axis < 3; ++axis) {
            int32_t least = INT32_MAX, most = INT32_MIN;
            for (size_t i = 0; i < positions.count; ++i) {
                least = std::min(least, positions.at[axis][i]);
                most = std::max(most, positions.at[axis][i]);
            }
            low[axis] = std::min(low[axis], least + before[axis]);
            high[axis] = std::max(high[axis], most + behind[axis]);
        }
    }
};

// Field values within a box of voxels around a leaf, component by component.
class Window {
public:
    explicit Window(const int32_t* origin): origin_{origin[0], origin[1], origin[2]} {}

    // Takes what interpolation reads.
    void load(const Field& field, const Ends& ends, int first, int taps) {
        int64_t from[3], to[3];
        for (size_t axis = 0; axis < 3; ++axis) {
            low_[axis] = (ends.low[axis] >> 8) + first;
            size_[axis] = (ends.high[axis] >> 8) + first + taps - low_[axis];
            from[axis] = origin_[axis] + low_[axis];
            to[axis] = from[axis] + size_[axis];
        }
        int64_t brick[3];
        for (brick[0] = from[0] & ~7; brick[0] < to[0]; brick[0] += kLeafEdge)
            for (brick[1] = from[1] & ~7; brick[1] < to[1]; brick[1] += kLeafEdge)
                for (brick[2] = from[2] & ~7; brick[2] < to[2]; brick[2] += kLeafEdge) copy(field, brick, from, to);
    }

    // Where what is at a voxel, less the leaf's origin, is among values().
    int indexOf(int component, int x, int y, int z) const {
        return ((component * size_[0] + x - low_[0]) * size_[1] + y - low_[1]) * size_[2] + z - low_[2];
    }
    const int32_t* values() const { return values_; }
    int64_t row() const { return size_[2]; }
    int64_t plane() const { return int64_t(size_[1]) * size_[2]; }

private:
    // A leaf's edge, what moves two steps of four voxels either way, and what is around it.
    static constexpr int kMostEdge = kLeafEdge + 2 * 8 + 8;

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
        const int64_t count = last[2] - first[2];
        for (int64_t x = first[0]; x < last[0]; ++x)
            for (int64_t y = first[1]; y < last[1]; ++y) {
                const int64_t slot = ((leaf * kLeafEdge + (x & 7)) * kLeafEdge + (y & 7)) * kLeafEdge + (first[2] & 7);
                const int to = indexOf(0, int(x - origin_[0]), int(y - origin_[1]), int(first[2] - origin_[2]));
                if (leaf < 0) fill(field, count, to);
                else if (field.read) divide(field, field.read + slot * field.components, count, to);
                else if (field.narrow) take(field, field.narrow + slot * field.components, count, to);
                else take(field, field.wide + slot * field.components, count, to);
            }
    }

    void fill(const Field& field, int64_t count, int to) {
        for (int c = 0; c < field.components; ++c) std::fill_n(values_ + to + c * cells(), count, field.background[c]);
    }

    template<typename T>
    NVDB_LANES void take(const Field& field, const T* from, int64_t count, int to) {
        if (field.components == 1) return field.wholes(from, count, values_ + to);
        int32_t numbers[kLeafEdge * kMaxComponents];
        field.wholes(from, count * field.components, numbers);
        divide(field, numbers, count, to);
    }

    void divide(const Field& field, const int32_t* numbers, int64_t count, int to) {
        for (int c = 0; c < field.components; ++c) {
            int32_t* const row = values_ + to + c * cells();
            for (int64_t i = 0; i < count; ++i) row[i] = numbers[i * field.components + c];
        }
    }

    int cells() const { return size_[0] * size_[1] * size_[2]; }

    int64_t origin_[3];
    int low_[3], size_[3];
    int32_t values_[kMaxComponents * kMostEdge * kMostEdge * kMostEdge];
};

using Part = std::array<double, 3>; // of a voxel, by which a position is behind one

// All numbers are whole multiples of 2**-24 below 2**28, which doubles hold exactly.
NVDB_LANES int64_t weighted(const Linear&, const int32_t* corner, int64_t row, int64_t plane, const Part& part) {
    const auto plane_at = [row](const int32_t* from) { // (y, z), z fastest
        int64_t rows[2];
        std::memcpy(rows, from, sizeof(*rows));
        std::memcpy(rows + 1, from + row, sizeof(*rows));
        return NVDB_CONVERT((FourNarrow)(Vector<int64_t, 2>{rows[0], rows[1]}), FourReals);
    };
    const FourReals first = plane_at(corner), four = first + part[0] * (plane_at(corner + plane) - first);
    const Vector<double, 2> near{four[0], four[1]}, two = near + part[1] * (Vector<double, 2>{four[2], four[3]} - near);
    return int64_t((two[0] + part[2] * (two[1] - two[0])) * (1 << 3 * Linear::kBits));
}

// Numbers are below 2**46 before the last sum, which doubles would not hold.
NVDB_LANES int64_t weighted(const Cubic& taps, const int32_t* corner, int64_t row, int64_t plane, const Part& part) {
    const auto along = [&](size_t axis) { return taps.weights[int(part[axis] * kVoxel)]; };
    const int32_t *x = along(0), *y = along(1), *z = along(2);
    FourReals rows{};
    for (int tap = 0; tap < Cubic::kTaps; ++tap) {
        FourReals of_plane{};
        for (int j = 0; j < Cubic::kTaps; ++j) {
            FourNarrow four;
            std::memcpy(&four, corner + tap * plane + j * row, sizeof(four));
            of_plane += double(y[j]) * NVDB_CONVERT(four, FourReals);
        }
        rows += double(x[tap]) * of_plane;
    }
    int64_t sum = 0;
    for (int k = 0; k < Cubic::kTaps; ++k) sum += z[k] * int64_t(rows[k]);
    return sum;
}

// Calls job(number, sum) with the weighted sum of what is around each position, which are `offset` from those given.
template<typename Taps, typename Job>
NVDB_LANES void eachWeighted(const Taps& taps, const Window& window, int component, const Positions& positions, const Offset& offset,
    const Job& job)
{
    const auto& at = positions.at;
    const int64_t row = window.row(), plane = window.plane();
    int32_t corners[kLeafVoxels];
    double parts[3][kLeafVoxels];
    for (size_t i = 0; i < positions.count; ++i) {
        const int32_t place[3] = {at[0][i] + offset[0], at[1][i] + offset[1], at[2][i] + offset[2]};
        const auto first = [&](int axis) { return (place[axis] >> 8) + Taps::kFirst; };
        corners[i] = window.indexOf(component, first(0), first(1), first(2));
        for (int axis = 0; axis < 3; ++axis) parts[axis][i] = (place[axis] & (kVoxel - 1)) * (1.0 / kVoxel);
    }
    for (size_t i = 0; i < positions.count; ++i)
        job(i, weighted(taps, window.values() + corners[i], row, plane, {parts[0][i], parts[1][i], parts[2][i]}));
}

// Moves positions of whole voxels back by vectors of blocks.
inline void takeOff(const Blocks& blocks, const int32_t* origin, const Voxels& voxels, Positions& positions) {
    Beside beside[3][kLeafEdge];
    for (size_t axis = 0; axis < 3; ++axis)
        for (int step = 0; step < kLeafEdge; ++step) beside[axis][step] = blocks.beside(axis, int64_t(origin[axis]) + step);
    for (size_t i = 0; i < positions.count; ++i) {
        const int slot = voxels.slots[i];
        const auto sum = blocks.sum({beside[0][slot >> 6], beside[1][slot >> 3 & 7], beside[2][slot & 7]});
        for (size_t axis = 0; axis < 3; ++axis) positions.at[axis][i] -= roundedSum(sum[axis]);
    }
}

// Where voxels of a leaf come from, more and more exactly: those of each component that has faces of its own, or of all.
struct Origins {
    size_t count;
    Positions at[kMaxComponents];
    Offset face[kMaxComponents]; // from there to what is moved
};

// Moves positions back along the displacements, in two steps.
inline void trace(const Movement& movement, Window& window, Origins& origins) {
    std::array<std::array<int64_t, kLeafVoxels>, 3> total[kMaxComponents];
    for (int step = 0; step < 2 && movement.displacement_count; ++step) {
        for (size_t of = 0; of < origins.count; ++of) total[of] = {};
        for (int number = 0; number < movement.displacement_count; ++number) {
            const int64_t share = movement.displacement_count == 1 ? 4 : step == number ? 3 : 1;
            const int32_t face = movement.staggered ? kHalfVoxel : 0;
            Offset offset{}, behind{};
            for (size_t a = 0; a < 3; ++a) {
                offset[a] = -number * movement.shift[a];
                behind[a] = offset[a] + face;
            }
            Ends ends;
            for (size_t of = 0; of < origins.count; ++of) ends.add(origins.at[of], offset, behind);
            window.load(movement.displacements[number], ends, Linear::kFirst, Linear::kTaps);
            for (size_t axis = 0; axis < 3; ++axis) {
                Offset of_face = offset;
                of_face[axis] += face;
                for (size_t of = 0; of < origins.count; ++of)
                    eachWeighted(Linear(), window, int(axis), origins.at[of], of_face, [&](size_t i, int64_t sum) { total[of][axis][i] += share * sum; });
            }
        }
        constexpr int kBits = 3 * Linear::kBits + 2 + kHalfStep;
        for (size_t of = 0; of < origins.count; ++of)
            for (size_t axis = 0; axis < 3; ++axis)
                for (size_t i = 0; i < origins.at[of].count; ++i)
                    origins.at[of].at[axis][i] -= int32_t((total[of][axis][i] + (int64_t(1) << (kBits - 1))) >> kBits);
    }
}

// What the source has there.
template<typename Taps>
inline void interpolate(const Movement& movement, const Taps& taps, const Voxels& voxels, const Origins& origins, Window& window,
    int32_t* to)
{
    constexpr int kBits = 3 * Taps::kBits;
    const int components = movement.source.components;
    Offset offset[kMaxComponents];
    Ends ends;
    for (size_t of = 0; of < origins.count; ++of) {
        for (size_t axis = 0; axis < 3; ++axis) offset[of][axis] = origins.face[of][axis] - movement.shift[axis];
        ends.add(origins.at[of], offset[of], offset[of]);
    }
    window.load(movement.source, ends, Taps::kFirst, Taps::kTaps);
    for (int component = 0; component < components; ++component) {
        const size_t of = origins.count > 1 ? size_t(component) : 0;
        eachWeighted(taps, window, component, origins.at[of], offset[of], [&](size_t i, int64_t sum) {
            to[voxels.slots[i] * components + component] = int32_t((sum + (int64_t(1) << (kBits - 1))) >> kBits);
        });
    }
}

inline void moveAnywhere(const Movement& movement, const Cubic& cubic, const int32_t* origin, const Voxels& voxels, int32_t* to) {
    Window window(origin);
    const bool moves = movement.displacement_count > 0, faces = moves && movement.staggered;
    Origins origins;
    origins.count = faces ? size_t(movement.source.components) : 1;
    for (size_t of = 0; of < origins.count; ++of) {
        origins.face[of] = {};
        if (origins.count > 1) origins.face[of][of] = kHalfVoxel;
        origins.at[of].take(voxels, origins.face[of]);
    }
    if (movement.blocks.vectors) takeOff(movement.blocks, origin, voxels, origins.at[0]);
    else trace(movement, window, origins);
    if (movement.cubic && (moves || movement.blocks.vectors)) interpolate(movement, cubic, voxels, origins, window, to);
    else interpolate(movement, Linear(), voxels, origins, window, to); // the same where nothing is between voxels
}

#ifdef NVDB_AVX2
NVDB_AVX2 inline void moveFast(const Movement& movement, const Cubic& cubic, const int32_t* origin, const Voxels& voxels, int32_t* to) {
    moveAnywhere(movement, cubic, origin, voxels, to);
}
#endif

// What comes to the voxels of the leaf at `origin` whose bits are set: in 512 voxels of the source's components.
inline void moveLeaf(const Movement& movement, const Cubic& cubic, const int32_t* origin, const uint8_t* bits, int32_t* to) {
    const Voxels voxels(bits);
    if (!voxels.count) return;
#ifdef NVDB_AVX2
    if (hasAvx2()) return moveFast(movement, cubic, origin, voxels, to);
#endif
    moveAnywhere(movement, cubic, origin, voxels, to);
}

} // namespace nvdb
