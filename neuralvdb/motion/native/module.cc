// The Python face of what moves grids: neuralvdb.motion._motion. Private: shapes are checked here, once per call.
#include "../../nets/native/parallel.h"
#include "move.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <vector>

namespace nb = nanobind;

namespace nvdb {
namespace {

template<typename T, typename Shape>
using In = nb::ndarray<const T, Shape, nb::c_contig, nb::device::cpu>;
using Coords = In<int32_t, nb::shape<-1, 3>>;
using Values = nb::ndarray<nb::ro, nb::shape<-1, kLeafVoxels, -1>, nb::c_contig, nb::device::cpu>;
using Background = In<double, nb::ndim<1>>;
using Moved = nb::ndarray<int32_t, nb::shape<-1, kLeafVoxels, -1>, nb::c_contig, nb::device::cpu>;
using Leaves = std::tuple<Coords, Values, Background>;

// read as whole numbers: times `scale`, at most `limit`.
Field fieldOf(const Leaves& from, const CoordTable& table, int least, double scale, double limit) {
    const auto& [origins, values, background] = from;
    const size_t components = values.shape(2);
    const bool narrow = values.dtype() == nb::dtype<float>();
    const bool fits = origins.shape(0) == values.shape(0) && background.shape(0) == components &&
        components >= size_t(least) && components <= size_t(kMaxComponents) && (narrow || values.dtype() == nb::dtype<double>());
    if (!fits) throw nb::value_error("field");
    Field field{&table, narrow ? static_cast<const float*>(values.data()) : nullptr,
        narrow ? nullptr : static_cast<const double*>(values.data()), int(components), {}, scale, limit};
    std::copy_n(background.data(), components, field.background);
    return field;
}

// shift: in voxels. scales: of the source and of displacements.
void moveInto(const Leaves& source, Coords origins, std::tuple<int, int, int> shift, std::tuple<bool, bool> cubic_staggered,
    std::tuple<double, double> scales, const std::vector<Leaves>& displacements, int64_t threads, Moved moved)
{
    const auto table_of = [](const Leaves& leaves) { return CoordTable(std::get<0>(leaves).data(), std::get<0>(leaves).shape(0)); };
    const CoordTable table = table_of(source);
    std::vector<CoordTable> tables;
    for (const Leaves& leaves : displacements) tables.push_back(table_of(leaves));
    Movement movement{};
    movement.source = fieldOf(source, table, 1, std::get<0>(scales), kMost);
    if (displacements.size() > 2 || moved.shape(0) != origins.shape(0) || moved.shape(2) != size_t(movement.source.components))
        throw nb::value_error("leaves");
    const int voxels[] = {std::get<0>(shift), std::get<1>(shift), std::get<2>(shift)};
    for (size_t axis = 0; axis < 3; ++axis) {
        if (std::abs(voxels[axis]) > kFar) throw nb::value_error("shift");
        movement.shift[axis] = voxels[axis] * kOne;
    }
    std::tie(movement.cubic, movement.staggered) = cubic_staggered;
    for (size_t i = 0; i < displacements.size(); ++i)
        movement.displacements[i] = fieldOf(displacements[i], tables[i], 3, std::get<1>(scales), kFastest);
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
    m.def("move", &nvdb::moveInto, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
}
