// The fast twins of values/lattice/means.py: what a floor's cells are made of, and their halves.
#pragma once

#include <cstdint>

namespace nvdb {

constexpr int kShareOne = 32;

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
inline void shares(const int64_t* pairs, const int32_t* counts, int64_t rows, int axis, uint8_t* share, uint8_t* both) {
    const Halves halves(axis);
    for (int64_t row = 0; row < rows; ++row) {
        for (int cell = 0; cell < 512; ++cell) {
            const int32_t* below = counts + 512 * pairs[2 * row + halves.side(cell)] + halves.first(cell);
            const int32_t first = below[0], second = below[halves.stride];
            share[512 * row + cell] = uint8_t(first + second ? kShareOne * first / (first + second) : 0);
            both[512 * row + cell] = first && second;
        }
    }
}

inline int64_t floorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// Means of the floor below from those of `rows` bricks and the differences of their cells' halves.
inline void split(const int64_t* pairs, const int32_t* counts, const uint8_t* coded, int64_t below_bricks,
    const int32_t* means, const int32_t* gaps, int64_t rows, int axis, int32_t limit, int32_t* below)
{
    const Halves halves(axis);
    auto put = [&](int64_t at, int64_t value) {
        if (coded[at]) below[at] = int32_t(value < -limit ? -limit : value > limit ? limit : value);
    };
    for (int64_t row = 0; row < rows; ++row) {
        for (int cell = 0; cell < 512; ++cell) {
            const int64_t brick = pairs[2 * row + halves.side(cell)];
            if (brick >= below_bricks) continue;
            const int64_t at = 512 * brick + halves.first(cell);
            const int64_t first = counts[at], second = counts[at + halves.stride], total = first + second;
            const int64_t mean = means[512 * row + cell], gap = gaps[512 * row + cell];
            int64_t a = mean, b = mean;
            if (first && second) {
                a += first == second ? (gap + 1 - (mean & 1)) >> 1 : floorDiv(2 * second * gap + total - (mean & 1), 2 * total);
                b = a - gap;
            }
            put(at, a);
            put(at + halves.stride, b);
        }
    }
}

} // namespace nvdb
