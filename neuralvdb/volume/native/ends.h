// Twin of volume/value_ends.py: the smallest and the largest finite active value of leaves, without a share at either end.
#pragma once

#include "../../nets/native/parallel.h"
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

// `ends` and others.
inline void join(Ends& ends, const Ends& others) {
    ends = {std::min(ends.low, others.low), std::max(ends.high, others.high), ends.count + others.count};
}

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

// The bits of numbers as whole numbers in the order of numbers, as unsigned ones.
template<typename T>
NVDB_LANES Lanes<T> ordered(Line<T> numbers) {
    using I = typename SameSize<T>::Type;
    Lanes<T> bits;
    std::memcpy(&bits, &numbers, sizeof(bits));
    return bits ^ (bits >> int(8 * sizeof(I) - 1) | std::numeric_limits<I>::min());
}

template<typename T>
NVDB_LANES bool any(Lanes<T> lanes) {
    uint64_t words[sizeof(lanes) / 8], all = 0;
    std::memcpy(words, &lanes, sizeof(lanes));
    for (const uint64_t word : words) all |= word;
    return all != 0;
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
    std::vector<int64_t> counts; // of the numbers that have the known bits, by the next ones; behind them those of others
};

// Counts numbers for all that are sought; for the first one alone where nothing is known yet.
template<typename T>
NVDB_LANES void countNext(const Leaves<T>& leaves, int digit, Sought* sought, size_t count) {
    using I = typename SameSize<T>::Type;
    constexpr int first = int(sizeof(T)) / 2 - 1;
    const int unknown = digit == first ? 0 : 16 * (digit + 1); // low bits of numbers of which some are known
    for (size_t leaf = 0; leaf < leaves.count; ++leaf) {
        for (int at = 0; at < kLines; ++at) {
            if (!leaves.masks[leaf * kLines + size_t(at)]) continue;
            const Line<T> line = leaves.line(leaf, at);
            const Lanes<T> counts = leaves.active(leaf, at) & finite<T>(line), numbers = ordered<T>(line);
            for (size_t s = 0; s < count; ++s) {
                const I same = I(sought[s].known << unknown) >> unknown; // with their sign
                const Lanes<T> counted = unknown ? counts & (numbers >> unknown == same) : counts;
                if (!any<T>(counted)) continue;
                const Lanes<T> next = (numbers >> 16 * digit & 0xffff) | (counted + 1) << 16;
                for (int i = 0; i < kEdge; ++i) ++sought[s].counts[size_t(next[i])];
            }
        }
    }
}

// The same on threads, each of which has counts of its own. `run` calls a job, compiled for this machine.
template<typename T, typename Run>
void countNextOnThreads(const Leaves<T>& leaves, int digit, Sought* sought, size_t count, size_t threads, const Run& run) {
    std::vector<std::array<Sought, 2>> others(threads - 1, {sought[0], sought[1]});
    for (auto& each : others)
        for (Sought& other : each) std::fill(other.counts.begin(), other.counts.end(), 0);
    forRanges(leaves.count, threads, threads, [&](size_t number, size_t first, size_t last) {
        run([&] { countNext(leaves.range(first, last), digit, number ? others[number - 1].data() : sought, count); });
    });
    for (const auto& each : others)
        for (size_t s = 0; s < count; ++s)
            for (size_t n = 0; n < sought[s].counts.size(); ++n) sought[s].counts[n] += each[s].counts[n];
}

// The finite active numbers at two places in the order of all components.
template<typename T, typename Run>
std::array<double, 2> numbersAt(
    const std::vector<Leaves<T>>& components, std::array<int64_t, 2> places, size_t threads, const Run& run)
{
    constexpr int first = int(sizeof(T)) / 2 - 1;
    Sought sought[2];
    for (int s = 0; s < 2; ++s) sought[s].place = places[s];
    for (int digit = first; digit >= 0; --digit) {
        for (Sought& each : sought) each.counts.assign(2 << 16, 0);
        for (const Leaves<T>& leaves : components)
            countNextOnThreads(leaves, digit, sought, digit == first ? 1 : 2, threads, run);
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
