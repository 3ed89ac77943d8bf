// The fast twin of volume/lookup.py: find(): a hash table of coordinates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nvdb {

class CoordTable {
public:
    // `coords` has `count` triples without repeats and must outlive the table.
    CoordTable(const int32_t* coords, size_t count) : coords_(coords) {
        size_t size = 16;
        while (size < 2 * count) size *= 2;
        slots_.assign(size, -1);
        for (size_t i = 0; i < count; ++i) slots_[slotOf(coords + 3 * i)] = int64_t(i);
    }

    // The number of the triple at `wanted`, -1 where it is not there.
    int64_t find(const int32_t* wanted) const { return slots_[slotOf(wanted)]; }

private:
    // Where `coord` is or would be.
    size_t slotOf(const int32_t* coord) const {
        uint32_t at_axis[3]; // arrays may begin at any byte
        std::memcpy(at_axis, coord, sizeof(at_axis));
        uint64_t hash = at_axis[0] * 0x9E3779B97F4A7C15u;
        hash = (hash ^ hash >> 29 ^ at_axis[1]) * 0xBF58476D1CE4E5B9u;
        hash = (hash ^ hash >> 32 ^ at_axis[2]) * 0x94D049BB133111EBu;
        const size_t mask = slots_.size() - 1;
        size_t at = size_t(hash ^ hash >> 31) & mask;
        while (slots_[at] >= 0 && std::memcmp(coords_ + 3 * slots_[at], coord, 12) != 0) at = (at + 1) & mask;
        return at;
    }

    const int32_t* coords_;
    std::vector<int64_t> slots_;
};

} // namespace nvdb
