// The Python face of the fast topology coder: neuralvdb.topology._topology. Private: lengths and indices are checked here,
// once per call; that `near` names rows of the states is for its callers.
#include "../../nets/native/checks.h"
#include "../../nets/native/parallel.h"
#include "classify.h"
#include "find.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cstdlib>
#include <optional>

namespace nb = nanobind;

namespace nvdb {
namespace {

template<typename T, typename Shape>
using In = nb::ndarray<const T, Shape, nb::c_contig, nb::device::cpu>;
template<typename T, typename Shape>
using Out = nb::ndarray<T, Shape, nb::c_contig, nb::device::cpu>;

using StateRows = In<int8_t, nb::ndim<2>>;
using Near = In<int32_t, nb::shape<-1, 27>>;
using Coords = In<int32_t, nb::shape<-1, 3>>;
using Offsets = In<int8_t, nb::shape<-1, 3>>;

using Weights = In<int8_t, nb::ndim<2>>;
using Biases = In<int32_t, nb::ndim<1>>;

// level: inputs behind those of the stencil that are 1 or 0 for all cells; they become part of the bias.
Net toNet(const nb::tuple& from, size_t states, const std::vector<int8_t>& level) {
    const auto w1 = nb::cast<Weights>(from[0]), w2 = nb::cast<Weights>(from[2]), w3 = nb::cast<Weights>(from[4]),
               linear = nb::cast<Weights>(from[6]);
    const auto b1 = nb::cast<Biases>(from[1]), b2 = nb::cast<Biases>(from[3]), b3 = nb::cast<Biases>(from[5]);
    const auto shifts = nb::cast<std::vector<int>>(from[7]);
    const size_t inputs = states + level.size(), first = b1.size(), second = b2.size();
    const bool fits = inputs <= kMaxInputs && first <= kMaxFirst && second <= kGroup && w1.size() == first * inputs &&
        w2.size() == second * first && w3.size() == kOutputs * second && b3.size() == kOutputs &&
        linear.size() == kOutputs * inputs && shifts.size() == 6;
    if (!fits || !allBelow(shifts.data(), shifts.size(), 32)) throw nb::value_error("network");
    Net net;
    net.first = int(first);
    net.groups = int((first + kOutputs + kGroup - 1) / kGroup);
    std::copy(shifts.begin(), shifts.end(), net.shifts);
    net.w1.assign(states * net.groups, Shorts{});
    net.bias.assign(net.groups * kGroup, 0);
    net.w2.assign(net.groups * kGroup * kGroup, 0);
    for (size_t u = 0; u < first + kOutputs; ++u) {
        const int8_t* row = u < first ? w1.data() + u * inputs : linear.data() + (u - first) * inputs;
        for (size_t i = 0; i < states; ++i) net.w1[i * net.groups + u / kGroup][u % kGroup] = row[i];
        int32_t bias = u < first ? b1.data()[u] : 0;
        for (size_t i = 0; i < level.size(); ++i) bias += kOne * level[i] * row[states + i];
        net.bias[u] = bias;
    }
    for (size_t v = 0; v < second; ++v) {
        net.b2[v] = float(b2.data()[v]);
        for (size_t u = 0; u < first; ++u) net.w2[u * kGroup + v] = float(w2.data()[v * first + u]);
        for (int r = 0; r < kOutputs; ++r) net.w3[r][v] = float(w3.data()[r * second + v]);
    }
    std::copy_n(b3.data(), kOutputs, net.b3);
    return net;
}

// Rows of `edge`^3 states, two more than there are bricks.
States toStates(const StateRows& from, size_t edge, size_t bricks) {
    if (from.shape(0) != bricks + 2 || from.shape(1) != edge * edge * edge) throw nb::value_error("states");
    return {from.data(), int(edge)};
}

// Offsets that reach `reach` cells at most along an axis.
std::vector<int8_t> toVector(const Offsets& from, int reach) {
    const auto fits = [&](int8_t along) { return std::abs(int(along)) <= reach; };
    if (!std::all_of(from.data(), from.data() + from.size(), fits)) throw nb::value_error("offsets");
    return {from.data(), from.data() + from.size()};
}

// Cells per axis of a brick: 1, 2, 4 or 8.
size_t edgeOf(const StateRows& states) {
    for (const size_t edge : {1, 2, 4, 8})
        if (states.shape(1) == edge * edge * edge) return edge;
    throw nb::value_error("states");
}

void classes(StateRows states, StateRows above, std::optional<StateRows> reference, Near near, In<int32_t, nb::ndim<1>> rows,
    In<int16_t, nb::ndim<1>> cells, Offsets up, Offsets same, Offsets other, std::vector<int8_t> level, nb::tuple network,
    size_t threads, Out<uint8_t, nb::shape<-1, kOutputs>> out)
{
    const Stencil stencil{toVector(up, 1), toVector(same, kReach), toVector(other, 1)};
    const Net net = toNet(network, up.shape(0) + same.shape(0) + other.shape(0), level);
    const size_t count = rows.shape(0);
    const size_t edge = edgeOf(states), bricks = near.shape(0);
    const bool fits = cells.shape(0) == count && out.shape(0) == count && allBelow(rows.data(), count, int64_t(bricks)) &&
        allBelow(cells.data(), count, int64_t(states.shape(1)));
    if (!fits || (other.shape(0) && !reference)) throw nb::value_error("cells");
    const View view{toStates(states, edge, bricks), toStates(above, std::max<size_t>(1, edge / 2), bricks),
        reference ? toStates(*reference, edge, bricks) : States{}, near.data()};
    nb::gil_scoped_release release;
    inParallel(count, threads, 512, [&](size_t first, size_t last) {
        classifyRange(view, stencil, net, rows.data(), cells.data(), first, last, out.data());
    });
}

nb::ndarray<nb::numpy, int64_t, nb::ndim<1>> find(Coords among, Coords wanted) {
    const size_t count = wanted.shape(0);
    auto* kept = new std::vector<int64_t>(count);
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<int64_t>*>(p); });
    {
        nb::gil_scoped_release release;
        const CoordTable table(among.data(), among.shape(0));
        for (size_t i = 0; i < count; ++i) (*kept)[i] = table.find(wanted.data() + 3 * i);
    }
    return {kept->data(), {count}, owner};
}

} // namespace
} // namespace nvdb

NB_MODULE(_topology, m) {
    m.def("classes", &nvdb::classes, nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
    m.def("find", &nvdb::find);
}
