// The inputs of a predictor as data: values/lattice/inputs.py hands its InputLayout over.
#pragma once

#include "coding.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace nvdb {

constexpr int kFarthest = 3; // points are at most so far away along an axis

struct InputLayout {
    std::vector<Group> groups;
    std::vector<std::array<int, 3>> offsets; // of all points
    std::vector<int> line; // the points that make the base
    int scales = 0;
    int along = kNoAxis; // alongOf() this

    int points() const { return int(offsets.size()); }
    int count() const { return 2 * points() + scales; }

    void check(int sources, int line_points, int scales_needed) const {
        bool fits = points() <= kMaxPoints && sources <= kMaxSources && int(groups.size()) <= kMaxGroups;
        fits = fits && scales == scales_needed && int(line.size()) == line_points;
        for (const int i : line) fits = fits && i >= 0 && i < points();
        for (const auto& group : groups) fits = fits && group.source >= 0 && group.source < sources;
        for (const auto& offset : offsets)
            for (const int along : offset) fits = fits && std::abs(along) <= kFarthest;
        if (!fits) throw std::invalid_argument("layout of inputs");
    }
};

// The layouts that lines.h knows: those of values/lattice/sample_inputs.py and mean_inputs.py.
inline InputLayout knownLayout(bool mean, int axis, int phase) {
    std::array<std::array<int, 3>, 3> units{}; // along the axis, then along the other two
    int other = 1;
    for (int a = 0; a < 3; ++a) {
        auto& unit = units[a == axis ? 0 : size_t(other++)];
        unit[size_t(a)] = mean || a <= axis ? 1 : 2;
    }
    InputLayout layout;
    const auto add = [&](int along, int first, int second) {
        std::array<int, 3> offset{};
        for (size_t a = 0; a < 3; ++a) offset[a] = along * units[0][a] + first * units[1][a] + second * units[2][a];
        layout.offsets.push_back(offset);
    };
    for (int along = mean ? -2 : -3; along <= (mean ? 2 : 3); along += mean ? 1 : 2)
        for (int first = -1; first <= 1; ++first)
            for (int second = -1; second <= 1; ++second) add(along, first, second);
    layout.groups.push_back({0, true, true, 0, layout.points()});
    layout.line = mean ? std::vector<int>{13, 22, 31} : std::vector<int>{4, 13, 22, 31};
    layout.scales = mean ? kMeanScales : kSampleScales;
    if (!phase) return layout;
    for (int which = 0; which < 3; ++which)
        for (int sign = -1; sign <= 1; sign += 2)
            add(which == 0 ? sign * (mean ? 1 : 2) : 0, which == 1 ? sign : 0, which == 2 ? sign : 0);
    layout.groups.push_back({int(mean), !mean, false, layout.groups[0].end, layout.points()});
    return layout;
}

inline bool operator==(const Group& a, const Group& b) {
    return a.source == b.source && a.centred == b.centred && a.scaling == b.scaling && a.begin == b.begin && a.end == b.end;
}

// The axis along which lines.h knows a layout, else kNoAxis.
inline int alongOf(const InputLayout& layout) {
    for (int axis = 0; axis < 3; ++axis) {
        const InputLayout known = knownLayout(layout.scales == kMeanScales, axis, layout.groups.size() > 1);
        if (known.groups == layout.groups && known.offsets == layout.offsets && known.line == layout.line &&
            known.scales == layout.scales) return axis;
    }
    return kNoAxis;
}

} // namespace nvdb
