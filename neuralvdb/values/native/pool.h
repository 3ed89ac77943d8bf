// Arrays whose memory a thread keeps for its next ones: coding a component takes and frees the same sizes over and over, and
// fresh pages cost more than the work on them.
#pragma once

#include "../../nets/native/huge_pages.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace nvdb {

// Free blocks of a thread, up to kKept bytes of them.
class Pool {
public:
    static Pool& ofThread() {
        thread_local Pool pool;
        return pool;
    }
    ~Pool() {
        for (size_t i = 0; i < count_; ++i) std::free(blocks_[i].data);
    }

    struct Block {
        void* data = nullptr;
        size_t size = 0;
    };

    // A block of at least so many bytes. Throws bad_alloc.
    Block take(size_t bytes) {
        size_t best = count_;
        for (size_t i = 0; i < count_; ++i) {
            const size_t size = blocks_[i].size;
            if (size >= bytes && size / 4 <= bytes && (best == count_ || size < blocks_[best].size)) best = i;
        }
        if (best == count_) {
            return fresh(bytes);
        }
        const Block block = blocks_[best];
        blocks_[best] = blocks_[--count_];
        kept_ -= block.size;
        return block;
    }

    void give(Block block) noexcept {
        if (count_ == blocks_.size() || kept_ + block.size > kKept) {
            std::free(block.data);
            return;
        }
        blocks_[count_++] = block;
        kept_ += block.size;
    }

private:
    // Large blocks are made of pages of 2 MiB where the system has some: bricks and those around them lie far apart, and it
    // takes time to find the page of each.
    static Block fresh(size_t bytes) {
        const bool large = bytes >= kManyPages;
        const size_t grain = large ? kHugePage : kGrain, size = (bytes + grain) / grain * grain;
        const Block block{std::aligned_alloc(large ? kHugePage : kAlign, size), size};
        if (!block.data) throw std::bad_alloc();
        preferHugePages(block.data, size);
        return block;
    }

    static constexpr size_t kKept = size_t(40) << 20, kGrain = 4096, kAlign = 64;
    std::array<Block, 64> blocks_;
    size_t count_ = 0, kept_ = 0;
};

// `size` numbers from the pool of this thread.
template<typename T>
class Array {
public:
    Array() = default;
    explicit Array(size_t size): block_(Pool::ofThread().take(size * sizeof(T))), size_(size) {}
    Array(size_t size, T value): Array(size) { std::fill_n(data(), size, value); }
    Array(Array&& other) noexcept: block_(std::exchange(other.block_, {})), size_(std::exchange(other.size_, 0)) {}
    Array& operator=(Array&& other) noexcept {
        std::swap(block_, other.block_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Array() {
        if (block_.data) Pool::ofThread().give(block_);
    }
    T* data() { return static_cast<T*>(block_.data); }
    const T* data() const { return static_cast<const T*>(block_.data); }
    T& operator[](size_t i) { return data()[i]; }
    const T& operator[](size_t i) const { return data()[i]; }
    size_t size() const { return size_; }

private:
    Pool::Block block_;
    size_t size_ = 0;
};

} // namespace nvdb
