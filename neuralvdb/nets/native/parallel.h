// Work on several threads, for all compiled modules of the codecs. A thread that cannot start is not missed: the threads
// that run, the caller's among them, do all the work. What a job throws reaches the caller.
//
// Jobs take no memory, or take it without exceptions: the C++ library allocates data of its own for the first exception of
// a thread, and ends the process where there is no memory for that.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace nvdb {

// Calls job(0), ..., job(count - 1) on up to `threads` threads. Rethrows the first exception when all threads have ended.
template<typename Job>
void parallelFor(int64_t count, int64_t threads, const Job& job) {
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
    const size_t helpers = size_t(std::max<int64_t>(0, std::min(threads, count) - 1));
    std::vector<std::thread> pool;
    (void)std::current_exception();  // makes the library's data for exceptions while there is memory
    try {
        pool.reserve(helpers);
        while (pool.size() < helpers) pool.emplace_back(work);
    } catch (const std::system_error&) {  // the system has no more threads
    } catch (const std::bad_alloc&) {     // no memory for another one
    }
    work();
    for (std::thread& thread : pool) thread.join();
    if (error) std::rethrow_exception(error);
}

// Calls job(first, last) for ranges that cover `count` items, one for each of up to `threads` threads; each range has at
// least `least` items if there are as many.
template<typename Job>
void inParallel(size_t count, size_t threads, size_t least, const Job& job) {
    const size_t ranges = std::max<size_t>(1, std::min(threads, count / least));
    parallelFor(int64_t(ranges), int64_t(ranges), [&](int64_t i) {
        job(count * size_t(i) / ranges, count * size_t(i + 1) / ranges);
    });
}

}  // namespace nvdb
