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

// A tree in a file: what its bytes depend on beside its arrays, and where they are.
struct StoredTree {
    std::string type;
    bool half;
    uint32_t drop_flags, flags;
    std::streamoff topology, buffers, end;
};

class Writer {
public:
    // `file` is the descriptor of an empty file, open for reading and writing for as long as this writes; `compression` is a set of
    // OpenVDB's flags; `uuid` 36 characters; `metadata` serialised; `version` the file version to declare: this
    // library's own, or a newer one whose raw grids are written. `grids` are written, no more and no fewer.
    Writer(int file, const std::string& metadata, int32_t grids,
        const std::string& uuid, uint32_t compression, uint32_t version);

    // Gives the number of the tree for writeAgain().
    template<typename GridT>
    size_t writeTree(const Entry& entry, const std::string& metadata, const std::string& transform,
        const TreeView<typename GridT::ValueType>& view);
    // Writes a grid of a tree that is in the file already. False, and nothing is written, where its bytes are not the same.
    bool writeAgain(const Entry& entry, const std::string& metadata, const std::string& transform, size_t number);
    // The masks of a tree as a grid of type mask: what is active in it. One with a parent shares the parent's tree.
    void writeMask(const Entry& entry, const std::string& metadata, const std::string& transform, const MaskView& view);
    void writeSerial(const Entry& entry, const std::string& metadata, const std::string& transform,
        const std::string& blob);
    void writeInstance(const Entry& entry, const std::string& metadata, const std::string& transform);
    void writeRaw(const Entry& entry, const std::string& bytes, int64_t block_offset);
    void close(); // throws SystemFailure where not all bytes reached the file

private:
    using WriteValues = std::function<void()>;

    uint32_t flagsOf(const openvdb::GridBase& grid, uint32_t drop_flags) const;
    // write() writes the tree, if any, and gives where its buffers begin.
    template<typename WriteT>
    void writeGrid(Entry entry, const openvdb::GridBase& grid, uint32_t flags, const WriteT& write);
    // write_values: writes what stands behind the topology.
    void writeWhole(const Entry& entry, const openvdb::GridBase& grid, const WriteValues& write_values, uint32_t drop_flags = 0);
    void writeWithoutTree(const Entry& entry, const openvdb::GridBase& grid);
    void copy(std::streamoff begin, std::streamoff end); // from earlier in the file
    void restoreBackground(const openvdb::GridBase& grid, std::streamoff topology);
    int64_t writeDescriptor(const Entry& entry);
    void writePositions(const Entry& entry, int64_t at);
    void put(const void* data, size_t size);
    void check();

    FileBuffer buffer_;
    std::ostream file_;
    uint32_t compression_;
    int32_t left_; // grids that are missing
    std::vector<StoredTree> trees_;
    bool closed_ = false;
};

} // namespace nvdb
