// Work on several threads, for all compiled modules of the codecs. A thread that cannot start is not missed: the threads
// that run, the caller's among them, do all the work. What a job throws reaches the caller.
//
// Jobs take no memory, or take it without exceptions: the C++ library allocates data of its own for the first exception of
// a thread, and ends the process where there is no memory for that.
#pragma once

#include "workers.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>

namespace nvdb {

// Calls job(0), ..., job(count - 1) on up to `threads` threads. Rethrows the first exception when all threads have ended.
template<typename Job>
void parallelFor(int64_t count, int64_t threads, const Job& job) {
    if (std::min(threads, count) <= 1) {
        for (int64_t i = 0; i < count; ++i) job(i);
        return;
    }
    std::atomic<int64_t> next{0};
    std::exception_ptr error;
    std::mutex guard;
    const auto work = [&] {
        try {
            for (int64_t i; (i = next++) < count;) job(i);
        } catch (...) {
            std::lock_guard<std::mutex> lock(guard);
            if (!error) error = std::current_exception();
            next = count;
        }
    };
    (void)std::current_exception();  // makes the library's data for exceptions while there is memory
    Workers::ofProcess().share(size_t(std::min(threads, count) - 1), work);
    if (error) std::rethrow_exception(error);
}

// Into how many ranges of at least `least` to cut `count` items: more than threads, so that none waits long for the last.
inline size_t rangesOf(size_t count, size_t threads, size_t least) {
    return threads <= 1 ? 1 : std::max<size_t>(1, std::min(6 * threads, count / least));
}

// Where a range of so many ends that cover `count` items: of equal ones, or, where threads take several, of ever smaller ones,
// so that they end together.
inline size_t endOf(size_t range, size_t count, size_t ranges, size_t threads) {
    const size_t left = ranges - range - 1;
    return count - (ranges <= threads ? count * left / ranges : count * left / ranges * left / ranges);
}

// Calls job(number, first, last) for so many ranges, which cover `count` items, on up to `threads` threads.
template<typename Job>
void forRanges(size_t count, size_t ranges, size_t threads, const Job& job) {
    parallelFor(int64_t(ranges), int64_t(threads), [&](int64_t i) {
        const size_t range = size_t(i);
        job(range, range ? endOf(range - 1, count, ranges, threads) : 0, endOf(range, count, ranges, threads));
    });
}

// Calls job(first, last) for ranges of at least `least` items, if there are as many.
template<typename Job>
void inParallel(size_t count, size_t threads, size_t least, const Job& job) {
    forRanges(count, rangesOf(count, threads, least), threads, [&](size_t, size_t first, size_t last) { job(first, last); });
}

}  // namespace nvdb
