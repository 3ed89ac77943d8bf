// The fast twin of rans.py: the same arrays in, the same bytes out; there every step is explained. Private to rans.py, which
// has checked all arguments; lengths and limits are checked here too, once per call. Each function releases the GIL; none
// allocates more than its results, except encode(): 2 bytes per symbol of one segment for each thread.
#include "../../nets/native/checks.h"
#include "../../nets/native/parallel.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace nb = nanobind;
using nvdb::allBelow;
using nvdb::parallelFor;

namespace {

template<typename T, int Dims> using Array = nb::ndarray<T, nb::ndim<Dims>, nb::c_contig, nb::device::cpu>;

constexpr int kProbBits = 12, kMaxLanes = 32, kMaxWidth = 24;
constexpr int64_t kMaxSegments = 4096;
constexpr uint32_t kSlots = 1u << kProbBits, kLow = 1u << 16;
constexpr int64_t kBlock = 64;        // symbols decoded between two checks for the end of the words
constexpr int64_t kWorthwhile = 1 << 16;  // symbols that repay the start of a thread

// Threads worth using for a number of symbols.
int64_t useful(int64_t threads, int64_t symbols) { return std::min(threads, 1 + symbols / kWorthwhile); }

uint32_t load16(const uint8_t* p) { return uint32_t(p[0]) | uint32_t(p[1]) << 8; }
uint32_t load32(const uint8_t* p) { return load16(p) | load16(p + 2) << 16; }

// Raises ValueError where `fits` is not true.
void require(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(what);
}

template<typename T, int Dims = 1> using Result = nb::ndarray<nb::numpy, T, nb::ndim<Dims>>;

template<typename T, int Dims = 1>
Result<T, Dims> toArray(std::vector<T>&& values, std::initializer_list<size_t> shape) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return {kept->data(), shape.size(), shape.begin(), owner};
}

// There is a class below K for each symbol below A.
void requireSymbols(const Array<const uint8_t, 1>& classes, const Array<const uint8_t, 1>& symbols, size_t K, size_t A) {
    require(classes.size() == symbols.size(), "classes and symbols have different lengths");
    require(allBelow(classes.data(), classes.size(), int64_t(K)) && allBelow(symbols.data(), symbols.size(), int64_t(A)),
            "a class or symbol has no frequency");
}

// Adds to counts (K, A) how often each class and symbol occur together.
void count(Array<const uint8_t, 1> classes, Array<const uint8_t, 1> symbols, Array<int64_t, 2> counts) {
    nb::gil_scoped_release unlocked;
    requireSymbols(classes, symbols, counts.shape(0), counts.shape(1));
    const uint8_t *c = classes.data(), *s = symbols.data();
    const size_t A = counts.shape(1), cells = counts.size(), n = symbols.size();
    std::vector<int64_t> twins(2 * cells);  // two tables: runs of one symbol would wait for each other in one
    for (size_t i = 0; i + 1 < n; i += 2) {
        ++twins[c[i] * A + s[i]];
        ++twins[cells + c[i + 1] * A + s[i + 1]];
    }
    if (n % 2) ++twins[c[n - 1] * A + s[n - 1]];
    for (size_t i = 0; i < cells; ++i) counts.data()[i] += twins[i] + twins[cells + i];
}

// A symbol of a class, ready to be encoded. For x < freq * 2^20 (what renormalisation leaves) x * reciprocal stays
// under 2^64 and x * reciprocal >> 44 is exactly x / freq: the error, x * (reciprocal * freq - 2^44), is under 2^44.
struct Code {
    uint64_t reciprocal;  // ceil(2^44 / freq)
    uint16_t freq, start;
};

std::vector<Code> makeCodes(const Array<const uint16_t, 2>& freq) {
    const size_t K = freq.shape(0), A = freq.shape(1);
    std::vector<Code> codes(K * A);
    for (size_t k = 0; k < K; ++k) {
        uint32_t start = 0;
        for (size_t a = 0; a < A; ++a) {
            const uint32_t f = freq.data()[k * A + a];
            codes[k * A + a] = {f ? ((uint64_t(1) << 44) + f - 1) / f : 0, uint16_t(f), uint16_t(start)};
            start += f;
        }
    }
    return codes;
}

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

// Bytes that a thread takes without exceptions: null where there is no memory for them.
struct Bytes {
    std::unique_ptr<uint8_t[]> data;
    size_t size = 0;

    Bytes() = default;
    explicit Bytes(size_t size) : data(new (std::nothrow) uint8_t[size]), size(size) {}
};

bool isLanes(int64_t lanes) { return lanes >= 1 && lanes <= kMaxLanes && (lanes & (lanes - 1)) == 0; }

// Codes one segment backwards; its words are returned, null without memory; its final states go to `states`.
Bytes encodeSegment(const Batches& batches, int64_t segment, const std::vector<Code>& codes, size_t A, uint32_t* states,
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

// (states (S, L) uint32, number of words of each segment (S,) int64, words of all segments as bytes)
std::tuple<Result<uint32_t, 2>, Result<int64_t>, Result<uint8_t>> encode(
    Array<const uint16_t, 2> freq, Array<const uint8_t, 1> classes, Array<const uint8_t, 1> symbols,
    Array<const int64_t, 1> ends, int64_t segments, int64_t lanes, int64_t threads) {
    requireSymbols(classes, symbols, freq.shape(0), freq.shape(1));
    require(segments >= 0 && segments <= kMaxSegments && isLanes(lanes), "segments or lanes are impossible");
    int64_t end = 0;
    for (size_t b = 0; b < ends.size(); end = ends.data()[b++]) require(end <= ends.data()[b], "ends of batches go back");
    require(end == int64_t(symbols.size()), "batches do not end with the symbols");
    std::vector<uint32_t> states(size_t(segments * lanes));
    std::vector<int64_t> sizes(size_t(segments), 0);
    std::vector<uint8_t> words;
    {
        nb::gil_scoped_release unlocked;
        const std::vector<Code> codes = makeCodes(freq);
        const Batches batches{classes.data(), symbols.data(), ends.data(), int64_t(ends.size()), segments};
        std::vector<Bytes> parts{size_t(segments)};
        parallelFor(segments, useful(threads, int64_t(symbols.size())), [&](int64_t g) {
            parts[g] = encodeSegment(batches, g, codes, freq.shape(1), &states[g * lanes], size_t(lanes));
            sizes[g] = int64_t(parts[g].size / 2);
        });
        for (const Bytes& part : parts) {
            if (!part.data) throw std::bad_alloc();
            words.insert(words.end(), part.data.get(), part.data.get() + part.size);
        }
    }
    const size_t bytes = words.size();
    return std::make_tuple(toArray<uint32_t, 2>(std::move(states), {size_t(segments), size_t(lanes)}),
                          toArray(std::move(sizes), {size_t(segments)}), toArray(std::move(words), {bytes}));
}

// Where a segment stands between batches.
struct Cursor {
    uint32_t* states;
    int64_t *at, end, *seen;  // next word, end of the words, symbols so far
};

// Decodes n symbols of one segment; stops with at > end where the words run out, having read kBlock words more at most.
template<int Lanes>
void decodePiece(const uint32_t* slots, const uint8_t* classes, const uint8_t* words, Cursor cursor, uint8_t* out,
                 int64_t n) {
    uint32_t s[Lanes];
    std::copy_n(cursor.states, Lanes, s);
    const uint8_t *word = words + 2 * *cursor.at, *end = words + 2 * cursor.end;
    size_t lane = size_t(*cursor.seen);
    for (int64_t i = 0; i < n && word <= end;) {
        const int64_t stop = std::min(n, i + kBlock);
        for (; i < stop; ++i) {
            uint32_t& state = s[lane++ % Lanes];
            uint32_t x = state;
            const uint32_t slot = slots[uint32_t(classes[i]) << kProbBits | (x & (kSlots - 1))];
            out[i] = uint8_t(slot);
            x = ((slot >> 8 & (kSlots - 1)) + 1) * (x >> kProbBits) + (slot >> 20);
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

using DecodePiece = void (*)(const uint32_t*, const uint8_t*, const uint8_t*, Cursor, uint8_t*, int64_t);

DecodePiece decoderOf(size_t lanes) {
    switch (lanes) {
        case 1: return decodePiece<1>;
        case 2: return decodePiece<2>;
        case 4: return decodePiece<4>;
        case 8: return decodePiece<8>;
        case 16: return decodePiece<16>;
        case 32: return decodePiece<32>;
        default: throw std::invalid_argument("lanes are 1, 2, 4, 8, 16 or 32");
    }
}

// Fills out (n,) uint8 and moves states (S, L), at (S,) and seen (S,) on.
void decode(Array<const uint32_t, 2> slots, Array<const uint8_t, 1> classes, Array<uint32_t, 2> states,
            Array<const uint8_t, 1> words, Array<int64_t, 1> at, Array<const int64_t, 1> ends, Array<int64_t, 1> seen,
            Array<uint8_t, 1> out, int64_t threads) {
    nb::gil_scoped_release unlocked;
    const int64_t n = int64_t(classes.size()), segments = int64_t(states.shape(0));
    const DecodePiece piece = decoderOf(states.shape(1));
    require(segments > 0 || n == 0, "symbols without a segment");
    require(out.size() == classes.size() && at.size() == states.shape(0) && ends.size() == at.size() &&
                seen.size() == at.size() && slots.shape(1) == kSlots,
            "lengths differ");
    require(allBelow(classes.data(), classes.size(), int64_t(slots.shape(0))), "a class has no table");
    for (int64_t g = 0; g < segments; ++g) {
        const int64_t begin = at.data()[g], end = ends.data()[g];
        require(begin >= 0 && end >= 0 && seen.data()[g] >= 0 && begin - kBlock <= end, "a segment is nowhere");
        require(end + kBlock <= int64_t(words.size() / 2), "words are not padded");
    }
    parallelFor(segments, useful(threads, n), [&](int64_t g) {
        const int64_t low = g * n / segments, high = (g + 1) * n / segments;
        if (low == high) return;
        const Cursor cursor{states.data() + g * int64_t(states.shape(1)), at.data() + g, ends.data()[g],
                            seen.data() + g};
        piece(slots.data(), classes.data() + low, words.data(), cursor, out.data() + low, high - low);
    });
}

// The lowest widths[i] bits of values[i], one after the other, lowest bit first, in bytes.
Result<uint8_t> packBits(Array<const uint32_t, 1> values, Array<const uint8_t, 1> widths) {
    require(values.size() == widths.size(), "values and widths have different lengths");
    std::vector<uint8_t> out;
    {
        nb::gil_scoped_release unlocked;
        uint64_t pending = 0;
        int filled = 0;
        for (size_t i = 0; i < values.size(); ++i) {
            pending |= uint64_t(values.data()[i]) << filled;
            for (filled += widths.data()[i]; filled >= 8; filled -= 8, pending >>= 8) out.push_back(uint8_t(pending));
        }
        if (filled) out.push_back(uint8_t(pending));
    }
    const size_t bytes = out.size();
    return toArray(std::move(out), {bytes});
}

// Fills out (n,) uint32 from the bits that begin at bit `at` of data; 4 bytes may be read beyond the last.
void unpackBits(Array<const uint8_t, 1> data, int64_t at, Array<const uint8_t, 1> widths, Array<uint32_t, 1> out) {
    nb::gil_scoped_release unlocked;
    const int64_t bits_needed = std::accumulate(widths.data(), widths.data() + widths.size(), int64_t(0));
    require(out.size() == widths.size() && allBelow(widths.data(), widths.size(), kMaxWidth + 1), "widths do not fit");
    require(at >= 0 && at <= int64_t(8 * data.size()) - bits_needed - 32, "bits are not there, or not padded");
    for (size_t i = 0; i < widths.size(); ++i) {
        const uint32_t bits = load32(data.data() + (at >> 3)) >> (at & 7);
        out.data()[i] = bits & ((1u << widths.data()[i]) - 1);
        at += widths.data()[i];
    }
}

}  // namespace

NB_MODULE(_rans, m) {
    m.doc() = "The fast twin of neuralvdb.archive.rans; private to it.";
    m.attr("PADDING") = 2 * kBlock;
    m.def("count", &count, nb::arg().noconvert(), nb::arg().noconvert(), nb::arg().noconvert());
    m.def("encode", &encode);
    m.def("decode", &decode, nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg(), nb::arg().noconvert(), nb::arg(),
          nb::arg().noconvert(), nb::arg().noconvert(), nb::arg());
    m.def("pack_bits", &packBits);
    m.def("unpack_bits", &unpackBits, nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
}
