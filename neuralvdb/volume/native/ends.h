// Twin of volume/value_ends.py: the smallest and the largest finite active value of leaves, without a share at either end.
#pragma once

#include "voxels.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace nvdb {

// `count` finite numbers and their ends.
struct Ends {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    int64_t count = 0;
};

template<typename T>
NVDB_LANES void addEnds(const Leaves<T>& leaves, Ends& ends) {
    const T infinite = std::numeric_limits<T>::infinity();
    Line<T> low = Line<T>{} + infinite, high = -low;
    for (size_t leaf = 0; leaf < leaves.count; ++leaf) {
        Lanes<T> count{};
        for (int at = 0; at < kLines; ++at) {
            const Line<T> line = leaves.line(leaf, at);
            const Lanes<T> counts = leaves.active(leaf, at) & finite<T>(line);
            low = (counts & (line < low)) ? line : low;
            high = (counts & (line > high)) ? line : high;
            count += counts;
        }
        for (int i = 0; i < kEdge; ++i) ends.count -= count[i];
    }
    for (int i = 0; i < kEdge; ++i) {
        ends.low = std::min(ends.low, double(low[i]));
        ends.high = std::max(ends.high, double(high[i]));
    }
}

// A number's bits as a whole number, in the order of numbers.
template<typename T>
inline uint64_t ordered(T number) {
    using Bits = std::make_unsigned_t<typename SameSize<T>::Type>;
    constexpr Bits sign = Bits(1) << (8 * sizeof(T) - 1);
    Bits bits;
    std::memcpy(&bits, &number, sizeof(bits));
    return bits & sign ? Bits(~bits) : Bits(bits | sign);
}

template<typename T>
inline T numberOf(uint64_t in_order) {
    using Bits = std::make_unsigned_t<typename SameSize<T>::Type>;
    constexpr Bits sign = Bits(1) << (8 * sizeof(T) - 1);
    const Bits bits = in_order & sign ? Bits(in_order & ~sign) : Bits(~in_order);
    T number;
    std::memcpy(&number, &bits, sizeof(number));
    return number;
}

// Numbers of a place in the order of all, found 16 bits at a time: the bits that are known, and the place among those that
// have them.
struct Ranked {
    uint64_t known = 0;
    int64_t place;
};

// Counts by their next 16 bits the numbers that have the known bits of one that is sought.
template<typename T>
inline void countNext(const Leaves<T>& leaves, int digit, const Ranked& sought, std::vector<int64_t>& counts) {
    for (size_t leaf = 0; leaf < leaves.count; ++leaf) {
        for (int at = 0; at < kLines; ++at) {
            const uint8_t mask = leaves.masks[leaf * kLines + size_t(at)];
            if (!mask) continue;
            const Line<T> line = leaves.line(leaf, at);
            for (int i = 0; i < kEdge; ++i) {
                if (!(mask >> i & 1) || !std::isfinite(line[i])) continue;
                const uint64_t bits = ordered(line[i]) >> 16 * digit;
                if (bits >> 16 == sought.known) ++counts[bits & 0xffff];
            }
        }
    }
}

// The finite active number at a place in the order of all components.
template<typename T>
inline double numberAt(const std::vector<Leaves<T>>& components, int64_t place) {
    Ranked sought{0, place};
    std::vector<int64_t> counts(1 << 16);
    for (int digit = int(sizeof(T)) / 2 - 1; digit >= 0; --digit) {
        std::fill(counts.begin(), counts.end(), 0);
        for (const Leaves<T>& leaves : components) countNext(leaves, digit, sought, counts);
        uint64_t next = 0;
        for (; sought.place >= counts[next]; ++next) sought.place -= counts[next];
        sought.known = sought.known << 16 | next;
    }
    return double(numberOf<T>(sought.known));
}

} // namespace nvdb
