// The Python face of what moves grids: neuralvdb.motion._motion. Private: shapes are checked here, once per call.
#include "../../nets/native/parallel.h"
#include "move.h"
#include "search.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
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
using Bits = In<uint8_t, nb::shape<-1, kLeafVoxels / 8>>;
using Wanted = std::tuple<Coords, Bits>;
using Triple = std::tuple<int, int, int>;
using Vectors = In<int8_t, nb::shape<-1, -1, -1, 3>>;
using WantedLeaves = std::tuple<Coords, In<int32_t, nb::shape<-1, kLeafVoxels>>, In<uint8_t, nb::shape<-1, kLeafVoxels>>>;
using FoundVectors = nb::ndarray<int8_t, nb::shape<-1, -1, -1, 3>, nb::c_contig, nb::device::cpu>;

// read as whole numbers: times `scale`, at most `limit`.
Field fieldOf(const Leaves& from, const CoordTable& table, int least, double scale, double limit) {
    const auto& [origins, values, background] = from;
    const size_t components = values.shape(2);
    const bool narrow = values.dtype() == nb::dtype<float>();
    const bool fits = origins.shape(0) == values.shape(0) && background.shape(0) == components &&
        components >= size_t(least) && components <= size_t(kMaxComponents) && (narrow || values.dtype() == nb::dtype<double>());
    if (!fits) throw nb::value_error("field");
    Field field{&table, narrow ? static_cast<const float*>(values.data()) : nullptr,
        narrow ? nullptr : static_cast<const double*>(values.data()), nullptr, int(components), {}, scale, limit};
    for (size_t c = 0; c < components; ++c) field.background[c] = field.whole(background.data()[c]);
    return field;
}

CoordTable tableOf(const Leaves& leaves) {
    return CoordTable(std::get<0>(leaves).data(), std::get<0>(leaves).shape(0));
}

// Reads all values of a field into `numbers`, where that takes little memory: most are asked for again and again.
void readAhead(Field& field, size_t leaves, std::vector<int32_t>& numbers) {
    constexpr size_t kMostNumbers = 1 << 22;
    const size_t count = leaves * size_t(kLeafVoxels * field.components);
    if (count > kMostNumbers) return;
    numbers.resize(count);
    if (field.narrow) field.wholes(field.narrow, int64_t(count), numbers.data());
    else field.wholes(field.wide, int64_t(count), numbers.data());
    field.read = numbers.data();
}

// low: the lowest block. The vectors are checked where they are read from an archive.
template<typename Array>
Blocks blocksOf(Triple low, const Array& vectors) {
    Blocks blocks{{std::get<0>(low), std::get<1>(low), std::get<2>(low)}, {}, vectors.size() ? vectors.data() : nullptr};
    for (size_t axis = 0; axis < 3; ++axis) blocks.size[axis] = int64_t(vectors.shape(axis));
    return blocks;
}

std::array<int32_t, 3> shiftOf(Triple shift) {
    const std::array<int32_t, 3> voxels{std::get<0>(shift), std::get<1>(shift), std::get<2>(shift)};
    for (const int32_t along : voxels)
        if (along < -kFar || along > kFar) throw nb::value_error("shift");
    return voxels;
}

// wanted: origins, and the bits of voxels; of others nothing is written. shift: in voxels. scales: of the source and of
// displacements. vectors: of blocks, and the lowest one.
void moveInto(const Leaves& source, const Wanted& wanted, Triple shift, std::tuple<bool, bool> cubic_staggered,
    std::tuple<double, double> scales, const std::vector<Leaves>& displacements, const std::tuple<Triple, Vectors>& vectors,
    int64_t threads, Moved moved)
{
    const CoordTable table = tableOf(source);
    const Coords& origins = std::get<0>(wanted);
    const Bits& bits = std::get<1>(wanted);
    std::vector<CoordTable> tables;
    for (const Leaves& leaves : displacements) tables.push_back(tableOf(leaves));
    Movement movement{};
    movement.source = fieldOf(source, table, 1, std::get<0>(scales), kMost);
    if (displacements.size() > 2 || moved.shape(0) != origins.shape(0) || bits.shape(0) != origins.shape(0) || moved.shape(2) != size_t(movement.source.components))
        throw nb::value_error("leaves");
    const auto voxels = shiftOf(shift);
    for (size_t axis = 0; axis < 3; ++axis) movement.shift[axis] = voxels[axis] * kVoxel;
    movement.blocks = blocksOf(std::get<0>(vectors), std::get<1>(vectors));
    const int8_t* const first = std::get<1>(vectors).data();
    const auto far = [](int8_t part) { return part < -kMostVector || part > kMostVector; };
    if (movement.blocks.vectors && (displacements.size() || std::any_of(first, first + std::get<1>(vectors).size(), far)))
        throw nb::value_error("blocks");
    std::tie(movement.cubic, movement.staggered) = cubic_staggered;
    for (size_t i = 0; i < displacements.size(); ++i)
        movement.displacements[i] = fieldOf(displacements[i], tables[i], 3, std::get<1>(scales), kFastest);
    movement.displacement_count = int(displacements.size());
    nb::gil_scoped_release release;
    std::vector<int32_t> numbers[3];
    readAhead(movement.source, std::get<0>(source).shape(0), numbers[2]);
    for (size_t i = 0; i < displacements.size(); ++i)
        readAhead(movement.displacements[i], std::get<0>(displacements[i]).shape(0), numbers[i]);
    const Cubic weights;
    const size_t leaf = size_t(kLeafVoxels * movement.source.components);
    parallelFor(int64_t(origins.shape(0)), threads, [&](int64_t i) {
        moveLeaf(movement, weights, origins.data() + 3 * i, bits.data() + i * (kLeafVoxels / 8), moved.data() + size_t(i) * leaf);
    });
}

// Fills vectors of blocks, which are 0; `low` is the lowest one. wanted: origins, values, companded by a knee, and which count.
void searchInto(const Leaves& source, const WantedLeaves& wanted, int64_t knee, Triple shift, double scale, Triple low, FoundVectors found) {
    const CoordTable table = tableOf(source);
    const auto& [origins, values, counted] = wanted;
    const Field field = fieldOf(source, table, 1, scale, kMost);
    if (field.components != 1 || values.shape(0) != origins.shape(0) || counted.shape(0) != origins.shape(0) || knee < 0 || knee > int64_t(kMost) || !found.size())
        throw nb::value_error("leaves");
    std::fill_n(found.data(), found.size(), int8_t(0));
    const auto voxels = shiftOf(shift);
    nb::gil_scoped_release release;
    BlockSearch search(field, std::get<0>(source).shape(0), knee, voxels.data(), blocksOf(low, found), found.data());
    search.add(origins.data(), values.data(), counted.data(), origins.shape(0));
    search.run();
}

} // namespace
} // namespace nvdb

NB_MODULE(_motion, m) {
    m.def("move", &nvdb::moveInto, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
    m.def("search", &nvdb::searchInto, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
}
