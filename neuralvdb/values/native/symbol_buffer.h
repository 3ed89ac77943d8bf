// Twin of values/lattice/residual.py (SymbolBuffer and split_residuals): residuals counted, kept in few bytes and split.
#pragma once

#include "../../nets/native/parallel.h"
#include "pool.h"
#include "residual.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace nvdb {

constexpr size_t kPiece = 1 << 15; // residuals that threads take at a time

// Residuals of any type, and their classes.
template<typename T>
struct ResidualsView {
    const T* residuals;
    const uint8_t* scale_classes;
    size_t count;
};

// Residuals `first` to `last` of array or batch number `from`.
struct Piece {
    size_t from, first, last;
};

inline void cutInPieces(size_t from, size_t first, size_t last, std::vector<Piece>& to) {
    for (; first < last; first += kPiece) to.push_back({from, first, std::min(first + kPiece, last)});
}

// Calls job(piece) for all of them.
template<typename Job>
inline void forPieces(const std::vector<Piece>& pieces, size_t threads, const Job& job) {
    parallelFor(int64_t(pieces.size()), int64_t(threads), [&](int64_t i) { job(size_t(i), pieces[size_t(i)]); });
}

// Arrays that follow each other.
struct ManyResiduals {
    std::vector<ResidualsView<int32_t>> arrays;
    std::vector<size_t> begins; // of each among all
    std::vector<Piece> pieces;
    size_t count = 0;

    void add(const ResidualsView<int32_t>& array) {
        cutInPieces(arrays.size(), 0, array.count, pieces);
        arrays.push_back(array);
        begins.push_back(count);
        count += array.count;
    }
};

// Adds to `counts`, (64, 64), how often each symbol occurs in each class; gives bits that hold the size of any residual.
inline uint32_t countSymbols(const ManyResiduals& all, size_t threads, int64_t* counts) {
    std::mutex guard;
    uint32_t size = 0;
    forPieces(all.pieces, threads, [&](size_t, const Piece& piece) {
        const auto& [residuals, scale_classes, count] = all.arrays[piece.from];
        uint32_t of_piece[kScaleClasses * kSymbols] = {}, bits = 0;
        for (size_t i = piece.first; i < piece.last; ++i) {
            bits |= uint32_t(residuals[i] ^ (residuals[i] >> 31));
            ++of_piece[size_t(scale_classes[i]) * kSymbols + size_t(symbolOf(residuals[i], scale_classes[i]))];
        }
        const std::lock_guard<std::mutex> lock(guard);
        size |= bits;
        for (size_t i = 0; i < kScaleClasses * kSymbols; ++i) counts[i] += of_piece[i];
    });
    return size;
}

// All residuals and classes, one behind the other.
template<typename T>
inline void joinAll(const ManyResiduals& all, size_t threads, T* residuals, uint8_t* scale_classes) {
    forPieces(all.pieces, threads, [&](size_t, const Piece& piece) {
        const ResidualsView<int32_t>& from = all.arrays[piece.from];
        const size_t begin = all.begins[piece.from];
        for (size_t i = piece.first; i < piece.last; ++i) residuals[begin + i] = T(from.residuals[i]);
        std::copy(from.scale_classes + piece.first, from.scale_classes + piece.last, scale_classes + begin + piece.first);
    });
}

// Numbers with their widths, in the order in which they are written.
struct RawBits {
    Array<uint32_t> values;
    Array<uint8_t> widths;

    explicit RawBits(size_t count): values(count), widths(count) {}

    void put(int64_t at, uint32_t value, int width) {
        values[size_t(at)] = value;
        widths[size_t(at)] = uint8_t(width);
    }
};

// Gives batches, which end at `ends`, their symbols, and lists their raw bits: of each batch the low bits of residuals, the
// sizes of what escapes, and that itself, plus one.
template<typename T>
class Splitter {
public:
    // coded: (64, 64), which symbols have a frequency.
    Splitter(const ResidualsView<T>& all, const int64_t* ends, size_t batches, const uint8_t* coded, size_t threads)
        : all_(all), threads_(threads)
    {
        for (int i = 0; i < kScaleClasses * kSymbols; ++i) {
            const int symbol = i % kSymbols;
            written_[i] = uint8_t(symbol < kEscape && coded[i] ? symbol : kEscape);
        }
        size_t first = 0;
        for (size_t batch = 0; batch < batches; first = size_t(ends[batch++]))
            cutInPieces(batch, first, size_t(ends[batch]), pieces_);
        begins_.resize(pieces_.size());
    }

    RawBits split(uint8_t* symbols) {
        forPieces(pieces_, threads_, [&](size_t number, const Piece& piece) { begins_[number] = takeSymbols(piece, symbols); });
        const int64_t count = place();
        RawBits bits{size_t(count)};
        forPieces(pieces_, threads_, [&](size_t number, const Piece& piece) {
            if (begins_[number].any) putBits(piece, begins_[number], symbols, bits);
        });
        return bits;
    }

private:
    // How many low bits and escaped values a piece has; then where they, and the sizes of these, begin.
    struct Begins {
        int64_t low, escaped, sizes;
        bool any;
    };

    Begins takeSymbols(const Piece& piece, uint8_t* symbols) const {
        int64_t low = 0, escaped = 0;
        for (size_t i = piece.first; i < piece.last; ++i) {
            const uint8_t scale_class = all_.scale_classes[i];
            symbols[i] = written_[size_t(scale_class) * kSymbols + size_t(symbolOf(all_.residuals[i], scale_class))];
            low += scale_class >= kFirstWithRaw;
            escaped += symbols[i] == kEscape;
        }
        return {low, escaped, 0, low || escaped};
    }

    // Makes begins of numbers; gives that of all.
    int64_t place() {
        int64_t at = 0;
        for (size_t first = 0, end; first < pieces_.size(); first = end) {
            const auto place = [&](int64_t Begins::*part) {
                for (size_t i = first; i < end; ++i) at += std::exchange(begins_[i].*part, at);
            };
            for (end = first; end < pieces_.size() && pieces_[end].from == pieces_[first].from;) ++end;
            for (size_t i = first; i < end; ++i) begins_[i].sizes = begins_[i].escaped;
            place(&Begins::low);
            place(&Begins::sizes);
            place(&Begins::escaped);
        }
        return at;
    }

    void putBits(const Piece& piece, Begins at, const uint8_t* symbols, RawBits& bits) const {
        for (size_t i = piece.first, end; i < piece.last; i = end) {
            end = std::min(piece.last, i + 32);
            if (arePlain(symbols + i, all_.scale_classes + i, end - i)) continue;
            for (size_t k = i; k < end; ++k) putBitsOf(k, symbols[k] == kEscape, at, bits);
        }
    }

    void putBitsOf(size_t i, bool escapes, Begins& at, RawBits& bits) const {
        const int width = rawWidth(all_.scale_classes[i]);
        const int32_t residual = all_.residuals[i];
        if (width) bits.put(at.low++, uint32_t(residual) & ((uint32_t(1) << width) - 1), width);
        if (!escapes) return;
        const auto value = uint32_t(toSymbol(residual >> width) + 1);
        const int size = 32 - __builtin_clz(value);
        bits.put(at.sizes++, uint32_t(size), kWidthBits);
        bits.put(at.escaped++, value, size);
    }

    const ResidualsView<T> all_;
    const size_t threads_;
    uint8_t written_[kScaleClasses * kSymbols]; // symbols as they are written
    std::vector<Piece> pieces_;
    std::vector<Begins> begins_;
};

} // namespace nvdb
