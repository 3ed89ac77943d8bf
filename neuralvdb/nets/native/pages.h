// How the system is to lay out memory, where it can be told.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace nvdb {

// Lets the system make large memory of huge pages, which are filled and found sooner.
inline void preferHugePages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE
    constexpr size_t kLarge = size_t(4) << 20, kPage = size_t(1) << 16; // no system has larger ones
    if (bytes < kLarge) return;
    const size_t skipped = (kPage - reinterpret_cast<uintptr_t>(data) % kPage) % kPage;
    madvise(static_cast<char*>(data) + skipped, bytes - skipped, MADV_HUGEPAGE);
#endif
}

} // namespace nvdb
