// The fast twin of rans.py (rans.h) as Python calls it: the same arrays in, the same bytes out. Private to rans.py, which has
// checked all arguments; lengths and limits are checked here too, once per call. Each function releases the GIL; none
// allocates more than its results, except encode(): 2 bytes per symbol of one segment for each thread.
#include "rans.h"

#include "../../nets/native/checks.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace nb = nanobind;
using nvdb::allBelow;
using namespace nvdb::rans;

namespace {

template<typename T, int Dims> using Array = nb::ndarray<T, nb::ndim<Dims>, nb::c_contig, nb::device::cpu>;

constexpr int kMaxWidth = 24;

uint32_t load32(const uint8_t* p) { return load16(p) | load16(p + 2) << 16; }

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

// (states (S, L) uint32, number of words of each segment (S,) int64, words of all segments as bytes)
std::tuple<Result<uint32_t, 2>, Result<int64_t>, Result<uint8_t>> encodeBatches(
    Array<const uint16_t, 2> freq, Array<const uint8_t, 1> classes, Array<const uint8_t, 1> symbols,
    Array<const int64_t, 1> ends, int64_t segments, int64_t lanes, int64_t threads) {
    requireSymbols(classes, symbols, freq.shape(0), freq.shape(1));
    require(segments >= 0 && segments <= kMaxSegments && isLanes(lanes), "segments or lanes are impossible");
    int64_t end = 0;
    for (size_t b = 0; b < ends.size(); end = ends.data()[b++]) require(end <= ends.data()[b], "ends of batches go back");
    require(end == int64_t(symbols.size()), "batches do not end with the symbols");
    Coded coded;
    {
        nb::gil_scoped_release unlocked;
        const std::vector<Code> codes = makeCodes(freq.data(), freq.shape(0), freq.shape(1));
        const Batches batches{classes.data(), symbols.data(), ends.data(), int64_t(ends.size()), segments};
        coded = encode(batches, codes, freq.shape(1), lanes, threads);
    }
    const size_t bytes = coded.words.size();
    return std::make_tuple(toArray<uint32_t, 2>(std::move(coded.states), {size_t(segments), size_t(lanes)}),
                           toArray(std::move(coded.sizes), {size_t(segments)}), toArray(std::move(coded.words), {bytes}));
}

// Fills out (n,) uint8 and moves states (S, L), at (S,) and seen (S,) on.
void decodeBatch(Array<const uint8_t, 2> symbols, Array<const uint32_t, 2> codes, Array<const uint8_t, 1> classes,
                 Array<uint32_t, 2> states, Array<const uint8_t, 1> words, Array<int64_t, 1> at,
                 Array<const int64_t, 1> ends, Array<int64_t, 1> seen, Array<uint8_t, 1> out, int64_t threads) {
    nb::gil_scoped_release unlocked;
    const int64_t n = int64_t(classes.size()), segments = int64_t(states.shape(0));
    require(segments > 0 || n == 0, "symbols without a segment");
    require(out.size() == classes.size() && at.size() == states.shape(0) && ends.size() == at.size() &&
                seen.size() == at.size() && symbols.shape(0) == codes.shape(0) && symbols.shape(1) == kSlots,
            "lengths differ");
    require(allBelow(classes.data(), classes.size(), int64_t(codes.shape(0))), "a class has no table");
    require(allBelow(symbols.data(), symbols.size(), int64_t(codes.shape(1))), "a slot has no symbol");
    const Source source{states.data(), words.data(), at.data(),  ends.data(),
                        seen.data(),   segments,     int64_t(states.shape(1))};
    source.check(int64_t(words.size()));
    decode(source, {symbols.data(), codes.data(), codes.shape(1)}, classes.data(), n, out.data(), threads);
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
    m.def("encode", &encodeBatches);
    m.def("decode", &decodeBatch, nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg(), nb::arg().noconvert(),
          nb::arg(), nb::arg().noconvert(), nb::arg().noconvert(), nb::arg());
    m.def("pack_bits", &packBits);
    m.def("unpack_bits", &unpackBits, nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
}
