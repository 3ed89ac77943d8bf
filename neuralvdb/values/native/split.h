// Twin of values/lattice/mean_pyramid.py (split): means of the halves of cells, several cells at a time.
#pragma once

#include "compand.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace nvdb {

// How cells are split, and what their halves keep to.
struct Splitting {
    Halves halves;
    Compand compand;
    bool nonnegative;
};

// Several cells: means, the same companded, companded differences of their halves and how many voxels these have.
template<typename Narrow>
struct ManyCells {
    Narrow mean, companded, difference, first, second;
};

// Solves for the companded mean of the smaller half: the largest whole number from `low` up to but without `high` with which
// the sum of both halves is not above the total.
template<typename Reals>
struct ManyHalves {
    using Whole = WholeOf<Reals>;
    using Companding = CompandMany<Reals>;
    Reals total, difference, most, least, low, high;

    // middle: the mean of both, companded.
    NVDB_LANES ManyHalves(Reals mean, Reals middle, Reals difference, Reals most, Reals least)
        : total((most + least) * mean), difference(difference), most(most), least(least), low(middle - difference - 1.0),
          high(middle + 1.0) {}

    NVDB_LANES static Reals decoded(Reals x) {
        return clampedTo(x, Reals{} - double(kMaxDecoded), Reals{} + double(kMaxDecoded));
    }

    // Where both companded means stay in a segment each, sums are linear in them: follows the line of those around `small`,
    // and again those around what that gives. False where that does not end soon.
    NVDB_LANES bool follow(const Companding& compand, Reals& small) const {
        for (int round = 0; round < 6; ++round) {
            const Reals large = small + difference;
            const Reals small_segment = compand.segment(small), large_segment = compand.segment(large);
            const Reals of_small = twoTo(small_segment) * least, of_large = twoTo(large_segment) * most;
            const Reals fixed = of_large * (difference - signedAs(large, compand.knee * large_segment)) -
                of_small * signedAs(small, compand.knee * small_segment);
            const Reals at = onLine(fixed, of_large + of_small);
            const Reals none{}, one = none + 1.0, sum = at + difference;
            const Reals apart = compand.apart(at, small, small_segment) + compand.apart(sum, large, large_segment);
            const Reals beyond = pick(at > -double(kMaxDecoded), none, one) + pick(sum < double(kMaxDecoded), none, one) +
                pick(sizeOf(sum) * twoTo(large_segment) < double(kMaxDecoded), none, one);
            small = at;
            if (allZero(apart + beyond)) return true;
        }
        return false;
    }

    // Halves the range until one number is left.
    NVDB_LANES Reals search(const Companding& compand) const {
        Reals first = low, end = high;
        while (!allZero(pick(end - first > 1.0, Reals{} + 1.0, Reals{}))) {
            const Reals small = roundedDown((first + end) * 0.5); // `first`, where one is left
            const Reals sum = most * decoded(compand.out(small + difference)) + least * decoded(compand.out(small));
            first = pick(sum <= total, small, first);
            end = pick(sum > total, small, end);
        }
        return first;
    }

    // Mean of the larger half.
    NVDB_LANES Reals largerHalf(const Companding& compand, bool nonnegative) const {
        if (isLinear(compand)) {
            const Reals small = onLine(most * difference, most + least), large = small + difference;
            return largerMean(large, total - most * large - least * small, small, nonnegative);
        }
        Reals small = clampedTo(roundedDown(high - 1.0 - difference * (most / (most + least))), low, high - 1.0);
        if (!follow(compand, small)) small = search(compand);
        const Reals large = decoded(compand.out(small + difference));
        return largerMean(large, total - most * large - least * decoded(compand.out(small)), small, nonnegative);
    }

private:
    // Whether all numbers that might be the answer are below twice the knee, where companding changes nothing.
    NVDB_LANES bool isLinear(const Companding& compand) const {
        const double most_linear = std::min(2 * compand.knee, double(kMaxDecoded));
        const Reals farthest = pick(-low > high, -low, high) + difference;
        return allZero(pick(farthest < most_linear, Reals{}, Reals{} + 1.0));
    }

    // Where a sum of both halves is `fixed` + `slope` * small.
    NVDB_LANES Reals onLine(Reals fixed, Reals slope) const {
        return clampedTo(roundedDown((total - fixed) / slope), low, high - 1.0);
    }

    // Its mean from the companded one, as it decodes, and what the sum lacks.
    NVDB_LANES Reals largerMean(Reals large, Reals rest, Reals small, bool nonnegative) const {
        const Reals mean = decoded(large + roundedDown(rest / most));
        return nonnegative ? pick(small < 0.0, roundedDown(total / most), mean) : mean;
    }
};

// Means of the first and the second halves of cells, of which those that are not `both` have nothing to solve.
template<typename Reals, typename Narrow>
NVDB_LANES void solve(const ManyCells<Narrow>& cells, Narrow both, const CompandMany<Reals>& compand, bool nonnegative,
    Narrow* means)
{
    const Narrow one = Narrow{} - both - 1; // voxels of halves that have none: 0 or -1 is taken from them
    const Reals difference = NVDB_CONVERT(cells.difference & both, Reals);
    const Reals first = NVDB_CONVERT((cells.first & both) - one, Reals);
    const Reals second = NVDB_CONVERT((cells.second & both) - one, Reals);
    const WholeOf<Reals> swapped = difference < 0.0;
    const Reals most = pick(swapped, second, first), least = pick(swapped, first, second);
    const Reals mean = NVDB_CONVERT(cells.mean, Reals), middle = NVDB_CONVERT(cells.companded, Reals);
    ManyHalves<Reals> halves(mean, middle, sizeOf(difference), most, least);
    const Reals large = halves.largerHalf(compand, nonnegative);
    const Reals small = roundedDown((halves.total - most * large) / least);
    means[0] = NVDB_CONVERT(halves.decoded(pick(swapped, small, large)), Narrow);
    means[1] = NVDB_CONVERT(halves.decoded(pick(swapped, large, small)), Narrow);
}

// Numbers that stand in a row, as 32 bits.
template<typename Narrow, typename T>
NVDB_LANES Narrow rowOf(const T* from) {
    Vector<T, sizeof(Narrow) / sizeof(int32_t)> row;
    std::memcpy(&row, from, sizeof(row));
    return NVDB_CONVERT(row, Narrow);
}

// Every second of those in two rows, from the first on and from the second on.
template<typename Narrow, typename T>
NVDB_LANES void apart(const T* low, const T* high, Narrow* to) {
    using Pair = std::conditional_t<sizeof(T) == 1, uint16_t, uint32_t>;
    constexpr int lanes = sizeof(Narrow) / sizeof(int32_t), bits = 8 * sizeof(T);
    Pair pairs[lanes];
    std::memcpy(pairs, low, sizeof(pairs) / 2);
    std::memcpy(pairs + lanes / 2, high, sizeof(pairs) / 2);
    to[0] = rowOf<Narrow>(pairs) & ((1 << bits) - 1);
    to[1] = rowOf<Narrow>(pairs) >> bits & ((1 << bits) - 1);
}

// Those of two rows in turn.
NVDB_LANES FourNarrow lowPairs(FourNarrow a, FourNarrow b) { return NVDB_SHUFFLE(FourNarrow, a, b, 0, 4, 1, 5); }
NVDB_LANES FourNarrow highPairs(FourNarrow a, FourNarrow b) { return NVDB_SHUFFLE(FourNarrow, a, b, 2, 6, 3, 7); }
NVDB_LANES EightNarrow lowPairs(EightNarrow a, EightNarrow b) {
    return NVDB_SHUFFLE(EightNarrow, a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
NVDB_LANES EightNarrow highPairs(EightNarrow a, EightNarrow b) {
    return NVDB_SHUFFLE(EightNarrow, a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

// Puts numbers in a row where `on`, with all bits set or none; a row that gets none may be another thread's, too.
template<typename Narrow>
NVDB_LANES void putRow(Narrow x, Narrow on, int32_t* to) {
    if (!anySet(on)) return;
    x = (x & on) | (rowOf<Narrow>(to) & ~on);
    std::memcpy(to, &x, sizeof(x));
}

// Where the halves of cells lie that stand in a row: a row of first ones and one of second ones, or two of both in turn.
struct HalfRows {
    bool in_turn;
    int64_t first, second;

    // number: of the first cell, counted through all bricks.
    NVDB_LANES HalfRows(const Halves& halves, const int32_t* pairs, int64_t number, int count): in_turn(halves.stride == 1) {
        const auto place = [&](int64_t of) {
            const int cell = int(of % kSlots);
            return kSlots * int64_t(pairs[of / kSlots * 2 + halves.side(cell)]) + halves.first(cell);
        };
        first = place(number);
        second = in_turn ? place(number + count / 2) : first + halves.stride;
    }

    template<typename Narrow, typename T>
    NVDB_LANES void take(const T* from, Narrow* to) const {
        if (in_turn) return apart(from + first, from + second, to);
        to[0] = rowOf<Narrow>(from + first);
        to[1] = rowOf<Narrow>(from + second);
    }

    template<typename Narrow>
    NVDB_LANES void put(const Narrow* x, const Narrow* on, int32_t* to) const {
        putRow(in_turn ? lowPairs(x[0], x[1]) : x[0], in_turn ? lowPairs(on[0], on[1]) : on[0], to + first);
        putRow(in_turn ? highPairs(x[0], x[1]) : x[1], in_turn ? highPairs(on[0], on[1]) : on[1], to + second);
    }
};

// Share of each cell's coded voxels that its first half has, in 1/32, and whether both halves have some.
template<typename BelowT>
NVDB_LANES void shareCells(const int32_t* pairs, const BelowT* counts, int64_t rows, int axis, uint8_t* share, uint8_t* both) {
    using Floats = Vector<float, 8>;
    using Bytes = Vector<uint8_t, 8>;
    const Halves halves(axis);
    for (int64_t from = 0; from < rows * kSlots; from += 8) {
        EightNarrow of_half[2];
        HalfRows(halves, pairs, from, 8).take(counts, of_half);
        const EightNarrow sum = of_half[0] + of_half[1], some = sum + (sum == 0 ? EightNarrow{} + 1 : EightNarrow{});
        // Quotients of such numbers are 2^-17 below the next whole number at least, so that rounding does not reach it.
        const Floats quotient = NVDB_CONVERT(of_half[0] * kShares, Floats) / NVDB_CONVERT(some, Floats);
        const Bytes shares = NVDB_CONVERT(NVDB_CONVERT(quotient, EightNarrow), Bytes);
        const Bytes are = NVDB_CONVERT((of_half[0] > 0) & (of_half[1] > 0) & 1, Bytes);
        std::memcpy(share + from, &shares, sizeof(shares));
        std::memcpy(both + from, &are, sizeof(are));
    }
}

#ifdef NVDB_AVX2
template<typename BelowT>
NVDB_AVX2 inline void sharesFast(const int32_t* pairs, const BelowT* counts, int64_t rows, int axis, uint8_t* share,
    uint8_t* both)
{
    shareCells(pairs, counts, rows, axis, share, both);
}
#endif

template<typename BelowT>
inline void shares(const int32_t* pairs, const BelowT* counts, int64_t rows, int axis, uint8_t* share, uint8_t* both) {
#ifdef NVDB_AVX2
    if (hasAvx2()) return sharesFast(pairs, counts, rows, axis, share, both);
#endif
    shareCells(pairs, counts, rows, axis, share, both);
}

// `rows` bricks of cells: the bricks below that each joins, means, the same companded, and differences of the halves.
struct CoarseCells {
    const int32_t *pairs, *means, *companded, *differences;
    int64_t rows;
};

template<typename Reals, typename BelowT>
NVDB_LANES void splitCells(const CoarseCells& cells, const Splitting& splitting, const BelowT* counts, int32_t* below) {
    using Narrow = NarrowOf<Reals>;
    constexpr int lanes = kLanes<Reals>;
    const CompandMany<Reals> compand(splitting.compand);
    for (int64_t from = 0; from < cells.rows * kSlots; from += lanes) {
        const HalfRows rows(splitting.halves, cells.pairs, from, lanes);
        Narrow of_half[2];
        rows.take(counts, of_half);
        const Narrow on[2] = {of_half[0] > 0, of_half[1] > 0}, both = on[0] & on[1];
        if (!anySet(on[0] | on[1])) continue; // the brick may be another one's too
        const Narrow mean = rowOf<Narrow>(cells.means + from), least = Narrow{} - int32_t(kMaxDecoded);
        Narrow means[2] = {mean, mean};
        if (anySet(both)) {
            const ManyCells<Narrow> many{mean, rowOf<Narrow>(cells.companded + from), rowOf<Narrow>(cells.differences + from),
                of_half[0], of_half[1]};
            solve(many, both, compand, splitting.nonnegative, means);
            for (Narrow& half : means) half = (half & both) | (mean & ~both);
        }
        for (Narrow& half : means) {
            half = half < least ? least : half;
            half = half > -least ? -least : half;
        }
        rows.put(means, on, below);
    }
}

#ifdef NVDB_AVX2
template<typename BelowT>
NVDB_AVX512 inline void splitFastest(const CoarseCells& cells, const Splitting& splitting, const BelowT* counts,
    int32_t* below)
{
    splitCells<EightReals>(cells, splitting, counts, below);
}
template<typename BelowT>
NVDB_AVX2 inline void splitFast(const CoarseCells& cells, const Splitting& splitting, const BelowT* counts, int32_t* below) {
    splitCells<FourReals>(cells, splitting, counts, below);
}
#endif

// Means of the level below, where `counts` has coded voxels.
template<typename BelowT>
inline void split(const CoarseCells& cells, const Splitting& splitting, const BelowT* counts, int32_t* below) {
#ifdef NVDB_AVX2
    if (hasVnni()) return splitFastest(cells, splitting, counts, below);
    if (hasAvx2()) return splitFast(cells, splitting, counts, below);
#endif
    splitCells<FourReals>(cells, splitting, counts, below);
}

} // namespace nvdb
