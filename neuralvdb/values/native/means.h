// Twin of values/lattice/mean_pyramid.py and values/lattice/compand.py: what a level's cells are made of, and their halves.
#pragma once

#include "constants.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace nvdb {

// Where the halves of the cells of a brick lie in the two bricks below: cell n's first half is in brick side(n) at
// first(n), its second half `stride` further.
struct Halves {
    int shift, stride;

    explicit Halves(int axis): shift(6 - 3 * axis), stride(1 << shift) {}
    int side(int cell) const { return (cell >> shift & 7) >> 2; }
    int first(int cell) const {
        const int along = cell >> shift & 7;
        return (cell & ~(7 << shift)) | ((2 * along & 7) << shift);
    }
};

// Share of each cell's coded voxels that its first half has, in 1/32, and whether both halves have some.
template<typename BelowT>
inline void shares(const int32_t* pairs, const BelowT* counts, int64_t rows, int axis, uint8_t* share, uint8_t* both) {
    const Halves halves(axis);
    for (int64_t row = 0; row < rows; ++row) {
        for (int cell = 0; cell < kSlots; ++cell) {
            const BelowT* below = counts + kSlots * int64_t(pairs[2 * row + halves.side(cell)]) + halves.first(cell);
            const int32_t first = below[0], second = below[halves.stride];
            share[kSlots * row + cell] = uint8_t(first + second ? kShares * first / (first + second) : 0);
            both[kSlots * row + cell] = first && second;
        }
    }
}

// Rounded down, for |a| < 2^52 and b > 0: doubles divide sooner than integers, and are one off at most.
inline int64_t floorDiv(int64_t a, int64_t b) {
    const auto whole = int64_t(double(a) / double(b));
    const int64_t rest = a - whole * b;
    return whole - (rest < 0) + (rest >= b);
}

// The companding of values/lattice/compand.py, in integers.
struct Compand {
    int64_t knee;
    double inverse; // of the knee

    explicit Compand(int64_t knee): knee(knee), inverse(knee ? 1 / double(knee) : 0) {}

    int64_t in(int64_t x) const {
        const int64_t size = x < 0 ? -x : x;
        if (size < 2 * knee || !knee) return x;
        const auto knees = uint64_t(double(size) * inverse + 0.5); // so that its highest bit is one off at most
        int segment = 63 - __builtin_clzll(knees);
        segment += size >= knee << (segment + 1);
        segment -= size < knee << segment;
        const int64_t c = knee * segment + (size >> segment);
        return x < 0 ? -c : c;
    }
    int64_t segment(int64_t c) const {
        const int64_t size = c < 0 ? -c : c;
        if (size < 2 * knee || !knee) return 0;
        const auto knees = int64_t(double(size) * inverse); // one off at most
        const int64_t rest = size - knees * knee;
        return std::min<int64_t>(knees - (rest < 0) + (rest >= knee) - 1, 31);
    }
    int64_t out(int64_t c) const { return out(c, segment(c)); }
    // Of a value that is in that segment.
    int64_t out(int64_t c, int64_t segment) const {
        const int64_t x = ((c < 0 ? -c : c) - knee * segment) << segment;
        return c < 0 ? -x : x;
    }
};

// How cells are split, and what their halves keep to.
struct Splitting {
    Halves halves;
    Compand compand;
    bool nonnegative;
};

// A cell whose halves, of `most` and `least` voxels, have companded means that differ by `difference`, the larger one's
// first, and the sum `total`; `middle`: its own companded mean.
struct Cell {
    int64_t total, middle, difference, most, least;
};

// Companded means of both halves of a cell, and the segments that they are in.
struct HalfMeans {
    int64_t small, large, small_segment, large_segment;

    HalfMeans(int64_t small, int64_t difference, const Compand& compand)
        : small(small), large(small + difference), small_segment(compand.segment(small)), large_segment(compand.segment(large)) {}
};

// Mean of the larger half. Where both companded means stay in one segment each, sums are linear in them; as a rule this is
// the first one of both.
inline int64_t largerHalf(const Cell& cell, const Splitting& splitting) {
    const auto [total, middle, difference, most, least] = cell;
    const Compand& compand = splitting.compand;
    const auto out = [&](int64_t c, int64_t segment) { return std::clamp(compand.out(c, segment), -kMaxDecoded, kMaxDecoded); };
    const int64_t lowest = middle - difference - 1, highest = middle + difference + 1;
    if (std::max(-lowest, highest) < (compand.knee ? std::min(2 * compand.knee, kMaxDecoded) : kMaxDecoded)) {
        const int64_t at = std::clamp(floorDiv(total - most * difference, most + least), lowest, middle);
        if (splitting.nonnegative && at < 0) return floorDiv(total, most);
        const int64_t large = at + difference;
        return std::clamp(large + floorDiv(total - most * large - least * at, most), -kMaxDecoded, kMaxDecoded);
    }
    HalfMeans low(lowest, difference, compand), high(middle + 1, difference, compand);
    while (high.small - low.small > 1) {
        const int64_t small = low.small_segment, large = low.large_segment;
        const bool linear = small == high.small_segment && large == high.large_segment;
        const bool mirrored = low.small < 0 && small + large > 0;
        if (linear && !mirrored && low.small > -kMaxDecoded && compand.out(high.large, large) < kMaxDecoded) {
            const int64_t of_large = most << large, of_small = least << small;
            const int64_t fixed = of_large * (difference - compand.knee * large) - of_small * compand.knee * small;
            const int64_t at = std::clamp(floorDiv(total - fixed, of_large + of_small), low.small, high.small - 1);
            if (splitting.nonnegative && at < 0) return floorDiv(total, most);
            const int64_t x = (at + difference - compand.knee * large) * (int64_t(1) << large);
            const int64_t rest = total - most * x - least * ((at - compand.knee * small) * (int64_t(1) << small));
            return std::clamp(x + floorDiv(rest, most), -kMaxDecoded, kMaxDecoded);
        }
        const HalfMeans at((low.small + high.small) >> 1, difference, compand);
        const int64_t sum = most * out(at.large, at.large_segment) + least * out(at.small, at.small_segment);
        (sum <= total ? low : high) = at;
    }
    if (splitting.nonnegative && low.small < 0) return floorDiv(total, most);
    const int64_t large = out(low.large, low.large_segment);
    const int64_t rest = total - most * large - least * out(low.small, low.small_segment);
    return std::clamp(large + floorDiv(rest, most), -kMaxDecoded, kMaxDecoded);
}

// `rows` bricks of cells: the bricks below that each joins, means, and differences of the halves.
struct CoarseCells {
    const int32_t *pairs, *means, *differences;
    int64_t rows;
};

// Means of the level below, where `counts` has coded voxels.
template<typename BelowT>
inline void split(const CoarseCells& cells, const Splitting& splitting, const BelowT* counts, int32_t* below) {
    const Halves& halves = splitting.halves;
    auto put = [&](int64_t at, int64_t value) {
        if (counts[at]) below[at] = int32_t(std::clamp(value, -kMaxDecoded, kMaxDecoded));
    };
    for (int64_t row = 0; row < cells.rows; ++row) {
        for (int cell = 0; cell < kSlots; ++cell) {
            const int64_t brick = cells.pairs[2 * row + halves.side(cell)], from = kSlots * row + cell;
            const int64_t at = kSlots * brick + halves.first(cell), mean = cells.means[from];
            const int64_t first = counts[at], second = counts[at + halves.stride];
            int64_t a = mean, b = mean;
            if (first && second) {
                const int64_t total = (first + second) * mean, difference = cells.differences[from];
                const bool swapped = difference < 0;
                const int64_t most = swapped ? second : first, least = swapped ? first : second;
                const int64_t size = swapped ? -difference : difference;
                a = largerHalf({total, splitting.compand.in(mean), size, most, least}, splitting);
                b = floorDiv(total - most * a, least);
                if (swapped) std::swap(a, b);
            }
            put(at, a);
            put(at + halves.stride, b);
        }
    }
}

} // namespace nvdb
