// What code for one kind of processor needs to know of a pass: plain numbers and pointers (predict.h makes them).
#pragma once

#include "constants.h"

#include <cstddef>
#include <cstdint>

namespace nvdb {

constexpr int kMaxPoints = 96, kSampleScales = 3, kMeanScales = 4, kMaxScales = 4, kMaxSources = 4, kMaxGroups = 8, kNoAxis = 3;
constexpr int kBlock = 16; // points that are predicted together
constexpr int kManyRows = 8, kFewRows = 4; // of hidden layers, whose sums are made together: with VNNI, without

// How the base is made, and whether points that are not active count as the centre.
enum class Rule { sample, activeOnly, mean };

// Values and active flags, 0 or 1, of the bricks of a level; values are below 2^30. cells: each brick's coordinates;
// table: the brick of each cell. packed: twice the value plus the flag, where all that may be seen fit (packed.h), or null.
struct LevelView {
    const int32_t* table;
    int64_t shape[3];
    const int32_t* cells;
    const int32_t* values;
    const uint8_t* active;
    const int16_t* packed = nullptr;
};

// Points `begin` to `end` of all that are seen, from one source of a view. centred: whether distances from the centre
// are seen, else the values; scaling: whether their mean distance is the scale.
struct Group {
    int source;
    bool centred, scaling;
    int begin, end;
};

// A layer as Packed (network.h) has it.
struct PackedView {
    const int32_t *weights, *bias, *begin, *runs, *inputs;
    int32_t groups;
};

struct NetView {
    bool hidden;
    PackedView first[2], second, third, linear[2];
    int shifts[6];
};

// A pass: what its points see of which levels, and the network. axis: of the pass whose points must not be seen before
// they are coded, kNoAxis for cells. line: of the points, those that make the base. along: the axis of a layout that
// lines.h has, else kNoAxis; there, points of a pass are those whose offset has `bits` of `mask`.
struct Coding {
    Rule rule;
    int axis, along, source_count, group_count, points, scales, line[4], mask, bits;
    int64_t step, log_step;
    LevelView sources[kMaxSources];
    const uint8_t* share;
    Group groups[kMaxGroups];
    int offsets[kMaxPoints][3];
    NetView net;
};

constexpr int kLargest = (1 << 14) - 1; // value in 16 bits beside its flag, less the brick's reference

// Points by brick and offset; those from `first` to `last` are to be predicted, sorted by brick.
struct Targets {
    const int32_t* bricks;
    const int16_t* places;
    size_t first, last;
};

// Predictions and scale classes of points; takes no memory (nets/native/parallel.h).
using PredictRange = void (*)(const Coding&, const Targets&, int32_t* predictions, uint8_t* scale_classes);

namespace portable { void predictRange(const Coding&, const Targets&, int32_t*, uint8_t*); }
namespace avx2 { void predictRange(const Coding&, const Targets&, int32_t*, uint8_t*); }
namespace avx512 { void predictRange(const Coding&, const Targets&, int32_t*, uint8_t*); }

// Coordinates of a brick along one axis from `first` before it on, clamped to the level's box, those of points of a pass
// mirrored first (values/lattice/inputs.py).
inline int64_t coordinate(const Coding& coding, const LevelView& level, int along, int64_t at) {
    const int64_t last = level.shape[along] * kEdge - 1, turn = last - (along > coding.axis);
    if (coding.axis != kNoAxis) at = at > last ? 2 * turn - at : at < 0 && along != coding.axis ? -at : at;
    return at < 0 ? 0 : at > last ? last : at;
}

} // namespace nvdb
