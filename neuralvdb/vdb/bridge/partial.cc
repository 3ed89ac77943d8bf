#include "partial.h"

#include "arrays.h"
#include "writer.h"

#include <array>

namespace nvdb {
namespace {

using Corner = std::array<int32_t, 3>;

openvdb::CoordBBox toBox(const Corner& low, const Corner& high) {
    return {openvdb::Coord(low[0], low[1], low[2]), openvdb::Coord(high[0], high[1], high[2])};
}

// The statistics that a grid's metadata holds already, taken again: some readers trust the bounding box in it.
void renewStatistics(openvdb::GridBase& grid) {
    using Base = openvdb::GridBase;
    std::vector<const char*> absent;
    for (const char* name : {Base::META_FILE_BBOX_MIN, Base::META_FILE_BBOX_MAX, Base::META_FILE_MEM_BYTES,
            Base::META_FILE_VOXEL_COUNT}) {
        if (!grid[name]) absent.push_back(name);
        grid.removeMeta(name);
    }
    if (absent.size() == 4) return;
    grid.addStatsMetadata();
    for (const char* name : absent) grid.removeMeta(name);
}

// Metadata and arrays of the tree that `make(view)` makes from `arrays`.
template<typename MakeT>
nb::tuple remade(const std::string& type, nb::bytes metadata, nb::bytes transform, nb::dict arrays, MakeT make) {
    nb::object out_arrays;
    const auto grid = makeGrid(type, fromBytes(metadata), fromBytes(transform));
    const bool known = withTreeType(type, [&](auto* null) {
        using GridT = std::remove_pointer_t<decltype(null)>;
        const auto view = toView<typename GridT::ValueType>(Borrow(arrays));
        TreeArrays<typename GridT::ValueType> out;
        {
            nb::gil_scoped_release release;
            const auto tree = make(view, (typename GridT::TreeType*)nullptr);
            grid->setTree(tree);
            renewStatistics(*grid);
            out = exportTree(*tree);
        }
        out_arrays = toDict(out);
    });
    if (!known) throw nb::value_error(("no arrays for grid type " + type).c_str());
    return nb::make_tuple(toBytes(metaBytes(*grid)), out_arrays);
}

nb::tuple clipTree(const std::string& type, nb::bytes metadata, nb::bytes transform, nb::dict arrays, Corner low, Corner high) {
    return remade(type, metadata, transform, arrays, [&](const auto& view, auto* null) {
        using TreeT = std::remove_pointer_t<decltype(null)>;
        bool hazard;
        auto tree = importTree<TreeT>(view, hazard);
        tree->clip(toBox(low, high));
        return tree;
    });
}

nb::tuple clipSerial(const std::string& type, nb::bytes metadata, nb::bytes transform, nb::bytes blob, Corner low, Corner high) {
    const auto grid = makeGrid(type, fromBytes(metadata), fromBytes(transform));
    const std::string bytes = fromBytes(blob);
    nb::gil_scoped_release release;
    readBlob(*grid, bytes);
    grid->clip(toBox(low, high));
    renewStatistics(*grid);
    const std::string meta = metaBytes(*grid), cut = blobBytes(*grid);
    nb::gil_scoped_acquire acquire;
    return nb::make_tuple(toBytes(meta), toBytes(cut));
}

// Fills `tree` with the tiles of a node's slots, `edge` voxels long before they become 2^lod times shorter.
template<typename NodeT, typename TreeT, typename ViewT>
void fillTiles(TreeT& tree, const ViewT& level, const std::vector<openvdb::Coord>& origins, int edge, int lod,
    std::vector<openvdb::Coord>& children)
{
    const auto background = tree.background();
    for (size_t i = 0; i < origins.size(); ++i) {
        for (uint32_t n = 0; n < NodeT::NUM_VALUES; ++n) {
            openvdb::Coord local;
            NodeT::offsetToLocalCoord(n, local);
            const auto at = origins[i] + openvdb::Coord(local[0] * edge, local[1] * edge, local[2] * edge);
            const size_t slot = i * NodeT::NUM_VALUES + n;
            if (bit(level.child, slot)) children.push_back(at);
            else if (bit(level.active, slot) || std::memcmp(&level.values[slot], &background, sizeof(background)) != 0)
                tree.sparseFill(openvdb::CoordBBox::createCube(at >> lod, edge >> lod), level.values[slot], bit(level.active, slot));
        }
    }
}

// The tree whose voxels are 2^lod times as long: tiles of `view`, and instead of its leaves blocks of cells of
// (8 >> lod)^3 `values` and `active` each.
template<typename TreeT, typename ValueT = typename TreeT::ValueType>
typename TreeT::Ptr coarseTree(const TreeView<ValueT>& view, const ValueT* values, const uint8_t* active, int lod) {
    using UpperT = typename TreeT::RootNodeType::ChildNodeType;
    using LowerT = typename UpperT::ChildNodeType;
    using LeafT = typename TreeT::LeafNodeType;
    auto tree = std::make_shared<TreeT>(view.background);
    auto coord = [](const int32_t* at) { return openvdb::Coord(at[0], at[1], at[2]); };
    for (size_t i = 0; i < view.tiles; ++i) {
        tree->sparseFill(openvdb::CoordBBox::createCube(coord(view.tile_origins + 3 * i) >> lod, int(UpperT::DIM) >> lod),
            view.tile_values[i], view.tile_active[i]);
    }
    std::vector<openvdb::Coord> uppers, lowers, leaves;
    for (size_t i = 0; i < view.children; ++i) uppers.push_back(coord(view.child_origins + 3 * i));
    fillTiles<UpperT>(*tree, view.upper, uppers, LowerT::DIM, lod, lowers);
    if (lowers.size() != view.lower.nodes) throw std::invalid_argument("child masks disagree with the number of nodes");
    fillTiles<LowerT>(*tree, view.lower, lowers, LeafT::DIM, lod, leaves);
    if (leaves.size() != view.leaf.nodes) throw std::invalid_argument("child masks disagree with the number of nodes");
    const int edge = 8 >> lod;
    for (size_t i = 0; i < leaves.size(); ++i) {
        const auto low = leaves[i] >> lod;
        LeafT* leaf = tree->touchLeaf(low);
        for (int c = 0; c < edge * edge * edge; ++c, ++values, ++active) {
            const auto n = LeafT::coordToOffset(low.offsetBy(c / (edge * edge), c / edge % edge, c % edge));
            if (*active) leaf->setValueOn(n, *values);
            else leaf->setValueOff(n, *values);
        }
    }
    tree->prune();
    return tree;
}

nb::tuple coarsen(const std::string& type, nb::bytes metadata, nb::bytes transform, nb::dict arrays, nb::dict cells, int lod) {
    if (lod < 1 || lod > 3) throw nb::value_error("lod is 1, 2 or 3");
    return remade(type, metadata, transform, arrays, [&](const auto& view, auto* null) {
        using TreeT = std::remove_pointer_t<decltype(null)>;
        const size_t edge = size_t(8 >> lod), N = view.leaf.nodes;
        nb::gil_scoped_acquire acquire;
        Borrow from(cells);
        const auto* values = from.get<typename TreeT::ValueType>("values", {N, edge * edge * edge});
        const auto* active = from.get<uint8_t>("active", {N, edge * edge * edge});
        nb::gil_scoped_release release;
        return coarseTree<TreeT>(view, values, active, lod);
    });
}

// A serialised transform for an index space whose point c is the point 2^lod c + shift of the old one.
nb::bytes coarseTransform(nb::bytes bytes, int lod, double shift) {
    using namespace openvdb::math;
    Transform transform;
    deserialise(fromBytes(bytes), [&](std::istream& in, StreamState&) { readTransform(in, transform); });
    const double scale = 1 << lod;
    if (const auto frustum = transform.map<NonlinearFrustumMap>()) { // its pre-scaling scales what comes out of it
        const auto& box = frustum->getBBox();
        const openvdb::Vec3d low = (box.min() - openvdb::Vec3d(shift)) / scale, high = (box.max() - openvdb::Vec3d(shift)) / scale;
        transform = Transform(MapBase::Ptr(new NonlinearFrustumMap(openvdb::BBoxd(low, high), frustum->getTaper(),
            frustum->getDepth(), frustum->secondMap().copy())));
    } else {
        transform.preTranslate(openvdb::Vec3d(shift));
        transform.preScale(scale);
    }
    return toBytes(serialised([&](std::ostream& out, StreamState&) { transform.write(out); }));
}

} // namespace

void definePartial(nb::module_& m) {
    m.def("clip_tree", &clipTree);
    m.def("clip_serial", &clipSerial);
    m.def("coarsen", &coarsen);
    m.def("coarse_transform", &coarseTransform);
}

} // namespace nvdb
