// Twin of volume/value_ends.py: the smallest and the largest finite active value of leaves, without a share at either end.
#pragma once

#include "voxels.h"

#include <algorithm>
#include <array>
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

// A number that is sought by its place in the order of all, 16 bits at a time: the bits that are known, and the place among
// the numbers that have them.
struct Sought {
    uint64_t known = 0;
    int64_t place;
    std::vector<int64_t> counts; // of the numbers that have the known bits, by the next ones
};

// Counts numbers for all that are sought; for the first one alone where nothing is known yet.
template<typename T>
inline void countNext(const Leaves<T>& leaves, int digit, Sought* sought, size_t count) {
    for (size_t leaf = 0; leaf < leaves.count; ++leaf) {
        for (int at = 0; at < kLines; ++at) {
            const uint8_t mask = leaves.masks[leaf * kLines + size_t(at)];
            if (!mask) continue;
            const Line<T> line = leaves.line(leaf, at);
            for (int i = 0; i < kEdge; ++i) {
                const uint64_t bits = ordered(line[i]) >> 16 * digit;
                if (!(mask >> i & 1) || !std::isfinite(line[i])) continue;
                for (size_t s = 0; s < count; ++s)
                    if (bits >> 16 == sought[s].known) ++sought[s].counts[bits & 0xffff];
            }
        }
    }
}

// The finite active numbers at two places in the order of all components.
template<typename T>
inline std::array<double, 2> numbersAt(const std::vector<Leaves<T>>& components, std::array<int64_t, 2> places) {
    constexpr int first = int(sizeof(T)) / 2 - 1;
    Sought sought[2];
    for (int s = 0; s < 2; ++s) sought[s].place = places[s];
    for (int digit = first; digit >= 0; --digit) {
        for (Sought& each : sought) each.counts.assign(1 << 16, 0);
        for (const Leaves<T>& leaves : components) countNext(leaves, digit, sought, digit == first ? 1 : 2);
        if (digit == first) sought[1].counts = sought[0].counts;
        for (Sought& each : sought) {
            uint64_t next = 0;
            for (; each.place >= each.counts[next]; ++next) each.place -= each.counts[next];
            each.known = each.known << 16 | next;
        }
    }
    return {double(numberOf<T>(sought[0].known)), double(numberOf<T>(sought[1].known))};
}

} // namespace nvdb
