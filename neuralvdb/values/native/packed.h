// What predictors see of a level in 16 bits: twice the value plus the active flag, where all that may be seen fit.
#pragma once

#include "../../nets/native/simd.h"
#include "chunk.h"
#include "coding.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace nvdb {

// Gives words to numbers and flags, 0 or 1; whether those that are seen fit. active_only: only active ones are seen.
NVDB_LANES bool packNumbers(const int32_t* values, const uint8_t* active, size_t count, bool active_only, int16_t* words) {
    int32_t large = 0;
    for (size_t i = 0; i < count; ++i) {
        const int32_t value = values[i], flag = active[i];
        large |= (value ^ (value >> 31)) & (active_only ? -flag : -1);
        words[i] = int16_t(uint32_t(value) << 1 | uint32_t(flag));
    }
    return large <= kLargest;
}

#ifdef NVDB_AVX2
NVDB_AVX2 inline bool packFast(const int32_t* values, const uint8_t* active, size_t count, bool active_only, int16_t* words) {
    return packNumbers(values, active, count, active_only, words);
}
#endif

// The words of a level, while they fit.
class PackedLevel {
public:
    explicit PackedLevel(size_t size): words_(size) {}

    // Those of numbers `first` to `last` of a level, and of differences that are still to be decoded.
    void pack(const int32_t* values, const uint8_t* active, size_t first, size_t last, bool active_only) {
        if (!packRange(values + first, active + first, last - first, active_only, &words_[first])) fits_ = false;
    }
    void clear(size_t first, size_t last) { std::fill(words_.data() + first, words_.data() + last, int16_t(0)); }

    // Those of points that are decoded.
    template<typename PointsT>
    void put(const PointsT& points, const int32_t* decoded, size_t first, size_t last) {
        int32_t large = 0;
        for (size_t i = first; i < last; ++i) {
            large |= decoded[i] ^ (decoded[i] >> 31);
            words_[points.index(i)] = int16_t(uint32_t(decoded[i]) << 1 | 1);
        }
        if (large > kLargest) fits_ = false;
    }

    // The numbers of the words.
    void unpack(Array<int32_t>& values, size_t threads) const {
        inParallel(values.size(), threads, kLeastBricks * kSlots, [&](size_t first, size_t last) {
            for (size_t i = first; i < last; ++i) values[i] = words_[i] >> 1;
        });
    }

    const int16_t* words() const { return fits_ ? words_.data() : nullptr; }

private:
    static bool packRange(const int32_t* values, const uint8_t* active, size_t count, bool active_only, int16_t* words) {
#ifdef NVDB_AVX2
        if (hasAvx2()) return packFast(values, active, count, active_only, words);
#endif
        return packNumbers(values, active, count, active_only, words);
    }

    Array<int16_t> words_;
    std::atomic<bool> fits_{true};
};

} // namespace nvdb
