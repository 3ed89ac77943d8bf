// Twin of values/lattice/inputs.py (gather): what is around a brick in rows along z (fetch.h), and points of a pass in groups
// of sixteen that fill neighbouring rows; what they see is picked out of whole rows at once. For processors that pick any of
// 64 numbers of 16 bits (AVX-512, VBMI2).
#pragma once

#include "look.h"

namespace nvdb {
namespace NVDB_ISA {

#ifdef __AVX512BW__
using Words = Vector<int16_t, 32>;

// The second half of a vector, in front.
inline Words upper(Words x) { return bits<Words>(_mm512_shuffle_i64x2(bits<__m512i>(x), bits<__m512i>(x), 0xee)); }

// Rows lie at first * kRows + second, their coordinates on x and y less those of the first row that is needed, in units of
// what is known there; rows of points of the pass itself follow all of those that are known.
// On the mean lattice a row is the 16 cells at -4 to 11; on the sample lattice it is every second point: those at -4, -2 to
// 10, or of a pass along z itself those at -3, -1 to 11.
template<bool kMean> constexpr int kRows = kMean ? 12 : 10;
template<bool kMean> constexpr int kRowWords = kMean ? kLine : kLine / 2;
constexpr int kPassRows = kRows<false> * kRows<false> * kRowWords<false>; // where rows of the pass begin
struct Rows {
    alignas(64) int16_t points[kRows<true> * kRows<true> * kRowWords<true> + 4 * kLine];
};

// Coordinates along an axis.
struct Span {
    int first, count, step;
};

// Makes the rows of bricks of one source.
template<bool kMean>
class RowMaker {
public:
    RowMaker(const Coding& coding, const LevelView& level, int64_t brick, int32_t reference)
        : coding_(coding), from_(coding, level, brick, reference) {}

    // Whether all points that are needed fit into 16 bits. nearest: only those up to 1 away, of the mean lattice.
    bool make(bool nearest, Rows& to) {
        if (kMean)
            each(spanOf(0, nearest), spanOf(1, nearest), [&](int i, int j, Shorts row) {
                std::memcpy(to.points + (i * kRows<kMean> + j) * kRowWords<kMean>, &row, sizeof(row));
            });
        else makeHalves(coding_.group_count > 1, to);
        return from_.fits();
    }

private:
    // Those that are needed, of which points of the pass itself.
    Span spanOf(int axis, bool of_pass) const {
        const bool along = axis == coding_.along;
        if (kMean) return along && !of_pass ? Span{-2, 12, 1} : Span{-1, 10, 1};
        if (along && axis < 2) return of_pass ? Span{-1, 6, 2} : Span{-2, 7, 2};
        return axis > coding_.along ? Span{-2, 6, 2} : Span{-1, 10, 1};
    }

    template<typename Put>
    void each(const Span& x, const Span& y, const Put& put) {
        const int x_base = kMean ? x.first + 2 : 0, y_base = kMean ? y.first + 2 : 0;
        for (int i = 0; i < x.count; ++i)
            for (int j = 0; j < y.count; ++j)
                put(i + x_base, j + y_base, from_.fetch(kHalo + x.first + i * x.step, kHalo + y.first + j * y.step));
    }

    void makeHalves(bool both, Rows& to) {
        const auto putEven = [](int16_t* points, int i, int j, Shorts row) {
            const Eight even = NVDB_CONVERT(bits<Ints>(row), Eight);
            std::memcpy(points + (i * kRows<kMean> + j) * kRowWords<kMean>, &even, sizeof(even));
        };
        const bool odd = both && coding_.along == 2;
        each(spanOf(0, false), spanOf(1, false), [&](int i, int j, Shorts row) {
            putEven(to.points, i, j, row);
            if (odd) putEven(to.points + kPassRows, i, j, bits<Shorts>(bits<Ints>(row) >> 16));
        });
        if (both && !odd)
            each(spanOf(0, true), spanOf(1, true),
                [&](int i, int j, Shorts row) { putEven(to.points + kPassRows, i, j, row); });
    }

    const Coding& coding_;
    Fetcher<kMean> from_;
};

// The groups of a pass of bricks; two rows of 16 numbers or four of 8 are a vector.
template<bool kMean>
class Groups {
public:
    explicit Groups(const Coding& coding)
        : along_(coding.along), count_(coding.along == kNoAxis ? 0 : kMean ? 16 : 2 << coding.along),
          second_half_((kMean ? 2 : coding.along == 2 ? 4 : kRows<kMean>) * kRowWords<kMean>)
    {
        const bool phase = coding.group_count > 1;
        std::memset(order_, -1, sizeof(order_));
        for (int group = 0; group < count_; ++group)
            for (int lane = 0; lane < kBlock; ++lane) {
                const Place place = placeOf(coding.along, group, lane, phase);
                if (!lane) rows_[group] = place.row;
                if (group <= kOddGroup)
                    for (int half = 0; half < 2; ++half) words_[group == kOddGroup][half * kBlock + lane] = int16_t(place.word);
                offsets_[group * kBlock + lane] = int16_t(place.offset);
                order_[place.offset] = int16_t(group * kBlock + lane);
            }
        for (int place = 0, count = 0; place < kSlots; ++place)
            if (order_[place] >= 0) all_[count++] = int16_t(place);
    }

    int count() const { return count_; }
    const int16_t* offsets(int group) const { return offsets_ + group * kBlock; }

    // Takes the points of a brick.
    void take(const int16_t* places, size_t count) {
        const bool all = count == size_t(count_ * kBlock) && !std::memcmp(places, all_, count * sizeof(*all_));
        if (all && all_taken_) return; // as those of many bricks
        all_taken_ = all;
        std::memset(numbers_, -1, sizeof(numbers_));
        for (size_t i = 0; i < count; ++i)
            if (order_[places[i]] >= 0) numbers_[order_[places[i]]] = int16_t(i);
    }
    // Numbers of the points of a group, in the order in which they were taken; negative ones are missing.
    const int16_t* numbers(int group) const { return numbers_ + group * kBlock; }
    uint32_t lanes(int group) const { return 0xffff & ~uint32_t(_mm256_movepi16_mask(loaded<__m256i>(numbers(group)))); }
    bool holds(int place, size_t number) const { return order_[place] >= 0 && size_t(numbers_[order_[place]]) == number; }

    // What the points of a group see, and those that see active points only. pass: the rows of the pass itself, or null.
    uint32_t see(int group, const int16_t* known, const int16_t* pass, Seen& seen) const {
        const Words words = words_[(group & kOddGroup) != 0];
        known += rows_[group];
        Words active = Words{} + 1;
        if (along_ == 2)
            for (int i = 0; i < 9; ++i) active &= seeRow<kAlong>(known + stepsTo(i / 3 - 1, i % 3 - 1), words, 9, seen.points + i);
        else
            for (int k = 0; k < kAlong; ++k)
                for (int i = 0; i < 3; ++i) {
                    const int along = k - (kMean ? 2 : 1), step = along_ ? stepsTo(i - 1, along) : stepsTo(along, i - 1);
                    active &= seeRow<3>(known + step, words, 1, seen.points + 9 * k + 3 * i);
                }
        if (pass) active &= seeNearest(pass + rows_[group], words, seen.points + 9 * kAlong);
        return uint32_t(_mm512_movepi16_mask(bits<__m512i>(-(active & upper(active))))) & 0xffff;
    }

    // The first of some lanes, at most so many.
    static uint32_t firstOf(uint32_t lanes, int most) { return _pdep_u32((1u << most) - 1, lanes); }

    // Puts what some lanes see behind the first `count` of another block.
    static void append(const Seen& seen, uint32_t lanes, int points, int count, Seen& to) {
        constexpr Shorts numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        const __m256i order = _mm256_maskz_compress_epi16(__mmask16(lanes), bits<__m256i>(numbers));
        for (int i = 0; i < points; ++i) {
            const __m256i x = _mm256_permutexvar_epi16(order, loaded<__m256i>(seen.points[i]));
            std::memcpy(to.points[i] + count, &x, sizeof(x));
        }
    }

private:
    using Column = int16_t[2 * kBlock];
    struct Place {
        int row, word, offset; // where its row lies, its first number along z in the rows of the group, its place in the brick
    };
    struct Vectors {
        Words first, second;

        Vectors(const int16_t* from, int second_half): first(loaded<Words>(from)), second(loaded<Words>(from + second_half)) {}
        // Numbers of both, by their places in them.
        Words pick(Words order) const {
            return bits<Words>(_mm512_permutex2var_epi16(bits<__m512i>(first), bits<__m512i>(order), bits<__m512i>(second)));
        }
    };
    static constexpr int kAlong = kMean ? 5 : 4; // points along the axis of a pass
    static constexpr int kOddGroup = kMean ? 2 : 1; // of bit `kOddGroup` of a group's number depends where its points begin

    static int stepsTo(int x, int y) { return (x * kRows<kMean> + y) * kRowWords<kMean>; }

    // Takes kCount numbers of each point of a row, as every `step`th column; gives which are active.
    template<int kCount>
    Words seeRow(const int16_t* from, Words words, int step, Column* to) const {
        const Vectors rows(from, second_half_);
        Words active = Words{} - 1;
        for (int k = 0; k < kCount; k += 2) {
            const Words both = rows.pick(words + (k + 1 < kCount ? kBehind : Words{}) + int16_t(k));
            active &= both;
            put(both, to[k * step]);
            if (k + 1 < kCount) put(upper(both), to[(k + 1) * step]);
        }
        return active;
    }

    // Takes the six nearest points of the pass: along its axis, then along the others.
    Words seeNearest(const int16_t* from, Words words, Column* to) const {
        const int middle = along_ < 2 ? 1 : kMean ? 2 : 1, z = along_ == 2 ? 0 : 4, x = along_ ? 2 : 0, y = 6 - x - z;
        const Words beside = Vectors(from, second_half_).pick(words + 2 * kBehind + int16_t(middle - 1));
        Words active = beside;
        put(beside, to[z]);
        put(upper(beside), to[z + 1]);
        for (int side = 0; side < 4; ++side) {
            const int step = side % 2 ? 1 : -1;
            const int16_t* row = from + (side < 2 ? stepsTo(step, 0) : stepsTo(0, step));
            const Words one = Vectors(row, second_half_).pick(words + int16_t(middle));
            active &= one;
            put(one, to[(side < 2 ? x : y) + side % 2]);
        }
        return active;
    }

    static void put(Words x, int16_t* to) { std::memcpy(to, &x, sizeof(Shorts)); }

    static Place placeOf(int along, int group, int lane, int phase) {
        constexpr int each = kMean ? 4 : 2; // points of a row
        const bool two = !kMean && along < 2; // rows with two coordinates on x
        const int row = lane / each, x = kMean ? group / 2 : two ? 2 * group + row / 4 : group;
        const int y = kMean ? group % 2 * 4 + row : two ? row % 4 : row;
        const int number = 2 * (lane % each) + ((x + y + phase) & 1); // of the points along a row
        const int word = row * kRowWords<kMean> + number + (!kMean ? 1 : along == 2 ? 2 : 3);
        if (kMean) return {stepsTo(x + 2, y + 2), word, x << 6 | y << 3 | number};
        const int at_x = along == 0 ? 2 * x + 1 : x, at_y = along == 1 ? 2 * y + 1 : along == 0 ? 2 * y : y;
        return {stepsTo(x + 1, y + 1), word, at_x << 6 | at_y << 3 | (2 * number + (along == 2))};
    }

    static constexpr Words kBehind = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int along_, count_, second_half_, rows_[16];
    int16_t offsets_[16 * kBlock], order_[kSlots], all_[16 * kBlock]; // all: places of all points, in order
    bool all_taken_ = false;
    alignas(64) int16_t numbers_[16 * kBlock];
    Words words_[2]; // where what points see begins in the rows of their group, twice
};
using Near = Rows;
template<bool kMean> using Maker = RowMaker<kMean>;
#else
template<bool kMean>
struct Groups {
    explicit Groups(const Coding&) {}
};
constexpr int kPassRows = kOthers;
using Near = Lines;
template<bool kMean> using Maker = LineMaker<kMean>;
#endif

} // namespace NVDB_ISA
} // namespace nvdb
