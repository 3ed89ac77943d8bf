// Values of leaves from streams to arrays and back, as LeafNode::readBuffers() and writeBuffers() have them in OpenVDB, but
// without its leaves, which would hold all values a second time.
#pragma once

#include "tree_arrays.h"

#include <openvdb/io/Compression.h>

namespace nvdb {

// A grid's tree from the stream, which stands behind its topology; that is in `tree`, whose leaves stay without values. half:
// whether values are saved so. Throws Damaged where the tree breaks the rules of arrays.
template<typename TreeT>
TreeArrays<typename TreeT::ValueType> readValues(std::istream& in, const TreeT& tree, bool half) {
    using LeafT = typename TreeT::LeafNodeType;
    auto out = exportNodes(tree);
    makeLeaves<LeafT>(tree.leafCount(), out.leaf, out.leaf_values);
    typename LeafT::NodeMaskType active;
    for (size_t i = 0; i < out.leaf.nodes; ++i) {
        active.load(in);
        saveMask(active, out.leaf.active.data.get() + i * LeafT::NUM_VALUES / 8);
        openvdb::io::readCompressedValues(in, out.leaf_values.data.get() + i * LeafT::NUM_VALUES, LeafT::NUM_VALUES, active, half);
    }
    return out;
}

// The leaf number i of a view, without its values.
template<typename LeafT, typename ViewT>
LeafT* leafWithoutValues(const openvdb::Coord& origin, const ViewT& view, size_t i) {
    auto* leaf = new LeafT(openvdb::PartialCreate(), origin);
    leaf->setValueMask(loadMask<typename LeafT::NodeMaskType>(view.leaf.active + i * LeafT::NUM_VALUES / 8));
    return leaf;
}

// The same with them.
template<typename LeafT, typename ViewT>
LeafT* leafWithValues(const openvdb::Coord& origin, const ViewT& view, size_t i) {
    auto* leaf = new LeafT(origin);
    const auto* values = view.leaf.values + i * LeafT::NUM_VALUES;
    std::copy_n(values, LeafT::NUM_VALUES, leaf->buffer().data());
    leaf->setValueMask(loadMask<typename LeafT::NodeMaskType>(view.leaf.active + i * LeafT::NUM_VALUES / 8));
    return leaf;
}

// Writes values of all leaves to the stream, which stands behind their grid's topology.
template<typename TreeT>
void writeValues(std::ostream& out, const TreeView<typename TreeT::ValueType>& view, bool half) {
    using LeafT = typename TreeT::LeafNodeType;
    using MaskT = typename LeafT::NodeMaskType;
    auto* values = const_cast<typename TreeT::ValueType*>(view.leaf.values); // OpenVDB only reads them
    for (size_t i = 0; i < view.leaf.nodes; ++i) {
        const auto active = loadMask<MaskT>(view.leaf.active + i * LeafT::NUM_VALUES / 8);
        active.save(out);
        openvdb::io::writeCompressedValues(out, values + i * LeafT::NUM_VALUES, LeafT::NUM_VALUES, active, MaskT(), half);
    }
}

} // namespace nvdb
