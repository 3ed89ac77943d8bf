// Threads of a compiled module that sleep until there is work for them. They start when they are first needed and stay, so
// that work of a tenth of a millisecond is worth dividing. A forked process starts its own.
//
// To wake a thread takes longer than many a phase of a chunk has work for: before a thread sleeps it looks around for a few
// microseconds, in which the next phase mostly begins and the last range mostly ends.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <new>
#include <thread>

namespace nvdb {

class Workers {
public:
    // They are never destroyed: threads that sleep end with the process.
    static Workers& ofProcess() {
        static Workers* const workers = [] {
            current() = new Workers;
            if (pthread_atfork(nullptr, nullptr, [] { new (current()) Workers; }) != 0) throw std::bad_alloc();
            return current();
        }();
        return *workers;
    }

    // Calls work() here and, meanwhile, on up to `helpers` threads; ends when all of them have. A thread that cannot start,
    // or is late, is not waited for: work() must do what is left to do.
    template<typename Work>
    void share(size_t helpers, const Work& work) {
        Call call{[](const void* context) { (*static_cast<const Work*>(context))(); }, &work, helpers, {0}, nullptr};
        begin(call);
        work();
        end(call);
    }

private:
    // Work that threads are asked to help with, `wanted` more of them. Lives where its caller waits.
    struct Call {
        void (*run)(const void*);
        const void* context;
        size_t wanted;
        std::atomic<size_t> running;
        Call* next;
    };

    static Workers*& current() {
        static Workers* workers = nullptr;
        return workers;
    }

    void begin(Call& call) {
        const std::lock_guard<std::mutex> lock(guard_);
        call.next = calls_;
        calls_ = &call;
        demand_ += call.wanted;
        ++begun_;
        while (threads_ < demand_ && start()) ++threads_;
        for (size_t i = 0; i < call.wanted; ++i) wake_.notify_one();
    }

    void end(Call& call) {
        std::unique_lock<std::mutex> lock(guard_);
        demand_ -= call.wanted;
        call.wanted = 0;
        Call** at = &calls_;
        while (*at != &call) at = &(*at)->next;
        *at = call.next;
        const auto ended = [&] { return call.running == 0; };
        lookAround(lock, ended);
        ended_.wait(lock, ended);
    }

    // Waits a little, without the lock, for what may happen at once.
    template<typename Happened>
    static void lookAround(std::unique_lock<std::mutex>& lock, const Happened& happened) {
        static const bool several = std::thread::hardware_concurrency() > 1;
        if (!several || happened()) return;
        lock.unlock();
        const auto end = std::chrono::steady_clock::now() + kGlance;
        while (!happened() && std::chrono::steady_clock::now() < end) {
#ifdef __SSE2__
            __builtin_ia32_pause();
#endif
        }
        lock.lock();
    }

    // Signals are for the threads that were there before, but for those that say that a program is wrong.
    bool start() {
        sigset_t all, before;
        sigfillset(&all);
        for (const int fault : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) sigdelset(&all, fault);
        pthread_attr_t attributes;
        if (pthread_attr_init(&attributes) != 0) return false;
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attributes, kStack);
        pthread_t thread;
        pthread_sigmask(SIG_SETMASK, &all, &before);
        const int failed = pthread_create(&thread, &attributes, &Workers::work, this);
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        pthread_attr_destroy(&attributes);
        return failed == 0;
    }

    static void* work(void* workers) {
        static_cast<Workers*>(workers)->helpForEver();
        return nullptr;
    }

    void helpForEver() {
        std::unique_lock<std::mutex> lock(guard_);
        for (;;) {
            Call* call = calls_;
            while (call && !call->wanted) call = call->next;
            if (!call) {
                const auto asked = [this, before = begun_.load()] { return begun_ != before; };
                lookAround(lock, asked);
                if (!asked()) wake_.wait(lock);
                continue;
            }
            --call->wanted;
            ++call->running;
            lock.unlock();
            call->run(call->context);
            lock.lock();
            --demand_;
            if (--call->running == 0) ended_.notify_all();
        }
    }

    static constexpr std::chrono::microseconds kGlance{20};
    static constexpr size_t kStack = size_t(1) << 20; // all that a thread takes: its work takes no memory (parallel.h)
    std::mutex guard_;
    std::condition_variable wake_, ended_;
    Call* calls_ = nullptr;
    size_t threads_ = 0, demand_ = 0; // demand: helpers that calls have or want
    std::atomic<size_t> begun_{0};    // calls so far
};

} // namespace nvdb
