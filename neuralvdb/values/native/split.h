// Twin of values/lattice/mean_pyramid.py (split): means of the halves of cells, four cells at a time.
#pragma once

#include "four.h"

#include <cstdint>
#include <cstring>

namespace nvdb {

// How cells are split, and what their halves keep to.
struct Splitting {
    Halves halves;
    Compand compand;
    bool nonnegative;
};

// Four cells: means, companded differences of their halves and how many voxels these have.
struct FourCells {
    FourNarrow mean, difference, first, second;
};

// Solves for the companded mean of the smaller half: the largest whole number from `low` up to but without `high` with which
// the sum of both halves is not above the total.
struct FourHalves {
    FourReals total, difference, most, least, low, high;

    NVDB_LANES FourHalves(FourReals mean, FourReals difference, FourReals most, FourReals least, const FourCompand& compand)
        : total((most + least) * mean), difference(difference), most(most), least(least)
    {
        const FourReals middle = compand.in(mean);
        low = middle - difference - 1.0;
        high = middle + 1.0;
    }

    NVDB_LANES static FourReals decoded(FourReals x) {
        return clampedTo(x, FourReals{} - double(kMaxDecoded), FourReals{} + double(kMaxDecoded));
    }

    // Where both companded means stay in a segment each, sums are linear in them: follows the line of those around `small`,
    // and again those around what that gives. False where that does not end soon.
    NVDB_LANES bool follow(const FourCompand& compand, FourReals& small) const {
        for (int round = 0; round < 6; ++round) {
            const FourReals large = small + difference;
            const FourReals small_segment = compand.segment(small), large_segment = compand.segment(large);
            const FourReals of_small = twoTo(small_segment) * least, of_large = twoTo(large_segment) * most;
            const FourReals fixed = of_large * (difference - signedAs(large, compand.knee * large_segment)) -
                of_small * signedAs(small, compand.knee * small_segment);
            const FourReals at = clampedTo(roundedDown((total - fixed) / (of_large + of_small)), low, high - 1.0);
            const FourWhole linear = compand.isBeside(at, small, small_segment) &
                compand.isBeside(at + difference, large, large_segment);
            const FourWhole within = (at > -double(kMaxDecoded)) & (at + difference < double(kMaxDecoded)) &
                (sizeOf(at + difference) * twoTo(large_segment) < double(kMaxDecoded));
            small = at;
            if (allSet(linear & within)) return true;
        }
        return false;
    }

    // Halves the range until one number is left.
    NVDB_LANES FourReals search(const FourCompand& compand) const {
        FourReals first = low, end = high;
        for (FourWhole open = end - first > 1.0; anySet(open); open = end - first > 1.0) {
            const FourReals small = roundedDown((first + end) * 0.5);
            const FourReals sum = most * decoded(compand.out(small + difference)) + least * decoded(compand.out(small));
            first = pick(open & (sum <= total), small, first);
            end = pick(open & (sum > total), small, end);
        }
        return first;
    }

    // Mean of the larger half.
    NVDB_LANES FourReals largerHalf(const FourCompand& compand, bool nonnegative) const {
        FourReals small = clampedTo(roundedDown(high - 1.0 - difference * (most / (most + least))), low, high - 1.0);
        if (!follow(compand, small)) small = search(compand);
        const FourReals large = decoded(compand.out(small + difference));
        const FourReals rest = total - most * large - least * decoded(compand.out(small));
        const FourReals mean = decoded(large + roundedDown(rest / most));
        return nonnegative ? pick(small < 0.0, roundedDown(total / most), mean) : mean;
    }
};

// Means of the first and the second halves of cells, of which those that are not `both` have nothing to solve.
NVDB_LANES void solve(const FourCells& cells, FourNarrow both, const FourCompand& compand, bool nonnegative, FourNarrow* means)
{
    const FourNarrow one = FourNarrow{} - both - 1; // voxels of halves that have none: 0 or -1 is taken from them
    const FourReals difference = NVDB_CONVERT(cells.difference & both, FourReals);
    const FourReals first = NVDB_CONVERT((cells.first & both) - one, FourReals);
    const FourReals second = NVDB_CONVERT((cells.second & both) - one, FourReals);
    const FourWhole swapped = difference < 0.0;
    const FourReals most = pick(swapped, second, first), least = pick(swapped, first, second);
    FourHalves halves(NVDB_CONVERT(cells.mean, FourReals), sizeOf(difference), most, least, compand);
    const FourReals large = halves.largerHalf(compand, nonnegative);
    const FourReals small = roundedDown((halves.total - most * large) / least);
    means[0] = NVDB_CONVERT(FourHalves::decoded(pick(swapped, small, large)), FourNarrow);
    means[1] = NVDB_CONVERT(FourHalves::decoded(pick(swapped, large, small)), FourNarrow);
}

// Numbers that stand in a row, as 32 bits.
template<typename T>
NVDB_LANES FourNarrow rowOf(const T* from) {
    Vector<T, kCells> row;
    std::memcpy(&row, from, sizeof(row));
    return NVDB_CONVERT(row, FourNarrow);
}

// Every second of eight, from the first on and from the second on.
NVDB_LANES void apart(const uint8_t* from, FourNarrow* to) {
    uint16_t pairs[kCells];
    std::memcpy(pairs, from, sizeof(pairs));
    to[0] = rowOf(pairs) & 0xff;
    to[1] = rowOf(pairs) >> 8;
}
NVDB_LANES void apart(const uint16_t* from, FourNarrow* to) {
    uint32_t pairs[kCells];
    std::memcpy(pairs, from, sizeof(pairs));
    to[0] = rowOf(pairs) & 0xffff;
    to[1] = rowOf(pairs) >> 16 & 0xffff;
}

// Those of two rows in turn.
NVDB_LANES FourNarrow lowPairs(FourNarrow a, FourNarrow b) { return NVDB_SHUFFLE(FourNarrow, a, b, 0, 4, 1, 5); }
NVDB_LANES FourNarrow highPairs(FourNarrow a, FourNarrow b) { return NVDB_SHUFFLE(FourNarrow, a, b, 2, 6, 3, 7); }

// Puts numbers in a row where `on`, with all bits set or none.
NVDB_LANES void putRow(FourNarrow x, FourNarrow on, int32_t* to) {
    x = (x & on) | (rowOf(to) & ~on);
    std::memcpy(to, &x, sizeof(x));
}

// `rows` bricks of cells: the bricks below that each joins, means, and differences of the halves.
struct CoarseCells {
    const int32_t *pairs, *means, *differences;
    int64_t rows;
};

template<typename BelowT>
NVDB_LANES void splitCells(const CoarseCells& cells, const Splitting& splitting, const BelowT* counts, int32_t* below) {
    const Halves halves = splitting.halves;
    const FourCompand compand(splitting.compand);
    const bool joined = halves.stride == 1; // halves stand side by side
    for (int64_t from = 0; from < cells.rows * kSlots; from += kCells) {
        const int cell = int(from % kSlots);
        const int64_t at = kSlots * int64_t(cells.pairs[from / kSlots * 2 + halves.side(cell)]) + halves.first(cell);
        FourNarrow of_half[2];
        if (joined) apart(counts + at, of_half);
        else of_half[0] = rowOf(counts + at), of_half[1] = rowOf(counts + at + halves.stride);
        const FourNarrow on[2] = {of_half[0] > 0, of_half[1] > 0}, both = on[0] & on[1];
        if (!anySet(on[0] | on[1])) continue; // the brick may be another one's too
        const FourNarrow mean = rowOf(cells.means + from), least = FourNarrow{} - int32_t(kMaxDecoded);
        FourNarrow means[2] = {mean, mean};
        if (anySet(both)) {
            solve({mean, rowOf(cells.differences + from), of_half[0], of_half[1]}, both, compand, splitting.nonnegative, means);
            for (FourNarrow& half : means) half = (half & both) | (mean & ~both);
        }
        for (FourNarrow& half : means) {
            half = half < least ? least : half;
            half = half > -least ? -least : half;
        }
        if (joined) {
            putRow(lowPairs(means[0], means[1]), lowPairs(on[0], on[1]), below + at);
            putRow(highPairs(means[0], means[1]), highPairs(on[0], on[1]), below + at + kCells);
        }
        else {
            putRow(means[0], on[0], below + at);
            putRow(means[1], on[1], below + at + halves.stride);
        }
    }
}

#ifdef NVDB_AVX2
template<typename BelowT>
NVDB_AVX2 inline void splitFast(const CoarseCells& cells, const Splitting& splitting, const BelowT* counts, int32_t* below) {
    splitCells(cells, splitting, counts, below);
}
#endif

// Means of the level below, where `counts` has coded voxels.
template<typename BelowT>
inline void split(const CoarseCells& cells, const Splitting& splitting, const BelowT* counts, int32_t* below) {
#ifdef NVDB_AVX2
    if (hasAvx2()) return splitFast(cells, splitting, counts, below);
#endif
    splitCells(cells, splitting, counts, below);
}

} // namespace nvdb
