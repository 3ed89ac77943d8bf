// Twin of values/lattice/residual.py (take): residuals from a payload that archive/rans.py has opened.
#pragma once

#include "../../archive/native/rans.h"
#include "chunk.h"
#include "pool.h"
#include "residual.h"

#include <cstdint>
#include <numeric>
#include <vector>

namespace nvdb {

// Thrown where a stream has less than is asked for; the stream says what it lacks.
struct StreamEnds {};

// bits: padded by 4 bytes; bit: the next one, beyond `bit_end` where they run out; missing: symbols that
// no segment holds.
struct Stream {
    rans::Source source;
    rans::Lookup lookup;
    const uint8_t* bits;
    int64_t bit, bit_end, missing = 0;

    // The next `count` residuals, of these classes, as done(first, last, residuals) leaves them, which is called for ranges of
    // them.
    template<typename Done>
    Array<int32_t> take(const uint8_t* scale_classes, size_t count, size_t threads, const Done& done) {
        Array<int32_t> residuals(count);
        if (!count) return residuals;
        Array<uint8_t> symbols(count);
        takeSymbols(scale_classes, count, symbols.data(), int64_t(threads));
        const size_t ranges = rangesOf(count, threads, 2 * kLeastPoints);
        std::vector<int64_t> low_bits(ranges + 1, 0), rare(ranges + 1, 0); // before each range
        forRanges(count, ranges, threads, [&](size_t range, size_t first, size_t last) {
            int64_t width = 0;
            for (size_t i = first; i < last; ++i) width += rawWidth(scale_classes[i]);
            low_bits[range + 1] = width;
            rare[range + 1] = std::count(symbols.data() + first, symbols.data() + last, uint8_t(kEscape));
        });
        std::partial_sum(low_bits.begin(), low_bits.end(), low_bits.begin());
        std::partial_sum(rare.begin(), rare.end(), rare.begin());
        need(low_bits[ranges]);
        const int64_t begin = bit;
        bit += low_bits[ranges];
        const Array<int64_t> escaped = takeEscaped(size_t(rare[ranges]));
        forRanges(count, ranges, threads, [&](size_t range, size_t first, size_t last) {
            int64_t at = begin + low_bits[range];
            const int64_t* next = escaped.data() + rare[range];
            for (size_t i = first, together; i < last; i += together) {
                together = std::min<size_t>(last - i, 32);
                if (arePlain(&symbols[i], scale_classes + i, together)) {
                    plainResiduals(&symbols[i], together, &residuals[i]);
                    continue;
                }
                for (size_t k = i; k < i + together; ++k) residuals[k] = int32_t(bitsAt(at, rawWidth(scale_classes[k])));
                next = joinResiduals(&symbols[i], scale_classes + i, together, next, &residuals[i]);
            }
            done(first, last, residuals.data());
        });
        return residuals;
    }

    // The next `count` residuals, all of one class, each added to those before it.
    Array<int64_t> takeSums(uint8_t scale_class, size_t count) {
        const Array<uint8_t> classes(count, scale_class);
        const Array<int32_t> steps = take(classes.data(), count, 1, [](size_t, size_t, int32_t*) {});
        Array<int64_t> sums(count);
        int64_t sum = 0;
        for (size_t i = 0; i < count; ++i) sums[i] = sum += steps[i];
        return sums;
    }

private:
    void takeSymbols(const uint8_t* scale_classes, size_t count, uint8_t* symbols, int64_t threads) {
        if (!source.segments) {
            missing = int64_t(count);
            throw StreamEnds();
        }
        rans::decode(source, lookup, scale_classes, int64_t(count), symbols, threads);
        if (source.dry()) throw StreamEnds();
    }
    Array<int64_t> takeEscaped(size_t rare) {
        Array<uint8_t> sizes(rare);
        need(int64_t(rare) * kWidthBits);
        for (size_t i = 0; i < rare; ++i) sizes[i] = uint8_t(std::min<uint32_t>(bitsAt(bit, kWidthBits), kMaxWidth));
        need(std::accumulate(sizes.data(), sizes.data() + rare, int64_t(0)));
        Array<int64_t> escaped(rare);
        for (size_t i = 0; i < rare; ++i) escaped[i] = int64_t(bitsAt(bit, sizes[i])) - 1;
        return escaped;
    }
    // Makes sure of so many bits.
    void need(int64_t count) {
        if (bit + count <= bit_end) return;
        bit += count;
        throw StreamEnds();
    }
    // So many bits at `at`, which is moved on.
    uint32_t bitsAt(int64_t& at, int width) const {
        const uint8_t* from = bits + (at >> 3);
        const uint32_t all = rans::load16(from) | rans::load16(from + 2) << 16;
        const uint32_t value = (all >> (at & 7)) & ((1u << width) - 1);
        at += width;
        return value;
    }
    static constexpr int kMaxWidth = 24;
};

// Where the layers of a component come from: number of the stream of each.
struct LayerStreams {
    std::vector<Stream>& streams;
    std::vector<int> of_layer;

    Stream& operator[](int layer) const { return streams[size_t(of_layer[size_t(layer)])]; }
};

} // namespace nvdb
