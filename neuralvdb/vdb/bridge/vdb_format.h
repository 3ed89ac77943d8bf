// What the reader and the writer of .vdb files share: descriptors, grid types, serialised parts.
#pragma once

#include "tree_arrays.h"

#include <openvdb/io/GridDescriptor.h>
#include <openvdb/io/io.h>

#include <sstream>
#include <string>

namespace nvdb {

constexpr uint32_t kOldestVersion = openvdb::OPENVDB_FILE_VERSION_NODE_MASK_COMPRESSION; // 222
constexpr uint32_t kNewestVersion = 225;
constexpr uint32_t kWrittenVersion = openvdb::OPENVDB_FILE_VERSION;
inline const std::string kHalfSuffix = "_HalfFloat";

// One grid's entry in the file: names, type and the byte positions of its parts.
struct Entry {
    std::string unique_name, type, parent;
    bool half = false;
    int64_t grid_pos = 0, block_pos = 0, end_pos = 0;
};

// Calls `f` with a null pointer to the grid type of that name and gives true, or false if the name is
// none of the tree types that travel as arrays.
template<typename F>
bool withTreeType(const std::string& type, F&& f) {
    if (type == openvdb::FloatGrid::gridType()) return f((openvdb::FloatGrid*)nullptr), true;
    if (type == openvdb::DoubleGrid::gridType()) return f((openvdb::DoubleGrid*)nullptr), true;
    if (type == openvdb::Vec3SGrid::gridType()) return f((openvdb::Vec3SGrid*)nullptr), true;
    if (type == openvdb::Vec3DGrid::gridType()) return f((openvdb::Vec3DGrid*)nullptr), true;
    return false;
}

// Leaves `in` behind the length-prefixed string where it stands; throws EndsEarly where that runs past the end.
inline void skipString(std::istream& in) {
    uint32_t length;
    in.read(reinterpret_cast<char*>(&length), sizeof(length));
    in.seekg(length, std::ios_base::cur);
}

// MetaMap::readMeta() for streams that may lie: OpenVDB takes memory for each length before it reads on.
inline void readMeta(std::istream& in, openvdb::MetaMap& map) {
    const auto begin = in.tellg();
    uint32_t count;
    in.read(reinterpret_cast<char*>(&count), sizeof(count));
    for (uint32_t i = 0; i < count; ++i) {
        for (int part = 0; part < 3; ++part) skipString(in); // name, type, value
    }
    in.seekg(begin);
    map.readMeta(in);
}

// Transform::read(), likewise.
inline void readTransform(std::istream& in, openvdb::math::Transform& transform) {
    const auto begin = in.tellg();
    skipString(in); // the map's type
    in.seekg(begin);
    transform.read(in);
}

// Per-stream state that OpenVDB's readers and writers look up; lives as long as the stream is used.
class StreamState {
public:
    StreamState(std::ios_base& stream, openvdb::VersionId library, uint32_t version, uint32_t compression)
        : stream_(stream), meta_(new openvdb::io::StreamMetadata)
    {
        openvdb::io::setStreamMetadataPtr(stream_, meta_, /*transfer=*/false);
        openvdb::io::setVersion(stream_, library, version);
        openvdb::io::setDataCompression(stream_, compression);
    }
    ~StreamState() { openvdb::io::clearStreamMetadataPtr(stream_); }
    StreamState(const StreamState&) = delete;
    void useGrid(const openvdb::GridBase& grid) {
        meta_->setHalfFloat(grid.saveFloatAsHalf());
        meta_->gridMetadata() = static_cast<const openvdb::MetaMap&>(grid);
        openvdb::io::setGridClass(stream_, grid.getGridClass());
        openvdb::io::setGridBackgroundValuePtr(stream_, nullptr);
    }

private:
    std::ios_base& stream_;
    openvdb::io::StreamMetadata::Ptr meta_;
};

inline openvdb::VersionId thisLibrary() {
    return {openvdb::OPENVDB_LIBRARY_MAJOR_VERSION, openvdb::OPENVDB_LIBRARY_MINOR_VERSION};
}

// The bytes that `write(stream)` makes, in the current file version, uncompressed.
template<typename F>
std::string serialised(F&& write) {
    std::ostringstream out(std::ios_base::binary);
    StreamState state(out, thisLibrary(), kWrittenVersion, openvdb::io::COMPRESS_NONE);
    write(out, state);
    return out.str();
}

// Runs `read(stream)` over bytes that serialised() made; all of them must be used.
template<typename F>
void deserialise(const std::string& bytes, F&& read) {
    MemoryStream in(bytes.data(), bytes.size());
    StreamState state(in, thisLibrary(), kWrittenVersion, openvdb::io::COMPRESS_NONE);
    read(in, state);
    if (size_t(in.tellg()) != bytes.size()) throw Damaged("serialised data is longer than its content");
}

inline std::string metaBytes(const openvdb::MetaMap& map) {
    return serialised([&](std::ostream& out, StreamState&) { map.writeMeta(out); });
}

// Topology and buffers of a grid.
inline std::string blobBytes(const openvdb::GridBase& grid) {
    return serialised([&](std::ostream& out, StreamState& state) {
        state.useGrid(grid);
        grid.writeTopology(out);
        grid.writeBuffers(out);
    });
}

} // namespace nvdb
