#include "writer.h"

#include "leaf_values.h"
#include "mask_hazard.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace nvdb {

Writer::Writer(int file, const std::string& metadata, int32_t grids,
    const std::string& uuid, uint32_t compression, uint32_t version)
    : buffer_(file), file_(&buffer_), compression_(compression), left_(grids)
{
    if (uuid.size() != 36) throw std::invalid_argument("a uuid has 36 characters");
    if (version < kWrittenVersion || version > kNewestVersion) throw std::invalid_argument("no such file version");
    if (grids < 0) throw std::invalid_argument("a file has at least 0 grids");
    openvdb::MetaMap read;
    deserialise(metadata, [&](std::istream& in, StreamState&) { readMeta(in, read); }); // throws where no reader could
    const int64_t magic = openvdb::OPENVDB_MAGIC;
    const uint32_t versions[3] = {version, thisLibrary().first, thisLibrary().second};
    const char has_offsets = 1;
    put(&magic, 8);
    put(versions, 12);
    put(&has_offsets, 1);
    put(uuid.data(), uuid.size());
    put(metadata.data(), metadata.size());
    put(&grids, 4);
}

void Writer::put(const void* data, size_t size) {
    file_.write(static_cast<const char*>(data), std::streamsize(size));
    check();
}

void Writer::check() {
    const int code = buffer_.code() ? buffer_.code() : EIO;
    if (!file_) throw SystemFailure(std::strerror(code), code);
}

int64_t Writer::writeDescriptor(const Entry& entry) {
    if (closed_ || left_ == 0) throw std::invalid_argument(closed_ ? "the file is closed" : "the file has all its grids");
    --left_;
    for (const auto* text : {&entry.unique_name, &entry.type, &entry.parent}) {
        const std::string full = *text + (text == &entry.type && entry.half ? kHalfSuffix : "");
        const auto length = uint32_t(full.size());
        put(&length, 4);
        put(full.data(), full.size());
    }
    const auto at = int64_t(file_.tellp());
    const int64_t none[3] = {0, 0, 0};
    put(none, 24);
    return at;
}

void Writer::writePositions(const Entry& entry, int64_t at) {
    const int64_t positions[3] = {entry.grid_pos, entry.block_pos, entry.end_pos};
    file_.seekp(at);
    put(positions, 24);
    file_.seekp(entry.end_pos);
}

openvdb::GridBase::Ptr makeGrid(const std::string& type, const std::string& metadata, const std::string& transform) {
    if (!openvdb::GridBase::isRegistered(type)) throw Damaged("grid type " + type + " is unknown to OpenVDB");
    auto grid = openvdb::GridBase::createGrid(type);
    deserialise(metadata, [&](std::istream& in, StreamState&) { readMeta(in, *grid); });
    deserialise(transform, [&](std::istream& in, StreamState&) { readTransform(in, grid->transform()); });
    return grid;
}

void readBlob(openvdb::GridBase& grid, const std::string& blob) {
    deserialise(blob, [&](std::istream& in, StreamState& state) {
        state.useGrid(grid);
        grid.readTopology(in);
        grid.readBuffers(in);
    });
}

// A grid saved as half may hold a background that no half can hold (old files do); OpenVDB would round it.
void Writer::restoreBackground(const openvdb::GridBase& grid, std::streamoff topology) {
    withTreeType(grid.type(), [&](auto* null) {
        using GridT = std::remove_pointer_t<decltype(null)>;
        const auto background = static_cast<const GridT&>(grid).background();
        const auto here = file_.tellp();
        file_.seekp(topology + std::streamoff(sizeof(int32_t))); // behind the tree's buffer count
        put(&background, sizeof(background));
        file_.seekp(here);
    });
}

uint32_t Writer::flagsOf(const openvdb::GridBase& grid, uint32_t drop_flags) const {
    uint32_t flags = compression_ & ~drop_flags;
    const auto kind = grid.getGridClass(); // OpenVDB's rule: no zip on level sets and fog volumes
    if (kind == openvdb::GRID_LEVEL_SET || kind == openvdb::GRID_FOG_VOLUME) flags &= ~openvdb::io::COMPRESS_ZIP;
    return flags;
}

template<typename WriteT>
void Writer::writeGrid(Entry entry, const openvdb::GridBase& grid, uint32_t flags, const WriteT& write) {
    entry.half = grid.saveFloatAsHalf(); // readers go by the metadata, so the descriptor must not contradict it
    const auto at = writeDescriptor(entry);
    entry.grid_pos = int64_t(file_.tellp());
    put(&flags, 4);
    StreamState state(file_, thisLibrary(), kWrittenVersion, flags);
    state.useGrid(grid);
    grid.writeMeta(file_);
    grid.writeTransform(file_);
    entry.block_pos = write();
    check();
    entry.end_pos = int64_t(file_.tellp());
    writePositions(entry, at);
}

void Writer::writeWhole(const Entry& entry, const openvdb::GridBase& grid, const WriteValues& write_values, uint32_t drop_flags) {
    StoredTree tree{grid.type(), grid.saveFloatAsHalf(), drop_flags, flagsOf(grid, drop_flags), 0, 0, 0};
    writeGrid(entry, grid, tree.flags, [&] {
        tree.topology = file_.tellp();
        grid.writeTopology(file_);
        if (tree.half) restoreBackground(grid, tree.topology);
        tree.buffers = file_.tellp();
        write_values();
        tree.end = file_.tellp();
        return int64_t(tree.buffers);
    });
    trees_.push_back(tree);
}

void Writer::writeWithoutTree(const Entry& entry, const openvdb::GridBase& grid) {
    writeGrid(entry, grid, flagsOf(grid, 0), [] { return int64_t(0); });
}

void Writer::copy(std::streamoff begin, std::streamoff end) {
    std::vector<char> bytes(size_t(std::min<std::streamoff>(end - begin, 1 << 20)));
    while (begin < end) {
        const auto count = size_t(std::min<std::streamoff>(end - begin, std::streamoff(bytes.size())));
        if (!buffer_.readBack(bytes.data(), count, begin)) file_.setstate(std::ios_base::badbit);
        put(bytes.data(), count);
        begin += std::streamoff(count);
    }
}

bool Writer::writeAgain(const Entry& entry, const std::string& metadata, const std::string& transform, size_t number) {
    const StoredTree tree = trees_.at(number);
    const auto grid = makeGrid(entry.type, metadata, transform);
    const bool equal = tree.type == entry.type && tree.half == grid->saveFloatAsHalf() &&
        tree.flags == flagsOf(*grid, tree.drop_flags);
    if (!equal) return false;
    writeGrid(entry, *grid, tree.flags, [&] {
        const int64_t buffers = int64_t(file_.tellp()) + int64_t(tree.buffers - tree.topology);
        copy(tree.topology, tree.end);
        return buffers;
    });
    return true;
}

template<typename GridT>
size_t Writer::writeTree(const Entry& entry, const std::string& metadata, const std::string& transform,
    const TreeView<typename GridT::ValueType>& view)
{
    using TreeT = typename GridT::TreeType;
    auto grid = makeGrid(entry.type, metadata, transform);
    grid->setTree(importTree<TreeT>(view, [&](const openvdb::Coord& origin, size_t i) {
        return leafWithoutValues<typename TreeT::LeafNodeType>(origin, view, i);
    }));
    const auto write_values = [&] { writeValues<TreeT>(file_, view, grid->saveFloatAsHalf()); };
    writeWhole(entry, *grid, write_values, losesBits(view) ? uint32_t(openvdb::io::COMPRESS_ACTIVE_MASK) : 0u);
    return trees_.size() - 1;
}

template size_t Writer::writeTree<openvdb::FloatGrid>(const Entry&, const std::string&, const std::string&, const TreeView<float>&);
template size_t Writer::writeTree<openvdb::DoubleGrid>(const Entry&, const std::string&, const std::string&, const TreeView<double>&);
template size_t Writer::writeTree<openvdb::Vec3SGrid>(const Entry&, const std::string&, const std::string&, const TreeView<openvdb::Vec3s>&);
template size_t Writer::writeTree<openvdb::Vec3DGrid>(const Entry&, const std::string&, const std::string&, const TreeView<openvdb::Vec3d>&);

void Writer::writeMask(const Entry& entry, const std::string& metadata, const std::string& transform,
    const MaskView& view)
{
    auto grid = makeGrid(entry.type, metadata, transform);
    auto mask = openvdb::gridPtrCast<openvdb::MaskGrid>(grid);
    if (!mask) throw Damaged("grid type " + entry.type + " is no mask");
    mask->setSaveFloatAsHalf(false); // what it said of values means nothing now
    mask->setGridClass(openvdb::GRID_UNKNOWN);
    if (!entry.parent.empty()) return writeWithoutTree(entry, *mask);
    mask->setTree(importMask(view));
    writeWhole(entry, *mask, [&] { mask->writeBuffers(file_); });
}

void Writer::writeSerial(const Entry& entry, const std::string& metadata, const std::string& transform,
    const std::string& blob)
{
    auto grid = makeGrid(entry.type, metadata, transform);
    readBlob(*grid, blob);
    writeWhole(entry, *grid, [&] { grid->writeBuffers(file_); });
}

void Writer::writeInstance(const Entry& entry, const std::string& metadata, const std::string& transform) {
    if (entry.parent.empty()) throw Damaged("it shares the tree of no grid");
    writeWithoutTree(entry, *makeGrid(entry.type, metadata, transform));
}

void Writer::writeRaw(const Entry& entry, const std::string& bytes, int64_t block_offset) {
    if (block_offset < 0 || block_offset > int64_t(bytes.size())) throw Damaged("a grid's buffers begin outside of it");
    const auto at = writeDescriptor(entry);
    Entry placed = entry;
    placed.grid_pos = int64_t(file_.tellp());
    placed.block_pos = placed.grid_pos + block_offset;
    put(bytes.data(), bytes.size());
    placed.end_pos = int64_t(file_.tellp());
    writePositions(placed, at);
}

void Writer::close() {
    if (closed_ || left_ != 0) throw std::invalid_argument(closed_ ? "the file is closed" : "grids are missing");
    closed_ = true;
    file_.flush();
    check();
}

} // namespace nvdb
