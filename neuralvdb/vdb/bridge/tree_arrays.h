// A 5-4-3 tree as plain arrays, and back. The arrays hold nodes in depth-first order, as OpenVDB's own
// iterators visit them, so a node's children are the set bits of its child mask in order.
//
//   level   slots   child mask   value mask   values
//   upper   32768   4096 bytes   4096 bytes   one per slot, zero where a child is
//   lower    4096    512 bytes    512 bytes   one per slot, zero where a child is
//   leaf      512       -          64 bytes   one per voxel, active or not
//
// Bit n of a mask is bit n % 8 of byte n / 8. Slot and voxel order is OpenVDB's (z fastest).
#pragma once

#include "../../nets/native/huge_pages.h"
#include "streams.h"

#include <openvdb/openvdb.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

namespace nvdb {

// `count` values of T that Python may take over; not initialised.
template<typename T>
struct Buffer {
    std::unique_ptr<T[]> data;
    size_t count = 0;
    void resize(size_t n) {
        data.reset(new T[n]);
        count = n;
        preferHugePages(data.get(), n * sizeof(T));
    }
};

struct Level {
    size_t nodes = 0;
    Buffer<uint8_t> child, active; // child stays empty for leaves
};

template<typename ValueT>
struct TreeArrays {
    ValueT background;
    Buffer<int32_t> child_origins, tile_origins; // root table, 3 per entry
    Buffer<uint8_t> tile_active;
    Buffer<ValueT> tile_values;
    Level upper, lower, leaf;
    Buffer<ValueT> upper_values, lower_values, leaf_values;
};

template<typename MaskT>
void saveMask(const MaskT& mask, uint8_t* to) {
    for (uint32_t i = 0; i < MaskT::SIZE / 64; ++i) {
        const uint64_t word = mask.template getWord<uint64_t>(i);
        std::memcpy(to + 8 * i, &word, 8);
    }
}

template<typename MaskT>
MaskT loadMask(const uint8_t* from) {
    MaskT mask;
    for (uint32_t i = 0; i < MaskT::SIZE / 64; ++i) {
        uint64_t word;
        std::memcpy(&word, from + 8 * i, 8);
        mask.template getWord<uint64_t>(i) = word;
    }
    return mask;
}

template<typename NodeT>
void exportInternal(const std::vector<const NodeT*>& nodes, Level& level,
    Buffer<typename NodeT::ValueType>& values)
{
    using ValueT = typename NodeT::ValueType;
    constexpr size_t slots = NodeT::NUM_VALUES;
    level.nodes = nodes.size();
    level.child.resize(nodes.size() * slots / 8);
    level.active.resize(nodes.size() * slots / 8);
    values.resize(nodes.size() * slots);
    std::atomic<bool> overlap{false};
    tbb::parallel_for(size_t(0), nodes.size(), [&](size_t i) {
        const NodeT& node = *nodes[i];
        saveMask(node.getChildMask(), level.child.data.get() + i * slots / 8);
        saveMask(node.getValueMask(), level.active.data.get() + i * slots / 8);
        ValueT* to = values.data.get() + i * slots;
        for (uint32_t n = 0; n < slots; ++n) {
            const bool child = node.isChildMaskOn(n);
            if (child && node.isValueMaskOn(n)) overlap = true;
            to[n] = child ? openvdb::zeroVal<ValueT>() : node.getTable()[n].getValue();
        }
    });
    if (overlap) throw Damaged("a tree node marks the same slot as child and as active tile");
}

template<typename LeafT, typename ValueT>
void makeLeaves(size_t nodes, Level& level, Buffer<ValueT>& values) {
    level.nodes = nodes;
    level.active.resize(nodes * LeafT::NUM_VALUES / 8);
    values.resize(nodes * LeafT::NUM_VALUES);
}

template<typename LeafT>
void exportLeaves(const std::vector<const LeafT*>& nodes, Level& level,
    Buffer<typename LeafT::ValueType>& values)
{
    constexpr size_t slots = LeafT::NUM_VALUES;
    makeLeaves<LeafT>(nodes.size(), level, values);
    tbb::parallel_for(size_t(0), nodes.size(), [&](size_t i) {
        saveMask(nodes[i]->getValueMask(), level.active.data.get() + i * slots / 8);
        std::memcpy(values.data.get() + i * slots, nodes[i]->buffer().data(),
            slots * sizeof(typename LeafT::ValueType));
    });
}

template<typename TreeT>
void exportRoot(const TreeT& tree, TreeArrays<typename TreeT::ValueType>& out) {
    using UpperT = typename TreeT::RootNodeType::ChildNodeType;
    const auto& root = tree.root();
    out.background = root.background();
    std::vector<openvdb::Coord> children, tiles;
    for (auto it = root.cbeginChildOn(); it; ++it) children.push_back(it.getCoord());
    for (auto it = root.cbeginValueAll(); it; ++it) tiles.push_back(it.getCoord());
    out.child_origins.resize(3 * children.size());
    out.tile_origins.resize(3 * tiles.size());
    out.tile_active.resize(tiles.size());
    out.tile_values.resize(tiles.size());
    auto copy = [](const openvdb::Coord& from, int32_t* to) {
        if (from != (from & ~int32_t(UpperT::DIM - 1))) throw Damaged("a root entry lies off the tree's lines");
        for (int a = 0; a < 3; ++a) to[a] = from[a];
    };
    for (size_t i = 0; i < children.size(); ++i) copy(children[i], &out.child_origins.data[3 * i]);
    size_t i = 0;
    for (auto it = root.cbeginValueAll(); it; ++it, ++i) {
        copy(tiles[i], &out.tile_origins.data[3 * i]);
        out.tile_active.data[i] = it.isValueOn();
        out.tile_values.data[i] = *it;
    }
}

// `tree` without its leaves as arrays. Throws Damaged where the tree breaks the rules above.
template<typename TreeT>
TreeArrays<typename TreeT::ValueType> exportNodes(const TreeT& tree) {
    using UpperT = typename TreeT::RootNodeType::ChildNodeType;
    using LowerT = typename UpperT::ChildNodeType;
    TreeArrays<typename TreeT::ValueType> out;
    exportRoot(tree, out);
    std::vector<const UpperT*> uppers;
    std::vector<const LowerT*> lowers;
    tree.getNodes(uppers);
    tree.getNodes(lowers);
    exportInternal(uppers, out.upper, out.upper_values);
    exportInternal(lowers, out.lower, out.lower_values);
    return out;
}

// All of `tree`, likewise.
template<typename TreeT>
TreeArrays<typename TreeT::ValueType> exportTree(const TreeT& tree) {
    auto out = exportNodes(tree);
    std::vector<const typename TreeT::LeafNodeType*> leaves;
    tree.getNodes(leaves);
    exportLeaves(leaves, out.leaf, out.leaf_values);
    return out;
}

// Borrowed arrays of the same layout, sizes checked by the caller except for the child counts.
template<typename ValueT>
struct TreeView {
    ValueT background;
    size_t children, tiles;
    const int32_t *child_origins, *tile_origins;
    const uint8_t* tile_active;
    const ValueT* tile_values;
    struct { size_t nodes; const uint8_t *child, *active; const ValueT* values; } upper, lower, leaf;
};

inline size_t countBits(const uint8_t* bytes, size_t count) {
    size_t sum = 0;
    for (size_t i = 0; i < count; ++i) sum += size_t(__builtin_popcount(bytes[i]));
    return sum;
}

inline bool bit(const uint8_t* mask, size_t n) { return mask[n / 8] >> (n % 8) & 1; }

// For each of `nodes` the index of its first child; the last entry is the number of children.
inline std::vector<size_t> firstChildren(const uint8_t* child, size_t nodes, size_t bytes, size_t expected) {
    std::vector<size_t> first(nodes + 1, 0);
    for (size_t i = 0; i < nodes; ++i) first[i + 1] = first[i] + countBits(child + i * bytes, bytes);
    if (first[nodes] != expected) throw std::invalid_argument("child masks disagree with the number of nodes");
    return first;
}

// Adds tiles to `parents`, which hold the background, and gives back their new children, in order; `make` builds one at an
// origin.
template<typename NodeT, typename ViewT, typename MakeT>
std::vector<typename NodeT::ChildNodeType*> addChildren(const std::vector<NodeT*>& parents, const ViewT& view,
    const typename NodeT::ValueType& background, size_t expected, MakeT make)
{
    constexpr size_t slots = NodeT::NUM_VALUES;
    const auto first = firstChildren(view.child, parents.size(), slots / 8, expected);
    std::vector<typename NodeT::ChildNodeType*> made(expected);
    tbb::parallel_for(size_t(0), parents.size(), [&](size_t i) {
        NodeT& node = *parents[i];
        const uint8_t* child = view.child + i * slots / 8;
        const uint8_t* active = view.active + i * slots / 8;
        size_t next = first[i];
        for (uint32_t n = 0; n < slots; ++n) {
            if (bit(child, n)) {
                made[next] = make(node.offsetToGlobalCoord(n), next);
                node.addChild(made[next++]);
            } else if (bit(active, n) || std::memcmp(&view.values[i * slots + n], &background, sizeof(background)) != 0) {
                node.addTile(n, view.values[i * slots + n], bit(active, n));
            }
        }
    });
    return made;
}

// Every child and tile of the root must have a place of its own, on the lines of nodes of `edge` voxels.
template<typename ViewT>
void checkRoot(const ViewT& view, int32_t edge) {
    std::set<std::array<int32_t, 3>> places;
    auto add = [&](const int32_t* origins, size_t count) {
        for (size_t i = 0; i < count; ++i) {
            const std::array<int32_t, 3> at{origins[3 * i], origins[3 * i + 1], origins[3 * i + 2]};
            for (const int32_t a : at) if (a & (edge - 1)) throw std::invalid_argument("a root entry lies off the tree's lines");
            if (!places.insert(at).second) throw std::invalid_argument("two root entries have one place");
        }
    };
    add(view.child_origins, view.children);
    add(view.tile_origins, view.tiles);
}

// The tree that `view` describes; `make(origin, i)` makes its leaf number i.
template<typename TreeT, typename MakeT>
typename TreeT::Ptr importTree(const TreeView<typename TreeT::ValueType>& view, MakeT make) {
    using UpperT = typename TreeT::RootNodeType::ChildNodeType;
    using LowerT = typename UpperT::ChildNodeType;
    checkRoot(view, UpperT::DIM);
    auto tree = std::make_shared<TreeT>(view.background);
    auto coord = [](const int32_t* at) { return openvdb::Coord(at[0], at[1], at[2]); };
    for (size_t i = 0; i < view.tiles; ++i) {
        tree->root().addTile(coord(view.tile_origins + 3 * i), view.tile_values[i], view.tile_active[i]);
    }
    std::vector<UpperT*> uppers;
    for (size_t i = 0; i < view.children; ++i) {
        uppers.push_back(new UpperT(coord(view.child_origins + 3 * i), view.background));
        tree->root().addChild(uppers.back());
    }
    const auto lowers = addChildren(uppers, view.upper, view.background, view.lower.nodes,
        [&](const openvdb::Coord& origin, size_t) { return new LowerT(origin, view.background); });
    addChildren(lowers, view.lower, view.background, view.leaf.nodes, make);
    return tree;
}

// The masks of a tree, as above, without values.
struct MaskView {
    size_t children, tiles;
    const int32_t *child_origins, *tile_origins;
    const uint8_t* tile_active;
    struct { size_t nodes; const uint8_t *child, *active; } upper, lower, leaf;
};

// Adds active tiles to `parents` and gives back their new children, in order; `make` builds one at an origin.
template<typename NodeT, typename ViewT, typename MakeT>
std::vector<typename NodeT::ChildNodeType*> addMasks(
    const std::vector<NodeT*>& parents, const ViewT& view, size_t expected, MakeT make)
{
    constexpr size_t slots = NodeT::NUM_VALUES;
    firstChildren(view.child, parents.size(), slots / 8, expected);
    std::vector<typename NodeT::ChildNodeType*> made;
    for (size_t i = 0; i < parents.size(); ++i) {
        for (uint32_t n = 0; n < slots; ++n) {
            if (bit(view.child + i * slots / 8, n)) {
                made.push_back(make(parents[i]->offsetToGlobalCoord(n), made.size()));
                parents[i]->addChild(made.back());
            } else if (bit(view.active + i * slots / 8, n)) {
                parents[i]->addTile(n, true, true);
            }
        }
    }
    return made;
}

// The tree that `view` describes; active and true are the same.
inline openvdb::MaskTree::Ptr importMask(const MaskView& view) {
    using UpperT = openvdb::MaskTree::RootNodeType::ChildNodeType;
    using LowerT = UpperT::ChildNodeType;
    using LeafT = openvdb::MaskTree::LeafNodeType;
    checkRoot(view, UpperT::DIM);
    auto tree = std::make_shared<openvdb::MaskTree>(false);
    auto coord = [](const int32_t* at) { return openvdb::Coord(at[0], at[1], at[2]); };
    for (size_t i = 0; i < view.tiles; ++i) {
        if (view.tile_active[i]) tree->root().addTile(coord(view.tile_origins + 3 * i), true, true);
    }
    std::vector<UpperT*> uppers;
    for (size_t i = 0; i < view.children; ++i) {
        uppers.push_back(new UpperT(coord(view.child_origins + 3 * i), false));
        tree->root().addChild(uppers.back());
    }
    const auto lowers = addMasks(uppers, view.upper, view.lower.nodes,
        [](const openvdb::Coord& origin, size_t) { return new LowerT(origin, false); });
    addMasks(lowers, view.lower, view.leaf.nodes, [&](const openvdb::Coord& origin, size_t i) {
        auto* leaf = new LeafT(origin, false);
        leaf->setValueMask(loadMask<LeafT::NodeMaskType>(view.leaf.active + i * LeafT::NUM_VALUES / 8));
        return leaf;
    });
    return tree;
}

} // namespace nvdb
