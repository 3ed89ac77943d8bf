// The Python face of the fast lattice: neuralvdb.values._lattice.
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
    Net net{0, floats(from[0]), floats(from[1]), floats(from[2]), floats(from[3]), floats(from[4]), floats(from[5]),
        floats(from[6]), {}};
    net.inputs = int(net.linear.size() / kOutputs);
    const auto shifts = nb::cast<std::vector<int>>(from[7]);
    const bool fits = net.inputs <= kMaxInputs && net.w1.size() == size_t(kFirst) * net.inputs && net.b1.size() == kFirst &&
        net.w2.size() == kSecond * kFirst && net.b2.size() == kSecond && net.w3.size() == kOutputs * kSecond &&
        net.b3.size() == kOutputs && shifts.size() == 6;
    if (!fits) throw nb::value_error("network");
    std::copy(shifts.begin(), shifts.end(), net.shifts);
    return net;
}

void predict(In<int32_t, nb::ndim<3>> table, In<int32_t, nb::shape<-1, 3>> cells, In<int32_t, nb::shape<-1, 512>> values,
    In<uint8_t, nb::shape<-1, 512>> active, In<int32_t, nb::ndim<1>> rows, In<int16_t, nb::ndim<1>> places, int axis,
    int phase, int64_t step, nb::tuple network, size_t threads, nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig> predictions,
    nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig> classes)
{
    const Net net = toNet(network);
    const size_t count = rows.shape(0);
    if (places.shape(0) != count || predictions.shape(0) != count || classes.shape(0) != count) throw nb::value_error("points");
    const LevelView level{table.data(), {int64_t(table.shape(0)), int64_t(table.shape(1)), int64_t(table.shape(2))},
        cells.data(), values.data(), active.data()};
    nb::gil_scoped_release release;
    const size_t workers = std::max<size_t>(1, std::min(threads, count / 4096));
    std::vector<std::thread> running;
    for (size_t w = 0; w < workers; ++w) {
        auto job = [&, w] {
            predictRange(level, net, rows.data(), places.data(), count * w / workers, count * (w + 1) / workers, axis, phase,
                step, predictions.data(), classes.data());
        };
        if (w + 1 < workers) running.emplace_back(job);
        else job();
    }
    for (auto& thread : running) thread.join();
}

} // namespace
} // namespace nvdb

NB_MODULE(_lattice, m) {
    m.def("predict", &nvdb::predict);
}
