#include "reader.h"

#include "leaf_values.h"

#include <openvdb/tools/PointIndexGrid.h>

#include <set>

namespace nvdb {
namespace {

template<typename T>
T take(std::istream& in) {
    T value;
    in.read(reinterpret_cast<char*>(&value), sizeof(T));
    return value;
}

// A length-prefixed string, checked against what the stream still holds before memory is taken.
std::string takeString(std::istream& in, size_t size) {
    const auto length = take<uint32_t>(in);
    const auto here = size_t(in.tellg());
    if (length > size - here) throw EndsEarly("a name at byte " + std::to_string(here) + " runs past the end");
    std::string text(length, '\0');
    if (length) in.read(text.data(), length);
    return text;
}

// Whether this OpenVDB reads grids of a type. Of an index of points it reads no values unless it delays loading them.
bool isReadable(const std::string& type) {
    return openvdb::GridBase::isRegistered(type) && type != openvdb::tools::PointIndexGrid::gridType();
}

} // namespace

Reader::Reader(const std::string& path) : file_(path), stream_(file_) {
    const bool has_offsets = readHeader();
    StreamState state(stream_, library, version, default_compression_);
    openvdb::MetaMap map;
    readMeta(stream_, map);
    metadata = metaBytes(map);
    const auto count = take<int32_t>(stream_);
    if (count < 0) throw Damaged("it declares " + std::to_string(count) + " grids");
    for (int32_t i = 0; i < count; ++i) {
        Entry entry = readDescriptor();
        const auto start = int64_t(stream_.tellg());
        if (has_offsets) checkPositions(entry, start);
        else measure(entry);
        if (!entry.parent.empty()) entry.block_pos = entry.grid_pos; // an instance has no buffers to point at
        grids.push_back(entry);
        stream_.seekg(entry.end_pos);
    }
    checkParents();
}

bool Reader::readHeader() {
    if (file_.size() < 8 || take<int64_t>(stream_) != openvdb::OPENVDB_MAGIC) throw Damaged("it is not a VDB file");
    version = take<uint32_t>(stream_);
    if (version < kOldestVersion || version > kNewestVersion) {
        throw Unsupported("its file version is " + std::to_string(version) + "; versions " +
            std::to_string(kOldestVersion) + " to " + std::to_string(kNewestVersion) + " can be read");
    }
    library.first = take<uint32_t>(stream_);
    library.second = take<uint32_t>(stream_);
    const bool has_offsets = take<char>(stream_) != 0;
    uuid.resize(36);
    stream_.read(uuid.data(), 36);
    return has_offsets;
}

Entry Reader::readDescriptor() {
    Entry entry;
    entry.unique_name = takeString(stream_, file_.size());
    entry.type = takeString(stream_, file_.size());
    entry.parent = takeString(stream_, file_.size());
    const auto& type = entry.type;
    if (type.size() > kHalfSuffix.size() &&
        type.compare(type.size() - kHalfSuffix.size(), kHalfSuffix.size(), kHalfSuffix) == 0) {
        entry.half = true;
        entry.type.resize(type.size() - kHalfSuffix.size());
    }
    entry.grid_pos = take<int64_t>(stream_);
    entry.block_pos = take<int64_t>(stream_);
    entry.end_pos = take<int64_t>(stream_);
    return entry;
}

void Reader::checkPositions(const Entry& entry, int64_t start) const {
    const bool instance = !entry.parent.empty();
    const bool ordered = entry.grid_pos == start && entry.end_pos >= start &&
        (instance || (entry.block_pos >= start && entry.block_pos <= entry.end_pos));
    if (!ordered) throw Damaged("the positions of grid '" + entry.unique_name + "' contradict each other");
    if (entry.end_pos > int64_t(file_.size())) {
        throw EndsEarly("it ends early: grid '" + entry.unique_name + "' should reach byte " +
            std::to_string(entry.end_pos) + " of " + std::to_string(file_.size()));
    }
}

// Every instance must share the tree of a grid that has one.
void Reader::checkParents() const {
    std::set<std::string> with_tree;
    for (const auto& grid : grids) if (grid.parent.empty()) with_tree.insert(grid.unique_name);
    for (const auto& grid : grids) {
        if (!grid.parent.empty() && !with_tree.count(grid.parent)) {
            throw Damaged("grid '" + grid.unique_name + "' shares the tree of '" + grid.parent + "', and no grid of that "
                "name has one");
        }
    }
}

// Finds the positions in a file that was written without them, by reading the grid once.
void Reader::measure(Entry& entry) {
    entry.grid_pos = int64_t(stream_.tellg());
    StreamState state(stream_, library, version, default_compression_);
    try {
        if (!isReadable(entry.type)) throw openvdb::LookupError(entry.type);
        const auto grid = readHead(entry, state);
        if (entry.parent.empty()) {
            grid->readTopology(stream_);
            entry.block_pos = int64_t(stream_.tellg());
            grid->readBuffers(stream_);
        }
    } catch (const openvdb::LookupError&) {
        throw Unsupported("grid '" + entry.unique_name + "' has type " + entry.type + ", which this OpenVDB cannot read, "
            "and the file has no positions by which it could be skipped; re-save the file without that grid");
    }
    entry.end_pos = int64_t(stream_.tellg());
}

void Reader::seek(const Entry& entry) {
    file_.forget();
    stream_.clear();
    stream_.seekg(entry.grid_pos);
}

// Compression flags, metadata and transform; leaves the stream where the topology begins.
openvdb::GridBase::Ptr Reader::readHead(const Entry& entry, StreamState& state) {
    openvdb::io::setDataCompression(stream_, take<uint32_t>(stream_));
    auto grid = openvdb::GridBase::createGrid(entry.type);
    grid->setSaveFloatAsHalf(entry.half);
    readMeta(stream_, *grid);
    if ((*grid)["file_delayed_load"]) grid->removeMeta("file_delayed_load"); // an index of this file's bytes
    readTransform(stream_, grid->transform());
    state.useGrid(*grid);
    return grid;
}

GridContent Reader::read(size_t index) {
    const Entry& entry = grids.at(index);
    seek(entry);
    GridContent content;
    StreamState state(stream_, library, version, default_compression_);
    openvdb::GridBase::Ptr grid;
    try {
        if (isReadable(entry.type)) {
            grid = readHead(entry, state);
            content.half = grid->saveFloatAsHalf();
            content.metadata = metaBytes(*grid);
            content.transform = serialised([&](std::ostream& out, StreamState&) { grid->writeTransform(out); });
            content.storage = "instance";
            if (entry.parent.empty()) {
                grid->readTopology(stream_);
                const bool arrays = withTreeType(entry.type, [&](auto* null) {
                    auto typed = openvdb::gridPtrCast<std::remove_pointer_t<decltype(null)>>(grid);
                    if (!typed) throw Damaged("grid '" + entry.unique_name + "' is not of its declared type");
                    content.tree = readValues(stream_, typed->tree(), content.half);
                });
                if (!arrays) grid->readBuffers(stream_);
                content.storage = arrays ? "tree" : "serial";
            }
        }
    } catch (const openvdb::LookupError&) { // an attribute type of points, say, that this OpenVDB lacks
        grid.reset();
    }
    if (!grid) {
        if (version < kWrittenVersion) {
            throw Unsupported("grid '" + entry.unique_name + "' has type " + entry.type + ", which this OpenVDB cannot "
                "read, in file version " + std::to_string(version) + "; such grids can be carried unread from version " +
                std::to_string(kWrittenVersion) + " on, so re-save the file or leave the grid out with --grids");
        }
        return {"raw", "", "", file_.bytes(entry.grid_pos, entry.end_pos), {}, entry.half};
    }
    if (int64_t(stream_.tellg()) != entry.end_pos) {
        throw Damaged("grid '" + entry.unique_name + "' ends at byte " + std::to_string(stream_.tellg()) +
            ", not at " + std::to_string(entry.end_pos) + " as the file says");
    }
    if (content.storage == "serial") content.blob = blobBytes(*grid);
    return content;
}

Outline Reader::outline(size_t index) {
    const Entry& entry = grids.at(index);
    seek(entry);
    Outline outline;
    outline.known = openvdb::GridBase::isRegistered(entry.type);
    if (!outline.known) return outline;
    StreamState state(stream_, library, version, default_compression_);
    try {
        const auto grid = readHead(entry, state);
        outline.compression = openvdb::io::getDataCompression(stream_);
        outline.half = grid->saveFloatAsHalf();
        outline.metadata = metaBytes(*grid);
        outline.transform = serialised([&](std::ostream& out, StreamState&) { grid->writeTransform(out); });
        if (!entry.parent.empty()) return outline;
        grid->readTopology(stream_);
        const auto& tree = grid->baseTree();
        outline.leaves = tree.leafCount();
        outline.active_voxels = tree.activeVoxelCount();
        outline.active_tiles = tree.activeTileCount();
        tree.evalActiveVoxelBoundingBox(outline.active_bbox);
    } catch (const openvdb::LookupError&) {
        outline.known = false;
    }
    return outline;
}

} // namespace nvdb
