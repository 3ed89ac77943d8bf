// The fast twin of volume/lookup.py: find(), and of topology/bricks.py: SlowIndex: a hash table of coordinates.
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

    // Fills near (27) with `rows` of the triples around triple number `number`, x first, -1 where there are none.
    void neighbours(int64_t number, const int32_t* rows, int32_t* near) const {
        int32_t centre[3];
        std::memcpy(centre, coords_ + 3 * number, sizeof(centre));
        for (int i = 0; i < 27; ++i) {
            const int32_t steps[3] = {i / 9 - 1, i / 3 % 3 - 1, i % 3 - 1};
            int32_t wanted[3];
            for (int axis = 0; axis < 3; ++axis) wanted[axis] = int32_t(uint32_t(centre[axis]) + uint32_t(steps[axis]));
            const int64_t at = find(wanted);
            near[i] = at < 0 ? -1 : rows[at];
        }
    }

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
