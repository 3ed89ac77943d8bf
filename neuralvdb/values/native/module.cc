// The Python face of the fast lattice: neuralvdb.values._lattice.
#include "../../nets/native/parallel.h"
#include "means.h"
#include "predict.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;

namespace nvdb {
namespace {

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
    const bool fits = inputs && inputs <= kMaxInputs && linear.size() == kOutputs * inputs && w1.size() == kFirst * inputs &&
        b1.size() == kFirst && w2.size() == kSecond * kFirst && b2.size() == kSecond && w3.size() == kOutputs * kSecond &&
        b3.size() == kOutputs && shifts.size() == 6;
    if (!fits) throw nb::value_error("network");
    const bool hidden = std::any_of(w3.begin(), w3.end(), [](float weight) { return weight != 0; });
    Net net{hidden, hasBytes() && !nb::cast<bool>(from[8]), {kFirst, w1, b1, 128}, {kSecond, w2, b2}, {kOutputs, w3, b3},
        {kOutputs, linear, {}, 128}, {}};
    std::copy(shifts.begin(), shifts.end(), net.shifts);
    return net;
}

using Table = In<int32_t, nb::ndim<3>>;
using Cells = In<int32_t, nb::shape<-1, 3>>;
using Values = In<int32_t, nb::shape<-1, 512>>;
using Flags = In<uint8_t, nb::shape<-1, 512>>;
using Rows = In<int32_t, nb::ndim<1>>;
using Places = In<int16_t, nb::ndim<1>>;
using NewRows = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig>;
using NewPlaces = nb::ndarray<int16_t, nb::ndim<1>, nb::c_contig>;
using Predictions = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig>;
using Classes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig>;

LevelView toLevel(const Table& table, const Cells& cells, const Values& values, const Flags& active) {
    return {table.data(), {int64_t(table.shape(0)), int64_t(table.shape(1)), int64_t(table.shape(2))}, cells.data(),
        values.data(), active.data()};
}

void checkPoints(size_t count, const Places& places, const Predictions& predictions, const Classes& classes) {
    if (places.shape(0) != count || predictions.shape(0) != count || classes.shape(0) != count) throw nb::value_error("points");
}

void predict(Table table, Cells cells, Values values, Flags active, Rows rows, Places places, int axis, int phase,
    int64_t step, bool inside, nb::tuple network, size_t threads, Predictions predictions, Classes classes)
{
    const Net net = toNet(network);
    const size_t count = rows.shape(0);
    checkPoints(count, places, predictions, classes);
    const auto level = toLevel(table, cells, values, active);
    nb::gil_scoped_release release;
    inParallel(count, threads, 4096, [&](size_t first, size_t last) {
        predictRange(level, net, rows.data(), places.data(), first, last, axis, phase, step, inside, predictions.data(),
            classes.data());
    });
}

void predictMean(Table table, Cells cells, Values values, Flags active, Values gaps, Flags known, Flags share, Rows rows,
    Places places, int axis, int phase, int64_t step, nb::tuple network, size_t threads, Predictions predictions,
    Classes classes)
{
    const Net net = toNet(network);
    const size_t count = rows.shape(0);
    checkPoints(count, places, predictions, classes);
    const auto level = toLevel(table, cells, values, active), differences = toLevel(table, cells, gaps, known);
    nb::gil_scoped_release release;
    inParallel(count, threads, 4096, [&](size_t first, size_t last) {
        predictMeanRange(level, differences, share.data(), net, rows.data(), places.data(), first, last, axis, phase, step,
            predictions.data(), classes.data());
    });
}

// How many of the places of each brick are there.
size_t countPoints(Flags there, Places places) {
    nb::gil_scoped_release release;
    size_t found = 0;
    for (size_t row = 0; row < there.shape(0); ++row)
        for (size_t i = 0; i < places.shape(0); ++i) found += there.data()[512 * row + size_t(places.data()[i] & 511)] != 0;
    return found;
}

// Which they are.
void points(Flags there, Places places, NewRows rows, NewPlaces found) {
    if (rows.shape(0) != found.shape(0) || rows.shape(0) != countPoints(there, places)) throw nb::value_error("points");
    nb::gil_scoped_release release;
    int32_t* row_at = rows.data();
    int16_t* place_at = found.data();
    for (size_t row = 0; row < there.shape(0); ++row) {
        for (size_t i = 0; i < places.shape(0); ++i) {
            const int16_t place = places.data()[i];
            if (!there.data()[512 * row + size_t(place & 511)]) continue;
            *row_at++ = int32_t(row);
            *place_at++ = place;
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
    if (share.shape(0) != pairs.shape(0) || both.shape(0) != pairs.shape(0)) throw nb::value_error("shares");
    nb::gil_scoped_release release;
    shares(pairs.data(), counts.data(), int64_t(pairs.shape(0)), axis, share.data(), both.data());
}

template<typename CountsT>
void splitInto(Pairs pairs, CountsT counts, Values means, Values gaps, int axis, int64_t knee, bool positive, int64_t top,
    NewValues below)
{
    const size_t rows = means.shape(0);
    const bool fits = pairs.shape(0) >= rows && gaps.shape(0) >= rows && counts.shape(0) == below.shape(0);
    if (!fits || knee < 0) throw nb::value_error("means");
    nb::gil_scoped_release release;
    split(pairs.data(), counts.data(), means.data(), gaps.data(), int64_t(rows), axis, {knee}, positive, top, below.data());
}

void compandInto(Values means, int64_t knee, NewValues to) {
    if (means.shape(0) != to.shape(0) || knee < 0) throw nb::value_error("means");
    nb::gil_scoped_release release;
    const Compand compand{knee};
    std::transform(means.data(), means.data() + means.size(), to.data(), [&](int32_t x) { return int32_t(compand.in(x)); });
}

} // namespace
} // namespace nvdb

NB_MODULE(_lattice, m) {
    m.def("predict", &nvdb::predict);
    m.def("predict_mean", &nvdb::predictMean);
    m.def("count", &nvdb::countPoints);
    m.def("points", &nvdb::points);
    m.def("shares", &nvdb::sharesOf<nvdb::Halves8>);
    m.def("shares", &nvdb::sharesOf<nvdb::Halves16>);
    m.def("split", &nvdb::splitInto<nvdb::Halves8>);
    m.def("split", &nvdb::splitInto<nvdb::Halves16>);
    m.def("compand", &nvdb::compandInto);
}
