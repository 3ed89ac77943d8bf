// Values of leaves from streams to arrays and back, as LeafNode::readBuffers() and writeBuffers() have them in OpenVDB, but
// without its leaves, which would hold all values a second time.
#pragma once

#include "tree_arrays.h"

#include <openvdb/io/Compression.h>
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>

namespace nvdb {

constexpr size_t kLeavesAtATime = 256; // that one thread reads or writes

// Threads that tbb uses here.
inline size_t threadsOfTbb() { return tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism); }

// Reads leaves `first` to `last` from the stream.
template<typename LeafT, typename ArraysT>
void readLeaves(std::istream& in, ArraysT& out, bool half, size_t first, size_t last) {
    typename LeafT::NodeMaskType active;
    for (size_t i = first; i < last; ++i) {
        active.load(in);
        saveMask(active, out.leaf.active.data.get() + i * LeafT::NUM_VALUES / 8);
        openvdb::io::readCompressedValues(in, out.leaf_values.data.get() + i * LeafT::NUM_VALUES, LeafT::NUM_VALUES, active, half);
    }
}

// Appends the bytes of the next leaf, as readLeaves() reads them. Gives false, and the stream is where it was, where its length
// is not what a writer makes it.
template<typename LeafT>
bool takeLeaf(std::istream& in, std::string& bytes, bool half) {
    using namespace openvdb::io;
    using ValueT = typename LeafT::ValueType;
    constexpr size_t slots = LeafT::NUM_VALUES;
    const uint32_t compression = getDataCompression(in);
    const size_t begin = bytes.size();
    const auto take = [&](size_t count) {
        bytes.resize(bytes.size() + count);
        in.read(&bytes[bytes.size() - count], std::streamsize(count));
    };
    take(slots / 8 + 1);
    const int kind = bytes.back();
    if (kind == NO_MASK_AND_ONE_INACTIVE_VAL || kind == MASK_AND_ONE_INACTIVE_VAL) take(sizeof(ValueT));
    if (kind == MASK_AND_TWO_INACTIVE_VALS) take(2 * sizeof(ValueT));
    if (kind == MASK_AND_NO_INACTIVE_VALS || kind == MASK_AND_ONE_INACTIVE_VAL || kind == MASK_AND_TWO_INACTIVE_VALS) take(slots / 8);
    const bool all = !(compression & COMPRESS_ACTIVE_MASK) || kind == NO_MASK_AND_ALL_VALS;
    const size_t count = all ? slots : countBits(reinterpret_cast<const uint8_t*>(&bytes[begin]), slots / 8);
    int64_t size = int64_t(count * (half ? sizeof(typename RealToHalf<ValueT>::HalfT) : sizeof(ValueT)));
    if (half && count == 0) return true; // not even a length
    if (compression & (COMPRESS_BLOSC | COMPRESS_ZIP)) {
        const int64_t most = size + 64; // what cannot be compressed grows by a head
        take(sizeof(size));
        std::memcpy(&size, &bytes[bytes.size() - sizeof(size)], sizeof(size));
        if (size < -most || size > most) { // negative where values are not compressed
            in.seekg(-std::streamoff(bytes.size() - begin), std::ios_base::cur);
            bytes.resize(begin);
            return false;
        }
    }
    take(size_t(size < 0 ? -size : size));
    return true;
}

// What OpenVDB keeps with a stream of leaves.
class LeafStream {
public:
    explicit LeafStream(std::ios_base& stream)
        : library_(openvdb::io::getLibraryVersion(stream)), version_(openvdb::io::getFormatVersion(stream)),
          compression_(openvdb::io::getDataCompression(stream)), background_(openvdb::io::getGridBackgroundValuePtr(stream)) {}
    void giveTo(std::ios_base& piece) const {
        openvdb::io::setVersion(piece, library_, version_);
        openvdb::io::setDataCompression(piece, compression_);
        openvdb::io::setGridBackgroundValuePtr(piece, background_);
    }

private:
    openvdb::VersionId library_;
    uint32_t version_, compression_;
    const void* background_;
};

// Bytes of some leaves, beginning with number `first`.
struct LeafBytes {
    size_t first, last;
    std::string bytes;
};

// Reads leaves on threads, but for those from one on that takeLeaf() leaves in the stream; gives its number.
template<typename LeafT, typename ArraysT>
size_t readOnThreads(std::istream& in, ArraysT& out, bool half, size_t threads) {
    const LeafStream stream(in);
    size_t next = 0;
    bool plain = true;
    const auto take = [&](tbb::flow_control& flow) {
        LeafBytes taken{next, next, {}};
        const size_t end = std::min(next + kLeavesAtATime, out.leaf.nodes);
        while (plain && next < end && (plain = takeLeaf<LeafT>(in, taken.bytes, half))) ++next;
        taken.last = next;
        if (taken.first == taken.last) flow.stop();
        return taken;
    };
    const auto read = [&](const LeafBytes& leaves) {
        MemoryStream piece(leaves.bytes.data(), leaves.bytes.size());
        stream.giveTo(piece);
        readLeaves<LeafT>(piece, out, half, leaves.first, leaves.last);
    };
    tbb::parallel_pipeline(2 * threads, tbb::make_filter<void, LeafBytes>(tbb::filter_mode::serial_in_order, take) &
        tbb::make_filter<LeafBytes, void>(tbb::filter_mode::parallel, read));
    return next;
}

// A grid's tree from the stream, which stands behind its topology; that is in `tree`, whose leaves stay without values. half:
// whether values are saved so. Throws Damaged where the tree breaks the rules of arrays.
template<typename TreeT>
TreeArrays<typename TreeT::ValueType> readValues(std::istream& in, const TreeT& tree, bool half) {
    using LeafT = typename TreeT::LeafNodeType;
    auto out = exportNodes(tree);
    makeLeaves<LeafT>(tree.leafCount(), out.leaf, out.leaf_values);
    const size_t threads = threadsOfTbb();
    const bool many = threads > 1 && out.leaf.nodes > kLeavesAtATime;
    readLeaves<LeafT>(in, out, half, many ? readOnThreads<LeafT>(in, out, half, threads) : 0, out.leaf.nodes);
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

// Writes values of leaves `first` to `last` to the stream.
template<typename TreeT>
void writeLeaves(std::ostream& out, const TreeView<typename TreeT::ValueType>& view, bool half, size_t first, size_t last) {
    using namespace openvdb::io;
    using ValueT = typename TreeT::ValueType;
    using LeafT = typename TreeT::LeafNodeType;
    using MaskT = typename LeafT::NodeMaskType;
    constexpr size_t slots = LeafT::NUM_VALUES;
    const uint32_t compression = getDataCompression(out);
    const char only_background = NO_MASK_OR_INACTIVE_VALS;
    std::array<ValueT, slots> gathered;
    for (size_t i = first; i < last; ++i) {
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

// Writes values of all leaves to the stream, which stands behind their grid's topology: some at a time are made bytes by
// each thread.
template<typename TreeT>
void writeValues(std::ostream& out, const TreeView<typename TreeT::ValueType>& view, bool half) {
    const size_t leaves = view.leaf.nodes, threads = threadsOfTbb();
    if (threads <= 1 || leaves <= kLeavesAtATime) return writeLeaves<TreeT>(out, view, half, 0, leaves);
    const LeafStream stream(out);
    size_t next = 0;
    const auto begin = [&](tbb::flow_control& flow) {
        const size_t first = next;
        if (first >= leaves) flow.stop();
        next += kLeavesAtATime;
        return first;
    };
    const auto bytes_of = [&](size_t first) {
        StringBuffer bytes;
        std::ostream piece(&bytes);
        stream.giveTo(piece);
        writeLeaves<TreeT>(piece, view, half, first, std::min(first + kLeavesAtATime, leaves));
        return std::move(bytes.text);
    };
    const auto write = [&](const std::string& bytes) { out.write(bytes.data(), std::streamsize(bytes.size())); };
    tbb::parallel_pipeline(2 * threads, tbb::make_filter<void, size_t>(tbb::filter_mode::serial_in_order, begin) &
        tbb::make_filter<size_t, std::string>(tbb::filter_mode::parallel, bytes_of) &
        tbb::make_filter<std::string, void>(tbb::filter_mode::serial_in_order, write));
}

} // namespace nvdb
