// What Python hands over to the compiled lattice, checked once per call.
#pragma once

#include "../../nets/native/checks.h"
#include "layout.h"
#include "network.h"
#include "predict.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace nvdb {

namespace nb = nanobind;

constexpr int64_t kNoBrick = int64_t(1) << 31, kMaxStep = 1 << 24, kMaxKnee = int64_t(1) << 30; // far beyond any of the format

template<typename T, typename Shape>
using In = nb::ndarray<const T, Shape, nb::c_contig, nb::device::cpu>;

inline void require(bool fits, const char* what) {
    if (!fits) throw nb::value_error(what);
}

// Beyond the end of a tuple, nanobind would read on.
inline void requireItems(const nb::tuple& from, size_t count) { require(from.size() == count, "a tuple of another length"); }

// Numbers from -limit to limit.
inline std::vector<int32_t> numbers(const nb::handle& array, int32_t limit) {
    const auto from = nb::cast<nb::ndarray<const int32_t, nb::c_contig, nb::device::cpu>>(array);
    std::vector<int32_t> to(from.data(), from.data() + from.size());
    if (std::any_of(to.begin(), to.end(), [&](int32_t x) { return x < -limit || x > limit; })) throw nb::value_error("network");
    return to;
}

// (w1, b1, w2, b2, w3, b3, linear path, shifts, products)
inline Net toNet(const nb::tuple& from) {
    requireItems(from, 9);
    constexpr int32_t kMaxWeight = 127, kMaxBias = 1 << 23; // of nets/network.py
    const Weights weights{numbers(from[0], kMaxWeight), numbers(from[1], kMaxBias), numbers(from[2], kMaxWeight),
        numbers(from[3], kMaxBias), numbers(from[4], kMaxWeight), numbers(from[5], kMaxBias), numbers(from[6], kMaxWeight),
        nb::cast<std::vector<int>>(from[7])};
    if (!weights.fit() || !allBelow(weights.shifts.data(), weights.shifts.size(), 32)) throw nb::value_error("network");
    const auto allowed = nb::cast<int>(from[8]);
    if (allowed < 0 || allowed > int(Products::vnni)) throw nb::value_error("products");
    return prepared(weights, std::min(bestProducts(), Products(allowed)));
}

using Table = In<int32_t, nb::ndim<3>>;
using Cells = In<int32_t, nb::shape<-1, 3>>;
using Values = In<int32_t, nb::shape<-1, 512>>;
using Flags = In<uint8_t, nb::shape<-1, 512>>;
using Bricks = In<int32_t, nb::ndim<1>>;
using Places = In<int16_t, nb::ndim<1>>;
using Offsets = In<int32_t, nb::shape<-1, 3>>;
using NewBricks = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig>;
using NewPlaces = nb::ndarray<int16_t, nb::ndim<1>, nb::c_contig>;
using Predictions = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig>;
using Classes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig>;

// An array as it is: of this type, never a copy, which would not outlive the call.
template<typename ArrayT>
ArrayT exact(const nb::handle& array) {
    ArrayT as_is;
    if (!nb::try_cast<ArrayT>(array, as_is, false)) throw nb::value_error("an array of another type");
    return as_is;
}

// (table, cells, [(values, active), ...], share or None) of `bricks` bricks at least; the arrays must outlive the view.
inline View toView(const nb::tuple& from, size_t bricks) {
    requireItems(from, 4);
    const auto table = exact<Table>(from[0]);
    const auto cells = exact<Cells>(from[1]);
    if ((bricks && !table.size()) || cells.shape(0) < bricks) throw nb::value_error("cells");
    View view{{}, nullptr};
    if (!from[3].is_none()) {
        const auto share = exact<Flags>(from[3]);
        if (share.shape(0) < bricks) throw nb::value_error("share");
        view.share = share.data();
    }
    for (const nb::handle source : nb::cast<nb::list>(from[2])) {
        const auto pair = nb::cast<nb::tuple>(source);
        const auto values = exact<Values>(pair[0]);
        const auto active = exact<Flags>(pair[1]);
        if (values.shape(0) != active.shape(0) || values.shape(0) < bricks) throw nb::value_error("level");
        view.sources.push_back({table.data(), {int64_t(table.shape(0)), int64_t(table.shape(1)), int64_t(table.shape(2))},
            cells.data(), values.data(), active.data()});
    }
    return view;
}

// ([(offsets, source, centred, scaling), ...], line, scales)
inline InputLayout toLayout(const nb::list& groups, const nb::list& line, int scales) {
    InputLayout layout;
    layout.line = nb::cast<std::vector<int>>(line);
    layout.scales = scales;
    for (const nb::handle item : groups) {
        const auto group = nb::cast<nb::tuple>(item);
        const auto offsets = nb::cast<Offsets>(group[0]);
        const int begin = layout.points();
        for (size_t i = 0; i < offsets.shape(0); ++i) layout.offsets.push_back({offsets(i, 0), offsets(i, 1), offsets(i, 2)});
        layout.groups.push_back({nb::cast<int>(group[1]), nb::cast<bool>(group[2]), nb::cast<bool>(group[3]), begin,
            layout.points()});
    }
    layout.along = alongOf(layout);
    return layout;
}

// Whether a network takes the inputs of a layout that looks at so many sources.
inline void checkPass(const InputLayout& layout, const Net& net, Rule rule, int sources) {
    const bool mean = rule == Rule::mean;
    layout.check(sources, mean ? 3 : 4, mean ? kMeanScales : kSampleScales);
    if (layout.points() != net.points || layout.scales != net.scales) throw nb::value_error("network");
}

// A numpy array that owns the numbers of an Array or a vector.
template<typename ArrayT, typename... Sizes>
auto toNumpy(ArrayT&& from, Sizes... sizes) {
    auto* kept = new ArrayT(std::move(from));
    const nb::capsule owner(kept, [](void* array) noexcept { delete static_cast<ArrayT*>(array); });
    return nb::ndarray<nb::numpy, std::remove_pointer_t<decltype(kept->data())>>(kept->data(), {size_t(sizes)...}, owner);
}

inline bool isKnee(int64_t knee) { return knee >= 0 && knee <= kMaxKnee; }

} // namespace nvdb
