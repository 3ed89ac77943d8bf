// The Python face of the fast lattice: neuralvdb.values._lattice. Private: lengths and indices are checked here, once per
// call; that a table names rows of its level, and that cells lie in the table, is for its callers.
#include "../../nets/native/checks.h"
#include "../../nets/native/parallel.h"
#include "means.h"
#include "predict.h"
#include "residual.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;

namespace nvdb {
namespace {

constexpr int64_t kNoBrick = int64_t(1) << 31, kMaxStep = 1 << 24, kMaxKnee = 1 << 30; // far beyond any of the format

template<typename T, typename Shape>
using In = nb::ndarray<const T, Shape, nb::c_contig, nb::device::cpu>;

std::vector<float> floats(const nb::handle& array) {
    const auto from = nb::cast<nb::ndarray<const float, nb::c_contig, nb::device::cpu>>(array);
    return std::vector<float>(from.data(), from.data() + from.size());
}

Net toNet(const nb::tuple& from) {
    const auto w1 = floats(from[0]), b1 = floats(from[1]), w2 = floats(from[2]), b2 = floats(from[3]), w3 = floats(from[4]),
        b3 = floats(from[5]), linear = floats(from[6]);
    const auto shifts = nb::cast<std::vector<int>>(from[7]);
    const size_t inputs = linear.size() / kOutputs;
    const bool fits = inputs && inputs <= kMaxInputs && linear.size() == kOutputs * inputs &&
        w1.size() == kFirstHidden * inputs && b1.size() == kFirstHidden && w2.size() == kSecondHidden * kFirstHidden &&
        b2.size() == kSecondHidden && w3.size() == kOutputs * kSecondHidden && b3.size() == kOutputs && shifts.size() == 6;
    if (!fits || !allBelow(shifts.data(), shifts.size(), 32)) throw nb::value_error("network");
    const bool hidden = std::any_of(w3.begin(), w3.end(), [](float weight) { return weight != 0; });
    const auto allowed = nb::cast<int>(from[8]);
    if (allowed < 0 || allowed > int(Products::bytes)) throw nb::value_error("products");
    Net net{hidden, std::min(bestProducts(), Products(allowed)), {kFirstHidden, w1, b1, 128}, {kSecondHidden, w2, b2},
        {kOutputs, w3, b3}, {kOutputs, linear, {}, 128}, {}};
    std::copy(shifts.begin(), shifts.end(), net.shifts);
    return net;
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
template<typename Array>
Array exact(const nb::handle& array) {
    Array as_is;
    if (!nb::try_cast<Array>(array, as_is, false)) throw nb::value_error("an array of another type");
    return as_is;
}

// (table, cells, [(values, active), ...], share or None) of `bricks` bricks at least; the arrays must outlive the view.
View toView(const nb::tuple& from, size_t bricks) {
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
InputLayout toLayout(const nb::handle& groups, const nb::handle& line, const nb::handle& scales) {
    InputLayout layout;
    layout.line = nb::cast<std::vector<int>>(line);
    layout.scales = nb::cast<int>(scales);
    for (const nb::handle item : nb::cast<nb::list>(groups)) {
        const auto group = nb::cast<nb::tuple>(item);
        const auto offsets = nb::cast<Offsets>(group[0]);
        const int begin = layout.points();
        for (size_t i = 0; i < offsets.shape(0); ++i) layout.add({offsets(i, 0), offsets(i, 1), offsets(i, 2)});
        layout.groups.push_back({nb::cast<int>(group[1]), nb::cast<bool>(group[2]), nb::cast<bool>(group[3]), begin,
            layout.points()});
    }
    return layout;
}

// view: as toView() takes it, of `bricks` bricks; coding: (rule, axis, step, then what makes a layout); network: as toNet()
// takes it.
Pass toPass(const nb::tuple& view, size_t bricks, const nb::tuple& coding, const nb::tuple& network) {
    const auto rule = Rule(nb::cast<int>(coding[0]));
    const bool mean = rule == Rule::mean;
    Pass pass{toView(view, bricks), toLayout(coding[3], coding[4], coding[5]), toNet(network), rule,
        mean ? kNoAxis : nb::cast<int>(coding[1]), nb::cast<int64_t>(coding[2])};
    pass.layout.check(int(pass.view.sources.size()), mean ? 3 : 4, mean ? 4 : 3);
    if (pass.layout.count() != pass.net.linear.count) throw nb::value_error("network");
    const bool fits = mean == bool(pass.view.share) && pass.axis >= 0 && pass.axis <= kNoAxis && pass.step >= 1 &&
        pass.step <= kMaxStep;
    if (!fits) throw nb::value_error("pass");
    return pass;
}

// points: (bricks, places); results: (predictions, scale classes), which are filled.
void predict(nb::tuple view, nb::tuple coding, nb::tuple network, nb::tuple points, size_t threads, nb::tuple results) {
    const auto bricks = exact<Bricks>(points[0]);
    const auto places = exact<Places>(points[1]);
    const auto predictions = exact<Predictions>(results[0]);
    const auto scale_classes = exact<Classes>(results[1]);
    const size_t count = bricks.shape(0);
    const bool fits = places.shape(0) == count && predictions.shape(0) == count && scale_classes.shape(0) == count &&
        allBelow(bricks.data(), count, kNoBrick) && allBelow(places.data(), count, kSlots);
    if (!fits) throw nb::value_error("points");
    const size_t highest = count ? size_t(*std::max_element(bricks.data(), bricks.data() + count)) + 1 : 0;
    const Pass pass = toPass(view, highest, coding, network);
    nb::gil_scoped_release release;
    inParallel(count, threads, 4096, [&](size_t first, size_t last) {
        predictRange(pass, {bricks.data(), places.data(), first, last}, predictions.data(), scale_classes.data());
    });
}

// How many of the points at `places` of each brick are flagged.
size_t countPoints(Flags flags, Places places) {
    nb::gil_scoped_release release;
    size_t count = 0;
    for (size_t brick = 0; brick < flags.shape(0); ++brick)
        for (size_t i = 0; i < places.shape(0); ++i)
            count += flags.data()[kSlots * brick + size_t(places.data()[i] & 511)] != 0;
    return count;
}

// Which they are: their bricks and their places there.
void listPoints(Flags flags, Places places, NewBricks bricks, NewPlaces offsets) {
    if (!allBelow(places.data(), places.shape(0), kSlots)) throw nb::value_error("places");
    if (bricks.shape(0) != offsets.shape(0) || bricks.shape(0) != countPoints(flags, places)) throw nb::value_error("points");
    nb::gil_scoped_release release;
    int32_t* to_brick = bricks.data();
    int16_t* to_offset = offsets.data();
    for (size_t brick = 0; brick < flags.shape(0); ++brick) {
        for (size_t i = 0; i < places.shape(0); ++i) {
            const int16_t place = places.data()[i];
            if (!flags.data()[kSlots * brick + size_t(place & 511)]) continue;
            *to_brick++ = int32_t(brick);
            *to_offset++ = place;
        }
    }
}

using Pairs = In<int32_t, nb::shape<-1, 2>>;
using Halves8 = In<uint8_t, nb::shape<-1, 512>>;
using Halves16 = In<uint16_t, nb::shape<-1, 512>>;
using NewFlags = nb::ndarray<uint8_t, nb::shape<-1, 512>, nb::c_contig>;
using NewValues = nb::ndarray<int32_t, nb::shape<-1, 512>, nb::c_contig>;

template<typename CountsT>
void sharesOf(Pairs pairs, CountsT counts, int axis, NewFlags share, NewFlags both) {
    const bool fits = share.shape(0) == pairs.shape(0) && both.shape(0) == pairs.shape(0) &&
        allBelow(pairs.data(), pairs.size(), int64_t(counts.shape(0)));
    if (!fits || axis < 0 || axis > 2) throw nb::value_error("shares");
    nb::gil_scoped_release release;
    shares(pairs.data(), counts.data(), int64_t(pairs.shape(0)), axis, share.data(), both.data());
}

bool isKnee(int64_t knee) { return knee >= 0 && knee <= kMaxKnee; }

// rules: (axis, knee, nonnegative)
template<typename CountsT>
void splitInto(Pairs pairs, CountsT counts, Values means, Values differences, nb::tuple rules, NewValues below) {
    const int axis = nb::cast<int>(rules[0]);
    if (axis < 0 || axis > 2) throw nb::value_error("axis");
    const Splitting splitting{Halves(axis), {nb::cast<int64_t>(rules[1])}, nb::cast<bool>(rules[2])};
    const size_t rows = means.shape(0);
    const bool fits = pairs.shape(0) >= rows && differences.shape(0) >= rows && counts.shape(0) == below.shape(0) &&
        allBelow(pairs.data(), 2 * rows, int64_t(counts.shape(0)));
    if (!fits || !isKnee(splitting.compand.knee)) throw nb::value_error("means");
    nb::gil_scoped_release release;
    const CoarseCells cells{pairs.data(), means.data(), differences.data(), int64_t(rows)};
    split(cells, splitting, counts.data(), below.data());
}

void compandInto(Values means, int64_t knee, NewValues to) {
    if (means.shape(0) != to.shape(0) || !isKnee(knee)) throw nb::value_error("means");
    nb::gil_scoped_release release;
    const Compand compand{knee};
    std::transform(means.data(), means.data() + means.size(), to.data(), [&](int32_t x) { return int32_t(compand.in(x)); });
}

using Residuals = In<int32_t, nb::ndim<1>>;
using ScaleClasses = In<uint8_t, nb::ndim<1>>;
using Counts = nb::ndarray<int64_t, nb::shape<kScaleClasses, kSymbols>, nb::c_contig>;
using Coded = In<uint8_t, nb::shape<kScaleClasses, kSymbols>>;
using NewSymbols = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig>;
using NewBits = nb::ndarray<uint32_t, nb::ndim<1>, nb::c_contig>;
using Escaped = In<int64_t, nb::ndim<1>>;
using NewResiduals = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig>;

void countInto(Residuals residuals, ScaleClasses scale_classes, Counts counts) {
    const size_t count = residuals.shape(0);
    if (scale_classes.shape(0) != count || !allBelow(scale_classes.data(), count, kScaleClasses)) throw nb::value_error("classes");
    nb::gil_scoped_release release;
    countSymbols(residuals.data(), scale_classes.data(), count, counts.data());
}

// results: (symbols, low bits, their widths, escaped values), each with room for all; gives how many of the low bits and of
// the escaped values there are.
nb::tuple splitResidualsInto(Residuals residuals, ScaleClasses scale_classes, Coded coded, nb::tuple results) {
    const auto symbols = exact<NewSymbols>(results[0]), widths = exact<NewSymbols>(results[2]);
    const auto bits = exact<NewBits>(results[1]), escaped = exact<NewBits>(results[3]);
    const size_t count = residuals.shape(0);
    const bool fits = scale_classes.shape(0) == count && symbols.shape(0) == count && widths.shape(0) == count &&
        bits.shape(0) == count && escaped.shape(0) == count && allBelow(scale_classes.data(), count, kScaleClasses);
    if (!fits) throw nb::value_error("residuals");
    Batch batch{symbols.data(), bits.data(), widths.data(), escaped.data()};
    {
        nb::gil_scoped_release release;
        splitResiduals(residuals.data(), scale_classes.data(), count, coded.data(), batch);
    }
    return nb::make_tuple(batch.low, batch.rare);
}

void joinInto(ScaleClasses symbols, ScaleClasses scale_classes, Escaped escaped, NewResiduals residuals) {
    const size_t count = symbols.shape(0);
    const auto rare = size_t(std::count(symbols.data(), symbols.data() + count, uint8_t(kEscape)));
    const bool fits = scale_classes.shape(0) == count && residuals.shape(0) == count && escaped.shape(0) == rare &&
        allBelow(scale_classes.data(), count, kScaleClasses);
    if (!fits) throw nb::value_error("symbols");
    nb::gil_scoped_release release;
    joinResiduals(symbols.data(), scale_classes.data(), count, escaped.data(), residuals.data());
}

} // namespace
} // namespace nvdb

NB_MODULE(_lattice, m) {
    const auto as_is = [] { return nb::arg().noconvert(); };  // of results: a copy would be filled and lost
    m.def("predict", &nvdb::predict);
    m.def("count", &nvdb::countPoints);
    m.def("points", &nvdb::listPoints, nb::arg(), nb::arg(), as_is(), as_is());
    m.def("shares", &nvdb::sharesOf<nvdb::Halves8>, nb::arg(), as_is(), nb::arg(), as_is(), as_is());
    m.def("shares", &nvdb::sharesOf<nvdb::Halves16>, nb::arg(), as_is(), nb::arg(), as_is(), as_is());
    m.def("split", &nvdb::splitInto<nvdb::Halves8>, nb::arg(), as_is(), nb::arg(), nb::arg(), nb::arg(), as_is());
    m.def("split", &nvdb::splitInto<nvdb::Halves16>, nb::arg(), as_is(), nb::arg(), nb::arg(), nb::arg(), as_is());
    m.def("compand", &nvdb::compandInto, nb::arg(), nb::arg(), as_is());
    m.def("count_symbols", &nvdb::countInto, nb::arg(), nb::arg(), as_is());
    m.def("split_residuals", &nvdb::splitResidualsInto);
    m.def("join_residuals", &nvdb::joinInto, nb::arg(), nb::arg(), nb::arg(), as_is());
}
