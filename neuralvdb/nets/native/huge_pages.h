// Large memory on huge pages, which Linux fills and finds sooner, as NumPy has its own.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace nvdb {

constexpr size_t kHugePage = size_t(2) << 20, kManyPages = 2 * kHugePage; // bytes; from so many on it is worth it

inline void preferHugePages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE
    constexpr size_t page = 1 << 16; // no system has larger ordinary ones
    if (bytes < kManyPages) return;
    const size_t skipped = (page - reinterpret_cast<uintptr_t>(data) % page) % page;
    madvise(static_cast<char*>(data) + skipped, bytes - skipped, MADV_HUGEPAGE);
#endif
}

} // namespace nvdb
