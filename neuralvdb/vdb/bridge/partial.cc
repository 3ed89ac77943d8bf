#include "partial.h"

#include "arrays.h"
#include "leaf_values.h"
#include "writer.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

namespace nvdb {
namespace {

using Corner = std::array<int32_t, 3>;

void checkLod(int lod) {
    if (lod < 1 || lod > 3) throw nb::value_error("lod is 1, 2 or 3");
}

openvdb::CoordBBox toBox(const Corner& low, const Corner& high) {
    for (int axis = 0; axis < 3; ++axis) {
        if (low[axis] > high[axis]) throw nb::value_error("a box ends where it begins or behind that");
    }
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
        auto tree = importTree<TreeT>(view, [&](const openvdb::Coord& origin, size_t i) {
            return leafWithValues<typename TreeT::LeafNodeType>(origin, view, i);
        });
        tree->clip(toBox(low, high));
        return tree;
    });
}

nb::tuple clipSerial(const std::string& type, nb::bytes metadata, nb::bytes transform, nb::bytes blob, Corner low, Corner high) {
    const auto grid = makeGrid(type, fromBytes(metadata), fromBytes(transform));
    const std::string bytes = fromBytes(blob);
    const auto box = toBox(low, high);
    nb::gil_scoped_release release;
    readBlob(*grid, bytes);
    grid->clip(box);
    renewStatistics(*grid);
    const std::string meta = metaBytes(*grid), cut = blobBytes(*grid);
    nb::gil_scoped_acquire acquire;
    return nb::make_tuple(toBytes(meta), toBytes(cut));
}

// Tiles of a tree on their way to the tree whose voxels are 2^lod times as long, as far as they meet `box` there.
template<typename TreeT>
class CoarseTiles {
public:
    using ValueT = typename TreeT::ValueType;

    CoarseTiles(TreeT& tree, int lod, const openvdb::CoordBBox& box) : tree_(tree), lod_(lod), box_(box) {}

    // A tile of `edge` finer voxels at `at`.
    void add(const openvdb::Coord& at, int edge, const ValueT& value, bool active) {
        if (!active && same(value, tree_.background())) return;
        const auto cube = openvdb::CoordBBox::createCube(at >> lod_, edge >> lod_);
        if (box_.hasOverlap(cube)) tree_.sparseFill(cube, value, active);
    }

    // The tiles of the nodes at `origins`, `edge` voxels long each; gives the origins of their children in order.
    template<typename NodeT, typename ViewT>
    std::vector<openvdb::Coord> addNodes(const ViewT& level, const std::vector<openvdb::Coord>& origins) {
        std::vector<openvdb::Coord> children;
        for (size_t i = 0; i < origins.size(); ++i) {
            for (uint32_t n = 0; n < NodeT::NUM_VALUES; ++n) {
                if (bit(level.child, i * NodeT::NUM_VALUES + n)) children.push_back(origins[i] + corner<NodeT>(n));
            }
            for (uint32_t n = 0; n < NodeT::NUM_VALUES; ++n) {
                if (isFirst<NodeT>(n)) addSiblings<NodeT>(level, i * NodeT::NUM_VALUES, n, origins[i]);
            }
        }
        return children;
    }

    // The tiles of the root.
    void addRoot(const TreeView<ValueT>& view) {
        constexpr int edge = TreeT::RootNodeType::ChildNodeType::DIM;
        auto at = [&](size_t i) {
            const int32_t* origin = view.tile_origins + 3 * i;
            return openvdb::Coord(origin[0], origin[1], origin[2]);
        };
        std::map<openvdb::Coord, std::vector<size_t>> siblings;
        for (size_t i = 0; i < view.tiles; ++i) siblings[at(i) & ~((edge << lod_) - 1)].push_back(i);
        for (const auto& [first, tiles] : siblings) {
            const bool alike = std::all_of(tiles.begin(), tiles.end(), [&](size_t i) {
                return !view.tile_active[i] == !view.tile_active[tiles[0]] && same(view.tile_values[i], view.tile_values[tiles[0]]);
            });
            if (alike && tiles.size() == size_t(1) << 3 * lod_) {
                add(first, edge << lod_, view.tile_values[tiles[0]], view.tile_active[tiles[0]]);
            } else for (const size_t i : tiles) add(at(i), edge, view.tile_values[i], view.tile_active[i]);
        }
    }

private:
    static bool same(const ValueT& a, const ValueT& b) { return std::memcmp(&a, &b, sizeof(ValueT)) == 0; }

    // Where slot n begins in its node.
    template<typename NodeT>
    static openvdb::Coord corner(uint32_t n) {
        openvdb::Coord local;
        NodeT::offsetToLocalCoord(n, local);
        return {local[0] << NodeT::ChildNodeType::TOTAL, local[1] << NodeT::ChildNodeType::TOTAL,
            local[2] << NodeT::ChildNodeType::TOTAL};
    }

    // Whether slot n is the first of its siblings, the 8^lod slots that together are as large as one of the coarser tree.
    template<typename NodeT>
    bool isFirst(uint32_t n) const {
        openvdb::Coord local;
        NodeT::offsetToLocalCoord(n, local);
        return ((local[0] | local[1] | local[2]) & ((1 << lod_) - 1)) == 0;
    }

    // The tiles among the siblings from slot `first` on, as one where they are alike: smaller ones would take nodes.
    template<typename NodeT, typename ViewT>
    void addSiblings(const ViewT& level, size_t slots, uint32_t first, const openvdb::Coord& origin) {
        constexpr int edge = NodeT::ChildNodeType::DIM;
        bool alike = true;
        std::vector<uint32_t> tiles;
        for (int32_t c = 0; c < 1 << 3 * lod_; ++c) {
            const int32_t low = (1 << lod_) - 1;
            const uint32_t n = first + (uint32_t(c >> 2 * lod_) << 2 * NodeT::LOG2DIM) +
                (uint32_t(c >> lod_ & low) << NodeT::LOG2DIM) + uint32_t(c & low);
            if (!bit(level.child, slots + n)) tiles.push_back(n);
            alike = alike && tiles.size() == size_t(c) + 1 && same(level.values[slots + n], level.values[slots + first]) &&
                bit(level.active, slots + n) == bit(level.active, slots + first);
        }
        if (alike) add(origin + corner<NodeT>(first), edge << lod_, level.values[slots + first], bit(level.active, slots + first));
        else for (const uint32_t n : tiles) {
            add(origin + corner<NodeT>(n), edge, level.values[slots + n], bit(level.active, slots + n));
        }
    }

    TreeT& tree_;
    const int lod_;
    const openvdb::CoordBBox box_;
};

// Blocks of (8 >> lod)^3 cells each, one for each leaf.
template<typename ValueT>
struct Cells {
    const ValueT* values;
    const uint8_t* active;
    int lod;
};

// The tree whose voxels are 2^lod times as long, at least where they meet `box`: tiles of `view`, and instead of its
// leaves their cells.
template<typename TreeT, typename ValueT = typename TreeT::ValueType>
typename TreeT::Ptr coarseTree(const TreeView<ValueT>& view, const Cells<ValueT>& cells, const openvdb::CoordBBox& box) {
    using UpperT = typename TreeT::RootNodeType::ChildNodeType;
    using LowerT = typename UpperT::ChildNodeType;
    using LeafT = typename TreeT::LeafNodeType;
    checkRoot(view, UpperT::DIM);
    firstChildren(view.upper.child, view.upper.nodes, UpperT::NUM_VALUES / 8, view.lower.nodes);
    firstChildren(view.lower.child, view.lower.nodes, LowerT::NUM_VALUES / 8, view.leaf.nodes);
    auto tree = std::make_shared<TreeT>(view.background);
    CoarseTiles<TreeT> tiles(*tree, cells.lod, box);
    tiles.addRoot(view);
    std::vector<openvdb::Coord> uppers;
    for (size_t i = 0; i < view.children; ++i) {
        const int32_t* at = view.child_origins + 3 * i;
        uppers.emplace_back(at[0], at[1], at[2]);
    }
    const auto lowers = tiles.template addNodes<UpperT>(view.upper, uppers);
    const auto leaves = tiles.template addNodes<LowerT>(view.lower, lowers);
    const int edge = 8 >> cells.lod, count = edge * edge * edge;
    for (size_t i = 0; i < leaves.size(); ++i) {
        const auto low = leaves[i] >> cells.lod;
        if (!box.hasOverlap(openvdb::CoordBBox::createCube(low, edge))) continue;
        LeafT* leaf = tree->touchLeaf(low);
        for (int c = 0; c < count; ++c) {
            const auto n = LeafT::coordToOffset(low.offsetBy(c / (edge * edge), c / edge % edge, c % edge));
            if (cells.active[i * count + c]) leaf->setValueOn(n, cells.values[i * count + c]);
            else leaf->setValueOff(n, cells.values[i * count + c]);
        }
    }
    tree->prune();
    return tree;
}

// box: corners, both included, of the coarser voxels that are wanted at least; None: all.
nb::tuple coarsen(const std::string& type, nb::bytes metadata, nb::bytes transform, nb::dict arrays, nb::dict cells, int lod,
    std::optional<std::pair<Corner, Corner>> box)
{
    checkLod(lod);
    return remade(type, metadata, transform, arrays, [&](const auto& view, auto* null) {
        using TreeT = std::remove_pointer_t<decltype(null)>;
        using ValueT = typename TreeT::ValueType;
        const size_t edge = size_t(8 >> lod), N = view.leaf.nodes;
        nb::gil_scoped_acquire acquire;
        Borrow from(cells);
        const Cells<ValueT> blocks{from.get<ValueT>("values", {N, edge * edge * edge}),
            from.get<uint8_t>("active", {N, edge * edge * edge}), lod};
        nb::gil_scoped_release release;
        return coarseTree<TreeT>(view, blocks, box ? toBox(box->first, box->second) : openvdb::CoordBBox::inf());
    });
}

// A serialised transform for an index space whose point c is the point 2^lod c + shift of the old one.
nb::bytes coarseTransform(nb::bytes bytes, int lod, double shift) {
    using namespace openvdb::math;
    checkLod(lod);
    if (!std::isfinite(shift)) throw nb::value_error("shift is no number");
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
    m.def("coarsen", &coarsen, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none());
    m.def("coarse_transform", &coarseTransform);
}

} // namespace nvdb
