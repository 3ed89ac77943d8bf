// Reads .vdb files grid by grid through OpenVDB's own code, trusting nothing about their lengths.
#pragma once

#include "vdb_format.h"

#include <map>
#include <variant>

namespace nvdb {

using AnyTree = std::variant<std::monostate, TreeArrays<float>, TreeArrays<double>,
    TreeArrays<openvdb::Vec3s>, TreeArrays<openvdb::Vec3d>>;

// One grid as read. storage: "tree" (arrays in `tree`), "serial" (topology and buffers as OpenVDB
// writes them, uncompressed, in `blob`), "raw" (the file's own bytes in `blob`, for types this OpenVDB
// cannot read) or "instance" (shares the tree of the grid named parent). half: whether values are saved so; OpenVDB goes
// by the metadata, whatever the descriptor says.
struct GridContent {
    std::string storage, metadata, transform, blob;
    AnyTree tree;
    bool half = false;
};

// What can be said about a grid without reading its values.
struct Outline {
    bool known = false; // false: a type this OpenVDB does not know, and nothing below is set
    uint32_t compression = 0;
    bool half = false;
    std::string metadata, transform;
    uint64_t leaves = 0, active_voxels = 0, active_tiles = 0;
    openvdb::CoordBBox active_bbox;
};

class Reader {
public:
    explicit Reader(const std::string& path);
    GridContent read(size_t index);
    Outline outline(size_t index);

    uint32_t version = 0;
    openvdb::VersionId library;
    std::string uuid, metadata; // file-level metadata, serialised
    std::vector<Entry> grids;
    size_t size() const { return file_.size(); }

private:
    bool readHeader();
    Entry readDescriptor();
    void checkPositions(const Entry& entry, int64_t start) const;
    void checkParents() const;
    void measure(Entry& entry);
    void seek(const Entry& entry);
    openvdb::GridBase::Ptr readHead(const Entry& entry, StreamState& state);

    InputBuffer file_;
    InputStream stream_;
    uint32_t default_compression_ = openvdb::io::COMPRESS_NONE;
};

} // namespace nvdb
