// Work on several threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <thread>
#include <vector>

namespace nvdb {

// Runs job(first, last) over `count` items on up to `threads` threads, each with at least `least` of them.
template<typename JobT>
void inParallel(size_t count, size_t threads, size_t least, JobT job) {
    const size_t workers = std::max<size_t>(1, std::min(threads, count / least));
    std::vector<std::thread> running;
    for (size_t w = 0; w + 1 < workers; ++w) running.emplace_back(job, count * w / workers, count * (w + 1) / workers);
    job(count * (workers - 1) / workers, count);
    for (auto& thread : running) thread.join();
}

} // namespace nvdb
