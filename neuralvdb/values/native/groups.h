// Twin of values/lattice/inputs.py (gather): points of a pass in groups of sixteen that fill neighbouring lines (lines.h), what
// they see picked out of whole lines at once. For processors that pick any of 64 numbers of 16 bits (AVX-512, VBMI2).
#pragma once

#include "look.h"

namespace nvdb {
namespace NVDB_ISA {

#ifdef __AVX512BW__
constexpr bool kGrouped = true;
using Words = Vector<int16_t, 32>;

// The second half of a vector, in front.
inline Words upper(Words x) { return bits<Words>(_mm512_shuffle_i64x2(bits<__m512i>(x), bits<__m512i>(x), 0xee)); }

// The groups of a pass of bricks; two lines of 8 numbers or one of 16 are half of a vector.
template<bool kMean>
class Groups {
public:
    explicit Groups(const Coding& coding)
        : count_(coding.along == kNoAxis ? 0 : kMean ? 16 : 2 << coding.along),
          second_half_((kMean ? 2 : coding.along == 2 ? 4 : kSide) * kWords<kMean>)
    {
        const bool phase = coding.group_count > 1;
        std::memset(order_, -1, sizeof(order_));
        for (int group = 0; group < count_; ++group)
            for (int lane = 0; lane < kBlock; ++lane) {
                const Place place = placeOf(coding.along, group, lane, phase);
                const int first = lineOf<kMean>(coding.along, place.offset);
                if (!lane) lines_[group] = first / kWords<kMean> * kWords<kMean>;
                if (group <= kOddGroup) {
                    const int word = place.line * kWords<kMean> + first % kWords<kMean>;
                    for (int half = 0; half < 2; ++half) words_[group == kOddGroup][half * kBlock + lane] = int16_t(word);
                }
                offsets_[group * kBlock + lane] = int16_t(place.offset);
                order_[place.offset] = int16_t(group * kBlock + lane);
            }
    }

    int count() const { return count_; }
    const int16_t* offsets(int group) const { return offsets_ + group * kBlock; }

    // Takes the points of a brick.
    void take(const int16_t* places, size_t count) {
        std::memset(numbers_, -1, sizeof(numbers_));
        for (size_t i = 0; i < count; ++i)
            if (order_[places[i]] >= 0) numbers_[order_[places[i]]] = int16_t(i);
    }
    // Numbers of the points of a group, in the order in which they were taken; negative ones are missing.
    const int16_t* numbers(int group) const { return numbers_ + group * kBlock; }
    uint32_t lanes(int group) const { return 0xffff & ~uint32_t(_mm256_movepi16_mask(loaded<__m256i>(numbers(group)))); }
    bool holds(int place, size_t number) const { return order_[place] >= 0 && size_t(numbers_[order_[place]]) == number; }

    // What the points of a group see, and those that see active points only. pass: the lines of the pass itself, or null.
    uint32_t see(int group, const int16_t* known, const int16_t* pass, Seen& seen) const {
        constexpr int kAlong = Stretches<kMean>::kAlong, kMiddle = kMean ? 2 : 1;
        const Words words = words_[(group & kOddGroup) != 0];
        Words orders[(kAlong + 1) / 2]; // of two numbers of each line
        for (int k = 0; k < kAlong; k += 2) orders[k / 2] = words + (k + 1 < kAlong ? kBehind : Words{}) + int16_t(k);
        Words active = Words{} + 1;
        const auto put = [&](int point, Words both) { std::memcpy(seen.points[point], &both, sizeof(Shorts)); };
        const auto line = [&](const int16_t* from, int i, int j) {
            return Line(from + lines_[group] + (i * kSide + j) * kWords<kMean>, second_half_);
        };
        for (int i = 0; i < 9; ++i) {
            const Line from = line(known, i / 3 - 1, i % 3 - 1);
            for (int k = 0; k < kAlong; ++k) {
                const Words both = from.pick(orders[k / 2]);
                active &= both;
                put(9 * k + i, both);
                if (++k < kAlong) put(9 * k + i, upper(both));
            }
        }
        if (pass) {
            const Words beside = line(pass, 0, 0).pick(words + 2 * kBehind + int16_t(kMiddle - 1));
            active &= beside;
            put(9 * kAlong, beside);
            put(9 * kAlong + 1, upper(beside));
            for (int side = 0; side < 4; ++side) {
                const int to = side % 2 ? 1 : -1;
                const Words both = line(pass, side < 2 ? to : 0, side < 2 ? 0 : to).pick(words + int16_t(kMiddle));
                active &= both;
                put(9 * kAlong + 2 + side, both);
            }
        }
        return uint32_t(_mm512_movepi16_mask(bits<__m512i>(-(active & upper(active))))) & 0xffff;
    }

    // The first of some lanes, at most so many.
    static uint32_t firstOf(uint32_t lanes, int most) { return _pdep_u32((1u << most) - 1, lanes); }

    // Puts what some lanes see behind the first `count` of another block.
    static void append(const Seen& seen, uint32_t lanes, int points, int count, Seen& to) {
        for (int i = 0; i < points; ++i) {
            const __m256i x = _mm256_maskz_compress_epi16(__mmask16(lanes), loaded<__m256i>(seen.points[i]));
            std::memcpy(to.points[i] + count, &x, sizeof(x));
        }
    }

private:
    struct Place {
        int line, offset; // in the group, in the brick
    };
    struct Line {
        Words first, second;

        Line(const int16_t* from, int second_half): first(loaded<Words>(from)), second(loaded<Words>(from + second_half)) {}
        // Numbers of both halves, by their places in them.
        Words pick(Words order) const {
            return bits<Words>(_mm512_permutex2var_epi16(bits<__m512i>(first), bits<__m512i>(order), bits<__m512i>(second)));
        }
    };
    static constexpr int kOddGroup = kMean ? 2 : 1; // of bit `kOddGroup` of a group's number depends where its points begin

    static Place placeOf(int along, int group, int lane, int phase) {
        const bool two = !kMean && along < 2; // lines with two coordinates `first`
        const int line = lane / (kMean ? 4 : 2), first = kMean ? group / 2 : two ? 2 * group + line / 4 : group;
        const int second = kMean ? group % 2 * 4 + line : two ? line % 4 : line;
        const int number = 2 * (lane % (kMean ? 4 : 2)) + ((first + second + phase) & 1); // of the points along a line
        int at[3];
        at[along] = kMean ? number : 2 * number + 1;
        at[along == 0] = !kMean && along == 0 ? 2 * first : first;
        at[along == 2 ? 1 : 2] = two ? 2 * second : second;
        return {line, at[0] << 6 | at[1] << 3 | at[2]};
    }

    static constexpr Words kBehind = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int count_, second_half_, lines_[16];
    int16_t offsets_[16 * kBlock], order_[kSlots];
    alignas(64) int16_t numbers_[16 * kBlock];
    Words words_[2]; // where points begin in the lines of their group, twice
};
#else
constexpr bool kGrouped = false;
template<bool kMean>
struct Groups {
    explicit Groups(const Coding&) {}
};
#endif

} // namespace NVDB_ISA
} // namespace nvdb
