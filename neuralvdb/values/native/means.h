// Twin of values/lattice/mean_pyramid.py and values/lattice/compand.py: what the cells of a level are made of.
#pragma once

#include "constants.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace nvdb {

// The mean of so many numbers, halves rounded up: floor((2 sum + count) / (2 count)).
inline int64_t meanOf(int64_t sum, int64_t count) {
    const int64_t twice = 2 * sum + count, rest = twice % (2 * count);
    return (twice - rest) / (2 * count) - (rest < 0);
}

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

} // namespace nvdb
