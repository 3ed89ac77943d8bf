// Writes .vdb files grid by grid, each grid dropped from memory before the next is built.
#pragma once

#include "vdb_format.h"

#include <functional>
#include <ostream>

namespace nvdb {

// An empty grid of a type, with serialised metadata and transform.
openvdb::GridBase::Ptr makeGrid(const std::string& type, const std::string& metadata, const std::string& transform);

// Reads the topology and buffers of serialised() bytes into a grid.
void readBlob(openvdb::GridBase& grid, const std::string& blob);

class Writer {
public:
    // `file` is the descriptor of an empty file, open for writing for as long as this writes; `compression` is a set of
    // OpenVDB's flags; `uuid` 36 characters; `metadata` serialised; `version` the file version to declare: this
    // library's own, or a newer one whose raw grids are written. `grids` are written, no more and no fewer.
    Writer(int file, const std::string& metadata, int32_t grids,
        const std::string& uuid, uint32_t compression, uint32_t version);

    template<typename GridT>
    void writeTree(const Entry& entry, const std::string& metadata, const std::string& transform,
        const TreeView<typename GridT::ValueType>& view);
    // The masks of a tree as a grid of type mask: what is active in it. One with a parent shares the parent's tree.
    void writeMask(const Entry& entry, const std::string& metadata, const std::string& transform, const MaskView& view);
    void writeSerial(const Entry& entry, const std::string& metadata, const std::string& transform,
        const std::string& blob);
    void writeInstance(const Entry& entry, const std::string& metadata, const std::string& transform);
    void writeRaw(const Entry& entry, const std::string& bytes, int64_t block_offset);
    void close(); // throws SystemFailure where not all bytes reached the file

private:
    using WriteValues = std::function<void()>;

    // write_values: writes what stands behind the topology; none for a grid without a tree of its own.
    void writeGrid(Entry entry, const openvdb::GridBase& grid, const WriteValues& write_values, uint32_t drop_flags = 0);
    void restoreBackground(const openvdb::GridBase& grid, std::streamoff topology);
    int64_t writeDescriptor(const Entry& entry);
    void writePositions(const Entry& entry, int64_t at);
    void put(const void* data, size_t size);
    void check();

    FileBuffer buffer_;
    std::ostream file_;
    uint32_t compression_;
    int32_t left_; // grids that are missing
    bool closed_ = false;
};

} // namespace nvdb
