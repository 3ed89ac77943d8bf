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

// Puts active values of a leaf one behind the other and gives their number; -1 where an inactive one is not the background.
template<typename ValueT, size_t Slots>
int gatherActive(const ValueT* values, const uint8_t* active, const ValueT& background, std::array<ValueT, Slots>& to) {
    int count = 0;
    bool differs = false;
    for (size_t n = 0; n < Slots; ++n) {
        const bool on = bit(active, n);
        to[size_t(count)] = values[n];
        count += on;
        differs |= !on & !(values[n] == background);
    }
    return differs ? -1 : count;
}

// Writes values of all leaves to the stream, which stands behind their grid's topology.
template<typename TreeT>
void writeValues(std::ostream& out, const TreeView<typename TreeT::ValueType>& view, bool half) {
    using namespace openvdb::io;
    using ValueT = typename TreeT::ValueType;
    using LeafT = typename TreeT::LeafNodeType;
    using MaskT = typename LeafT::NodeMaskType;
    constexpr size_t slots = LeafT::NUM_VALUES;
    const uint32_t compression = getDataCompression(out);
    const char only_background = NO_MASK_OR_INACTIVE_VALS;
    std::array<ValueT, slots> gathered;
    for (size_t i = 0; i < view.leaf.nodes; ++i) {
        const uint8_t* active = view.leaf.active + i * slots / 8;
        const ValueT* values = view.leaf.values + i * slots;
        out.write(reinterpret_cast<const char*>(active), slots / 8);
        const int count = compression & COMPRESS_ACTIVE_MASK ? gatherActive(values, active, view.background, gathered) : -1;
        if (count < 0) {
            writeCompressedValues(out, const_cast<ValueT*>(values), slots, loadMask<MaskT>(active), MaskT(), half);
            continue;
        }
        out.write(&only_background, 1); // from here on as writeCompressedValues() does it, in less time
        if (half) HalfWriter<RealToHalf<ValueT>::isReal, ValueT>::write(out, gathered.data(), openvdb::Index(count), compression);
        else writeData(out, gathered.data(), openvdb::Index(count), compression);
    }
}

} // namespace nvdb
