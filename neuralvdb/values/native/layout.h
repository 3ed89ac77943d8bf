// The inputs of a predictor as data: values/lattice/inputs.py hands its InputLayout over.
#pragma once

#include "neighbourhood.h"
#include "network.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace nvdb {

constexpr int kMaxPoints = 96, kMaxScales = 8, kMaxSources = 4;
static_assert(kMaxInputs >= 2 * kMaxPoints + kMaxScales);

// How the base is made, and whether points that are not active count as the centre.
enum class Rule { sample, activeOnly, mean };

// Points `begin` to `end` of all that are seen, from one source of a view. centred: whether distances from the centre
// are seen, else the values; scaling: whether their mean distance is the scale.
struct Group {
    int source;
    bool centred, scaling;
    int begin, end;
};

struct InputLayout {
    std::vector<Group> groups;
    std::vector<std::array<int, 3>> offsets; // of all points
    std::vector<int> distances; // in a Neighbourhood, of all points
    std::vector<int> line; // the points that make the base
    int scales = 0;

    int points() const { return int(offsets.size()); }
    int count() const { return 2 * points() + scales; }

    void check(int sources, int line_points, int scales_needed) const {
        bool fits = points() <= kMaxPoints && sources <= kMaxSources;
        fits = fits && scales == scales_needed && int(line.size()) == line_points;
        for (const int i : line) fits = fits && i >= 0 && i < points();
        for (const auto& group : groups) fits = fits && group.source >= 0 && group.source < sources;
        for (const auto& offset : offsets)
            for (const int along : offset) fits = fits && std::abs(along) <= kPad;
        if (!fits) throw std::invalid_argument("layout of inputs");
    }

    void add(const std::array<int, 3>& offset) {
        offsets.push_back(offset);
        distances.push_back((offset[0] * kPadded + offset[1]) * kPadded + offset[2]);
    }

    // Points of scaling groups: sums over them must stay within 32 bits.
    int scaling() const {
        int count = 0;
        for (const auto& group : groups) count += group.scaling ? group.end - group.begin : 0;
        return count;
    }

    // What points at `places` (0 to 511) of a brick look at in one of the sources.
    Reach reach(int source, const int16_t* places, size_t count) const {
        bool here[3][kEdge] = {}, seen[3][kPadded] = {};
        for (size_t i = 0; i < count; ++i)
            for (int axis = 0; axis < 3; ++axis) here[axis][places[i] >> (6 - 3 * axis) & 7] = true;
        for (const auto& group : groups) {
            if (group.source != source) continue;
            for (int i = group.begin; i < group.end; ++i)
                for (int axis = 0; axis < 3; ++axis)
                    for (int k = 0; k < kEdge; ++k) seen[axis][kPad + k + offsets[i][axis]] |= here[axis][k];
        }
        Reach reach;
        for (int axis = 0; axis < 3; ++axis)
            for (int k = 0; k < kPadded; ++k)
                if (seen[axis][k]) reach[axis].add(k);
        return reach;
    }
};

} // namespace nvdb
