// The Python face of the fast lattice: neuralvdb.values._lattice. Private: lengths and indices are checked here, once per
// call; that a table names rows of its level, and that cells lie in the table, is for its callers.
#include "arguments.h"
#include "chunk.h"
#include "components.h"
#include "inactive.h"
#include "means.h"
#include "predict.h"
#include "residual.h"
#include "split.h"
#include "symbol_buffer.h"

#include <optional>

namespace nvdb {

void predictAll(const Pass& pass, const Targets& targets, size_t threads, int32_t* predictions, uint8_t* scale_classes) {
    const Coding coding = codingOf(pass);
    const PredictRange predict = predictorFor(pass.net->products);
    inParallel(targets.last - targets.first, threads, kLeastPoints, [&](size_t first, size_t last) {
        const Targets range{targets.bricks, targets.places, targets.first + first, targets.first + last};
        predict(coding, range, predictions, scale_classes);
    });
}

namespace {

// view: as toView() takes it, of `bricks` bricks; coding: (rule, axis, step, layout).
Pass toPass(const nb::tuple& view, size_t bricks, const nb::tuple& coding, const Net& net) {
    const auto rule = Rule(nb::cast<int>(coding[0]));
    const bool mean = rule == Rule::mean;
    const auto* layout = nb::cast<const InputLayout*>(coding[3]);
    Pass pass{toView(view, bricks), layout, &net, rule, mean ? kNoAxis : nb::cast<int>(coding[1]),
        nb::cast<int64_t>(coding[2])};
    checkPass(*layout, net, rule, int(pass.view.sources.size()));
    const bool fits = mean == bool(pass.view.share) && pass.axis >= 0 && pass.axis <= kNoAxis && pass.step >= 1 &&
        pass.step <= kMaxStep;
    if (!fits) throw nb::value_error("pass");
    return pass;
}

// points: (bricks, places); results: (predictions, scale classes), which are filled.
void predict(nb::tuple view, nb::tuple coding, const Net& network, nb::tuple points, size_t threads, nb::tuple results) {
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
    predictAll(pass, {bricks.data(), places.data(), 0, count}, threads, predictions.data(), scale_classes.data());
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

// rules: (axis, knee, nonnegative)
template<typename CountsT>
void splitInto(Pairs pairs, CountsT counts, Values means, Values differences, nb::tuple rules, NewValues below) {
    const int axis = nb::cast<int>(rules[0]);
    if (axis < 0 || axis > 2) throw nb::value_error("axis");
    const Splitting splitting{Halves(axis), Compand(nb::cast<int64_t>(rules[1])), nb::cast<bool>(rules[2])};
    const size_t rows = means.shape(0);
    const bool fits = pairs.shape(0) >= rows && differences.shape(0) >= rows && counts.shape(0) == below.shape(0) &&
        allBelow(pairs.data(), 2 * rows, int64_t(counts.shape(0)));
    if (!fits || !isKnee(splitting.compand.knee)) throw nb::value_error("means");
    nb::gil_scoped_release release;
    Array<int32_t> companded(means.size());
    compandAll(means.data(), means.size(), splitting.compand, companded.data());
    const CoarseCells cells{pairs.data(), means.data(), companded.data(), differences.data(), int64_t(rows)};
    split(cells, splitting, counts.data(), below.data());
}

void compandInto(Values means, int64_t knee, NewValues to) {
    if (means.shape(0) != to.shape(0) || !isKnee(knee)) throw nb::value_error("means");
    nb::gil_scoped_release release;
    compandAll(means.data(), means.size(), Compand(knee), to.data());
}

using ScaleClasses = In<uint8_t, nb::ndim<1>>;
using Counts = nb::ndarray<int64_t, nb::shape<kScaleClasses, kSymbols>, nb::c_contig>;
using Coded = In<uint8_t, nb::shape<kScaleClasses, kSymbols>>;
using NewSymbols = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig>;
using Ends = In<int64_t, nb::ndim<1>>;
using Escaped = In<int64_t, nb::ndim<1>>;
using NewResiduals = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig>;
template<typename T> using Residuals = In<T, nb::ndim<1>>;

template<typename T>
ResidualsView<T> toResiduals(const Residuals<T>& residuals, const ScaleClasses& scale_classes) {
    const size_t count = residuals.shape(0);
    const bool fits = scale_classes.shape(0) == count && allBelow(scale_classes.data(), count, kScaleClasses);
    if (!fits) throw nb::value_error("classes");
    return {residuals.data(), scale_classes.data(), count};
}

template<typename T>
nb::tuple joined(const ManyResiduals& all, size_t threads) {
    Array<T> residuals(all.count);
    Array<uint8_t> scale_classes(all.count);
    {
        nb::gil_scoped_release release;
        joinAll(all, threads, residuals.data(), scale_classes.data());
    }
    return nb::make_tuple(toNumpy(std::move(residuals), all.count), toNumpy(std::move(scale_classes), all.count));
}

// arrays: [(residuals, classes), ...]. Adds to counts; gives both kinds joined, residuals in as few bytes as they need.
nb::tuple countInto(nb::list arrays, Counts counts, size_t threads) {
    ManyResiduals all;
    for (const nb::handle array : arrays) {
        const auto pair = nb::cast<nb::tuple>(array);
        requireItems(pair, 2);
        all.add(toResiduals(exact<Residuals<int32_t>>(pair[0]), exact<ScaleClasses>(pair[1])));
    }
    uint32_t size;
    {
        nb::gil_scoped_release release;
        size = countSymbols(all, threads, counts.data());
    }
    if (size <= INT8_MAX) return joined<int8_t>(all, threads);
    return size <= INT16_MAX ? joined<int16_t>(all, threads) : joined<int32_t>(all, threads);
}

// ends: of batches, which symbols are given to; gives raw bits as values and widths.
template<typename T>
nb::tuple splitResidualsInto(Residuals<T> residuals, ScaleClasses scale_classes, Ends ends, Coded coded, NewSymbols symbols,
    size_t threads)
{
    const ResidualsView<T> all = toResiduals(residuals, scale_classes);
    const bool fits = symbols.shape(0) == all.count && ends.size() && std::is_sorted(ends.data(), ends.data() + ends.size()) &&
        ends.data()[0] >= 0 && ends.data()[ends.size() - 1] == int64_t(all.count);
    if (!fits) throw nb::value_error("residuals");
    std::optional<RawBits> bits;
    {
        nb::gil_scoped_release release;
        bits.emplace(Splitter<T>(all, ends.data(), ends.size(), coded.data(), threads).split(symbols.data()));
    }
    const size_t count = bits->values.size();
    return nb::make_tuple(toNumpy(std::move(bits->values), count), toNumpy(std::move(bits->widths), count));
}

using NodeMasks = In<uint8_t, nb::ndim<2>>;
using NewMarks = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig>;

template<typename T>
void holdOnlyInto(In<T, nb::ndim<2>> values, NodeMasks masks, T value, size_t threads, NewMarks only) {
    const Nodes<T> nodes{values.data(), masks.data(), values.shape(0), values.shape(1)};
    const bool fits = masks.shape(0) == nodes.count && 8 * masks.shape(1) == nodes.slots && only.shape(0) == nodes.count;
    if (!fits) throw nb::value_error("nodes");
    nb::gil_scoped_release release;
    holdOnly(nodes, value, threads, only.data());
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

namespace nb = nanobind;

NB_MODULE(_lattice, m) {
    const auto as_is = [] { return nb::arg().noconvert(); };  // of results: a copy would be filled and lost
    nvdb::addComponents(m);
    m.def("predict", &nvdb::predict);
    m.def("products", [] { return std::array{"pairs", "avx2", "vnni"}[size_t(nvdb::bestProducts())]; });
    m.def("count", &nvdb::countPoints);
    m.def("points", &nvdb::listPoints, nb::arg(), nb::arg(), as_is(), as_is());
    m.def("shares", &nvdb::sharesOf<nvdb::Halves8>, nb::arg(), as_is(), nb::arg(), as_is(), as_is());
    m.def("shares", &nvdb::sharesOf<nvdb::Halves16>, nb::arg(), as_is(), nb::arg(), as_is(), as_is());
    m.def("split", &nvdb::splitInto<nvdb::Halves8>, nb::arg(), as_is(), nb::arg(), nb::arg(), nb::arg(), as_is());
    m.def("split", &nvdb::splitInto<nvdb::Halves16>, nb::arg(), as_is(), nb::arg(), nb::arg(), nb::arg(), as_is());
    m.def("compand", &nvdb::compandInto, nb::arg(), nb::arg(), as_is());
    m.def("count_symbols", &nvdb::countInto, nb::arg(), as_is(), nb::arg());
    const auto split = [&](auto* of_type) {
        m.def("split_residuals", of_type, as_is(), nb::arg(), nb::arg(), nb::arg(), as_is(), nb::arg());
    };
    split(&nvdb::splitResidualsInto<int8_t>);
    split(&nvdb::splitResidualsInto<int16_t>);
    split(&nvdb::splitResidualsInto<int32_t>);
    m.def("hold_only", &nvdb::holdOnlyInto<uint32_t>, as_is(), nb::arg(), nb::arg(), nb::arg(), as_is());
    m.def("hold_only", &nvdb::holdOnlyInto<uint64_t>, as_is(), nb::arg(), nb::arg(), nb::arg(), as_is());
    m.def("join_residuals", &nvdb::joinInto, nb::arg(), nb::arg(), nb::arg(), as_is());
}
