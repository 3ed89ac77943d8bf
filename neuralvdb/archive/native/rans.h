// The fast twin of archive/rans.py: symbols to words and back, on plain arrays; there every step is explained. For all compiled
// modules that code symbols: rans.cc is its face for Python. Callers check classes, symbols and lengths.
#pragma once

#include "../../nets/native/parallel.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

namespace nvdb {
namespace rans {

constexpr int kProbBits = 12, kMaxLanes = 32;
constexpr int64_t kMaxSegments = 4096;
constexpr uint32_t kSlots = 1u << kProbBits, kLow = 1u << 16;
constexpr int64_t kBlock = 64;        // symbols decoded between two checks for the end of the words
constexpr int64_t kWorthwhile = 1 << 13;  // symbols that repay another thread

// Threads worth using for a number of symbols.
inline int64_t useful(int64_t threads, int64_t symbols) { return std::min(threads, 1 + symbols / kWorthwhile); }

// Throws invalid_argument, a ValueError in Python, where `fits` is not true.
inline void require(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(what);
}

inline uint32_t load16(const uint8_t* p) { return uint32_t(p[0]) | uint32_t(p[1]) << 8; }

// A symbol of a class, ready to be encoded. For x < freq * 2^20 (what renormalisation leaves) x * reciprocal stays
// under 2^64 and x * reciprocal >> 44 is exactly x / freq: the error, x * (reciprocal * freq - 2^44), is under 2^44.
struct Code {
    uint64_t reciprocal;  // ceil(2^44 / freq)
    uint16_t freq, start;
};

// Codes of frequencies (K, A).
inline std::vector<Code> makeCodes(const uint16_t* freq, size_t K, size_t A) {
    std::vector<Code> codes(K * A);
    for (size_t k = 0; k < K; ++k) {
        uint32_t start = 0;
        for (size_t a = 0; a < A; ++a) {
            const uint32_t f = freq[k * A + a];
            codes[k * A + a] = {f ? ((uint64_t(1) << 44) + f - 1) / f : 0, uint16_t(f), uint16_t(start)};
            start += f;
        }
    }
    return codes;
}

// Symbols of several batches, one behind the other, to be coded in segments.
struct Batches {
    const uint8_t *classes, *symbols;
    const int64_t* ends;
    int64_t count, segments;

    int64_t begin(int64_t batch) const { return batch ? ends[batch - 1] : 0; }
    int64_t cut(int64_t batch, int64_t segment) const {
        return begin(batch) + segment * (ends[batch] - begin(batch)) / segments;
    }
    int64_t length(int64_t segment) const {
        int64_t sum = 0;
        for (int64_t b = 0; b < count; ++b) sum += cut(b, segment + 1) - cut(b, segment);
        return sum;
    }
};

// Bytes that a thread takes without exceptions: null where there is no memory for them. They come from malloc, since GCC's
// new (std::nothrow) throws and catches within.
struct Bytes {
    struct Free {
        void operator()(uint8_t* data) const { std::free(data); }
    };
    std::unique_ptr<uint8_t, Free> data;
    size_t size = 0;

    Bytes() = default;
    explicit Bytes(size_t size)
        : data(static_cast<uint8_t*>(std::malloc(std::max<size_t>(size, 1)))), size(size) {}  // malloc(0) may give null
};

inline bool isLanes(int64_t lanes) { return lanes >= 1 && lanes <= kMaxLanes && (lanes & (lanes - 1)) == 0; }

// Codes one segment backwards; its words are returned, null without memory; its final states go to `states`.
inline Bytes encodeSegment(const Batches& batches, int64_t segment, const std::vector<Code>& codes, size_t A, uint32_t* states,
                    size_t lanes) {
    int64_t j = batches.length(segment);
    const Bytes room(size_t(2 * j + 2));  // a symbol takes a word at most; one is written but not kept
    if (!room.data) return Bytes();
    uint8_t* word = room.data.get() + room.size;
    uint32_t s[kMaxLanes];
    std::fill_n(s, kMaxLanes, kLow);
    for (int64_t b = batches.count - 1; b >= 0; --b) {
        const int64_t low = batches.cut(b, segment);
        for (int64_t i = batches.cut(b, segment + 1) - 1; i >= low; --i) {
            const Code& code = codes[batches.classes[i] * A + batches.symbols[i]];
            uint32_t& state = s[--j & int64_t(lanes - 1)];
            uint32_t x = state;
            word[-2] = uint8_t(x);
            word[-1] = uint8_t(x >> 8);
            const bool full = (x >> 20) >= code.freq;
            word -= 2 * full;
            x = full ? x >> 16 : x;
            const uint32_t quotient = uint32_t(x * code.reciprocal >> 44);
            state = x + code.start + quotient * (kSlots - code.freq);
        }
    }
    std::copy_n(s, lanes, states);
    Bytes words(size_t(room.data.get() + room.size - word));
    if (words.data) std::copy_n(word, words.size, words.data.get());
    return words;
}

// What the symbols of all batches became: states (S, L), how many words each segment has, and the words of all as bytes.
struct Coded {
    std::vector<uint32_t> states;
    std::vector<int64_t> sizes;
    std::vector<uint8_t> words;
};

// Codes all batches; A: symbols of the alphabet. Throws bad_alloc.
inline Coded encode(const Batches& batches, const std::vector<Code>& codes, size_t A, int64_t lanes, int64_t threads) {
    const int64_t segments = batches.segments, symbols = batches.count ? batches.ends[batches.count - 1] : 0;
    Coded coded{std::vector<uint32_t>(size_t(segments * lanes)), std::vector<int64_t>(size_t(segments)), {}};
    std::vector<Bytes> parts{size_t(segments)};
    parallelFor(segments, useful(threads, symbols), [&](int64_t g) {
        parts[g] = encodeSegment(batches, g, codes, A, &coded.states[g * lanes], size_t(lanes));
        coded.sizes[g] = int64_t(parts[g].size / 2);
    });
    for (const Bytes& part : parts) {
        if (!part.data) throw std::bad_alloc();
        coded.words.insert(coded.words.end(), part.data.get(), part.data.get() + part.size);
    }
    return coded;
}

// Where a segment stands between batches.
struct Cursor {
    uint32_t* states;
    int64_t *at, end, *seen;  // next word, end of the words, symbols so far
};

// What decoding looks up: the symbol of each slot, (K, 4096), and of each symbol the frequency - 1 and the start << 12, (K, A).
// Of two symbols the slots are not looked at: the second one begins at its start.
struct Lookup {
    const uint8_t* symbols;
    const uint32_t* codes;
    size_t alphabet;
};

// The symbol of a slot, and what a state's upper bits are multiplied by and what is added.
struct Step {
    uint32_t symbol, freq, more;
};

template<bool Bits>
inline Step stepOf(const Lookup& lookup, size_t row, uint32_t slot) {
    if (Bits) {
        const uint32_t code = lookup.codes[2 * row + 1], start = code >> kProbBits;
        const bool bit = slot >= start;
        return {bit, bit ? (code & (kSlots - 1)) + 1 : start, bit ? slot - start : slot};
    }
    const uint32_t symbol = lookup.symbols[row << kProbBits | slot];
    const uint32_t code = lookup.codes[row * lookup.alphabet + symbol];
    return {symbol, (code & (kSlots - 1)) + 1, slot - (code >> kProbBits)};
}

// Decodes n symbols of one segment; stops with at > end where the words run out, having read kBlock words more at most.
template<int Lanes, bool Bits>
void decodePiece(const Lookup& lookup, const uint8_t* classes, const uint8_t* words, Cursor cursor, uint8_t* out, int64_t n) {
    uint32_t s[Lanes];
    std::copy_n(cursor.states, Lanes, s);
    const uint8_t *word = words + 2 * *cursor.at, *end = words + 2 * cursor.end;
    size_t lane = size_t(*cursor.seen);
    for (int64_t i = 0; i < n && word <= end;) {
        const int64_t stop = std::min(n, i + kBlock);
        for (; i < stop; ++i) {
            uint32_t& state = s[lane++ % Lanes];
            uint32_t x = state;
            const Step step = stepOf<Bits>(lookup, classes[i], x & (kSlots - 1));
            out[i] = uint8_t(step.symbol);
            x = step.freq * (x >> kProbBits) + step.more;
            const uint32_t refilled = x << 16 | load16(word);
            const bool empty = x < kLow;
            word += 2 * empty;
            state = empty ? refilled : x;
        }
    }
    std::copy_n(s, Lanes, cursor.states);
    *cursor.at = (word - words) / 2;
    *cursor.seen = int64_t(lane);
}

using DecodePiece = void (*)(const Lookup&, const uint8_t*, const uint8_t*, Cursor, uint8_t*, int64_t);

template<bool Bits>
DecodePiece decoderOf(size_t lanes) {
    switch (lanes) {
        case 1: return decodePiece<1, Bits>;
        case 2: return decodePiece<2, Bits>;
        case 4: return decodePiece<4, Bits>;
        case 8: return decodePiece<8, Bits>;
        case 16: return decodePiece<16, Bits>;
        case 32: return decodePiece<32, Bits>;
        default: throw std::invalid_argument("lanes are 1, 2, 4, 8, 16 or 32");
    }
}

// Where decoding stands: states (S, L), the next word and the symbols so far of each segment, where its words end. Words are
// padded by kBlock and more; each at is at most kBlock beyond its end.
struct Source {
    uint32_t* states;
    const uint8_t* words;
    int64_t* at;
    const int64_t* ends;
    int64_t* seen;
    int64_t segments, lanes;

    // Throws invalid_argument where it points beyond `bytes` of words.
    void check(int64_t bytes) const {
        for (int64_t g = 0; g < segments; ++g) {
            require(at[g] >= 0 && ends[g] >= 0 && seen[g] >= 0 && at[g] - kBlock <= ends[g], "a segment is nowhere");
            require(ends[g] + kBlock <= bytes / 2, "words are not padded");
        }
    }

    // Whether the words of a segment ran out.
    bool dry() const {
        bool any = false;
        for (int64_t g = 0; g < segments; ++g) any |= at[g] > ends[g];
        return any;
    }
};

// The next n symbols, of classes below K. Where there is no segment, or words ran out, they mean nothing.
inline void decode(const Source& source, const Lookup& lookup, const uint8_t* classes, int64_t n, uint8_t* out,
                   int64_t threads) {
    const DecodePiece piece = (lookup.alphabet == 2 ? decoderOf<true> : decoderOf<false>)(size_t(source.lanes));
    const int64_t segments = source.segments;
    parallelFor(segments, useful(threads, n), [&](int64_t g) {
        const int64_t low = g * n / segments, high = (g + 1) * n / segments;
        if (low == high) return;
        const Cursor cursor{source.states + g * source.lanes, source.at + g, source.ends[g], source.seen + g};
        piece(lookup, classes + low, source.words, cursor, out + low, high - low);
    });
}

}  // namespace rans
}  // namespace nvdb
