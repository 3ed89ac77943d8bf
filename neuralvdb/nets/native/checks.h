// Checks of what Python hands over, once per call and much cheaper than the work that follows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace nvdb {

// Whether all of `count` integers are from 0 to limit - 1.
template<typename T>
inline bool allBelow(const T* from, size_t count, int64_t limit) {
    T low = 0, high = 0;
    for (size_t i = 0; i < count; ++i) {
        low = std::min(low, from[i]);
        high = std::max(high, from[i]);
    }
    return count == 0 || (low >= 0 && int64_t(high) < limit);
}

} // namespace nvdb
