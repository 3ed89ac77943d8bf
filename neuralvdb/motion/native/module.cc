// The Python face of what moves grids: neuralvdb.motion._motion. Private: shapes are checked here, once per call.
#include "../../nets/native/parallel.h"
#include "move.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <tuple>
#include <vector>

namespace nb = nanobind;

namespace nvdb {
namespace {

template<typename T, typename Shape>
using In = nb::ndarray<const T, Shape, nb::c_contig, nb::device::cpu>;
using Coords = In<int32_t, nb::shape<-1, 3>>;
using Values = In<int32_t, nb::shape<-1, kLeafVoxels, -1>>;
using Background = In<int32_t, nb::ndim<1>>;
using Moved = nb::ndarray<int32_t, nb::shape<-1, kLeafVoxels, -1>, nb::c_contig, nb::device::cpu>;
using Leaves = std::tuple<Coords, Values, Background>;

Field fieldOf(const Leaves& from, const CoordTable& table, int least) {
    const auto& [origins, values, background] = from;
    const size_t components = values.shape(2);
    const bool fits = origins.shape(0) == values.shape(0) && background.shape(0) == components &&
        components >= size_t(least) && components <= size_t(kMaxComponents);
    if (!fits) throw nb::value_error("field");
    return {&table, values.data(), background.data(), int(components)};
}

// shift: in voxels.
void moveInto(const Leaves& source, Coords origins, std::tuple<int, int, int> shift, std::tuple<bool, bool> cubic_staggered,
    const std::vector<Leaves>& displacements, int64_t threads, Moved moved)
{
    const auto table_of = [](const Leaves& leaves) { return CoordTable(std::get<0>(leaves).data(), std::get<0>(leaves).shape(0)); };
    const CoordTable table = table_of(source);
    std::vector<CoordTable> tables;
    for (const Leaves& leaves : displacements) tables.push_back(table_of(leaves));
    Movement movement{};
    movement.source = fieldOf(source, table, 1);
    if (displacements.size() > 2 || moved.shape(0) != origins.shape(0) || moved.shape(2) != size_t(movement.source.components))
        throw nb::value_error("leaves");
    const int voxels[] = {std::get<0>(shift), std::get<1>(shift), std::get<2>(shift)};
    for (size_t axis = 0; axis < 3; ++axis) movement.shift[axis] = voxels[axis] * kOne;
    std::tie(movement.cubic, movement.staggered) = cubic_staggered;
    for (size_t i = 0; i < displacements.size(); ++i) {
        movement.displacements[i] = fieldOf(displacements[i], tables[i], 3);
        const Values& values = std::get<1>(displacements[i]);
        const auto slow = [](int32_t x) { return x >= -kFastest && x <= kFastest; };
        if (!std::all_of(values.data(), values.data() + values.size(), slow)) throw nb::value_error("displacements");
    }
    movement.displacement_count = int(displacements.size());
    nb::gil_scoped_release release;
    const Cubic weights;
    const size_t leaf = size_t(kLeafVoxels * movement.source.components);
    parallelFor(int64_t(origins.shape(0)), threads, [&](int64_t i) {
        moveLeaf(movement, weights, origins.data() + 3 * i, moved.data() + size_t(i) * leaf);
    });
}

} // namespace
} // namespace nvdb

NB_MODULE(_motion, m) {
    m.def("move", &nvdb::moveInto, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
}
