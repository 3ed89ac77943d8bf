// The fast twin of topology/inputs.py and nets/network.py: the classes of the cells of a phase. Same integers, cell for cell;
// see those modules for what is computed and why. Here a state is 0, 1 or 2 rather than -1, 0 or 1, so that four in a row are
// one of 81 patterns, whose weights are summed once for each network. The first layer is exact in 16 bits.
#pragma once

#include "../../nets/native/simd.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nvdb {

constexpr int kOutputs = 2, kOne = 16, kClasses = 64, kLogitShift = 2, kLevels = 4;
constexpr int kMaxInputs = 256; // times 127 stays within 16 bits
constexpr int kGroup = 16, kMaxGroups = 2, kMaxFirst = kMaxGroups * kGroup - kOutputs;
constexpr int kReach = 2, kLine = 8 + 2 * kReach, kPlane = kLine * kLine; // of blocks
constexpr int kPatterns = 81;

constexpr int kHalf = kGroup / 2;

using Shorts = Vector<int16_t, kGroup>;
using Halves = Vector<int16_t, kHalf>;
using Ints = Vector<int32_t, kHalf>;
using Floats = Vector<float, kHalf>;

// States of one level: rows of n^3.
struct States {
    const uint8_t* data = nullptr;
    int n = 0;
};

// Which block a word is taken from.
enum Source { kAbove, kSame, kReference, kSources };

// A network in the order in which it is used. Units of the first layer and, behind them, outputs of the linear path, in
// groups. Words are four states in a row, at distances in the blocks of the sources, which `ends` separates; `sums` is
// (words, patterns, groups). `bias` is (levels, units), the second layer (units, group).
struct Net {
    int first = 0, groups = 0, ends[kSources] = {};
    std::vector<int> words;
    std::vector<Shorts> sums;
    std::vector<int32_t> bias;
    std::vector<float> w2;
    float b2[kGroup] = {}, w3[kOutputs][kGroup] = {};
    int32_t b3[kOutputs] = {};
    int shifts[6] = {};
};

// The number of the pattern at `at`.
inline uint32_t pattern(const uint8_t* at) {
    const uint32_t word = uint32_t(at[0]) | uint32_t(at[1]) << 8 | uint32_t(at[2]) << 16 | uint32_t(at[3]) << 24;
    return (word * 0x1B090301u) >> 24;
}

// The states of a brick and `pad` cells around it, beyond the next bricks clamped.
class Block {
public:
    explicit Block(const States& states) : states_(states) {}

    template<int Pad> void load(const int32_t* near) {
        switch (states_.n) {
            case 8: return loadLines<8, Pad>(near);
            case 4: return loadLines<4, Pad>(near);
            case 2: return loadLines<2, Pad>(near);
            default: return loadCells(near);
        }
    }

    const uint8_t* at(int x, int y, int z) const { return cells_ + (x + kReach) * kPlane + (y + kReach) * kLine + z + kReach; }

private:
    template<int N, int Pad> void loadLines(const int32_t* near) {
        constexpr int Size = N * N * N, First[3] = {N - Pad, 0, 0}, Count[3] = {Pad, N, Pad}, To[3] = {kReach - Pad, kReach, kReach + N};
        for (int i = 0; i < 3; ++i) {
            for (int j = 0; j < 3; ++j) {
                const int32_t* bricks = near + i * 9 + j * 3;
                const uint8_t* from[3];
                for (int k = 0; k < 3; ++k)
                    from[k] = states_.data + int64_t(bricks[k]) * Size + First[i] * N * N + First[j] * N + First[k];
                uint8_t* to = cells_ + To[i] * kPlane + To[j] * kLine + kReach;
                for (int x = 0; x < Count[i]; ++x) {
                    for (int y = 0; y < Count[j]; ++y) {
                        const int at = (x * N + y) * N;
                        uint8_t* line = to + x * kPlane + y * kLine;
                        std::memcpy(line - Pad, from[0] + at, Pad);
                        std::memcpy(line, from[1] + at, N);
                        std::memcpy(line + N, from[2] + at, Pad);
                    }
                }
            }
        }
    }

    // Of bricks of one cell.
    void loadCells(const int32_t* near) {
        constexpr int Brick[5] = {0, 0, 1, 2, 2};
        for (int x = 0; x < 5; ++x)
            for (int y = 0; y < 5; ++y)
                for (int z = 0; z < 5; ++z)
                    cells_[x * kPlane + y * kLine + z] = states_.data[near[Brick[x] * 9 + Brick[y] * 3 + Brick[z]]];
    }

    States states_;
    uint8_t cells_[kLine * kPlane + 8] = {};
};

// What is known when a phase is coded; `reference` may have no data.
struct View {
    States states, above, reference;
    const int32_t* near;
    int level;
};

template<typename T, typename V>
inline T loaded(const V* from) {
    T to;
    std::memcpy(&to, from, sizeof(to));
    return to;
}

inline Floats activation(Ints sum, int shift) {
    sum >>= shift;
    sum = sum < 0 ? Ints{} : sum;
    sum = sum > 255 ? Ints{} + 255 : sum;
    return NVDB_CONVERT(sum, Floats);
}

constexpr int kAtOnce = 4; // cells that share loads of weights

template<int Groups> struct Sums {
    Shorts sum[kAtOnce][Groups];
};

// The rest of the network; `sums` holds the first layer and the linear path, `bias` is that of the level. classes: two for each
// cell.
template<int Groups>
inline void finish(const Net& net, const int32_t* bias, const Sums<Groups>& sums, uint8_t (*classes)[kOutputs]) {
    alignas(64) int32_t units[kAtOnce][Groups * kGroup];
    alignas(64) float h1[kAtOnce][Groups * kGroup];
    for (int c = 0; c < kAtOnce; ++c) {
        const auto* halves = reinterpret_cast<const char*>(sums.sum[c]);
        for (int h = 0; h < 2 * Groups; ++h) {
            const Ints whole = NVDB_CONVERT(loaded<Halves>(halves + h * sizeof(Halves)), Ints) * kOne +
                loaded<Ints>(bias + h * kHalf);
            std::memcpy(units[c] + h * kHalf, &whole, sizeof(whole));
            const Floats h1s = activation(whole, net.shifts[0]);
            std::memcpy(h1[c] + h * kHalf, &h1s, sizeof(h1s));
        }
    }
    Floats low[kAtOnce], high[kAtOnce];
    for (int c = 0; c < kAtOnce; ++c) {
        low[c] = loaded<Floats>(net.b2);
        high[c] = loaded<Floats>(net.b2 + kHalf);
    }
    const float* weights = net.w2.data();
    for (int j = 0; j < Groups * kGroup - kOutputs; ++j, weights += kGroup) {
        const Floats first = loaded<Floats>(weights), second = loaded<Floats>(weights + kHalf);
        for (int c = 0; c < kAtOnce; ++c) {
            low[c] += first * h1[c][j];
            high[c] += second * h1[c][j];
        }
    }
    for (int c = 0; c < kAtOnce; ++c) {
        const Floats first = activation(NVDB_CONVERT(low[c], Ints), net.shifts[1]);
        const Floats second = activation(NVDB_CONVERT(high[c], Ints), net.shifts[1]);
        for (int r = 0; r < kOutputs; ++r) {
            const Floats products = first * loaded<Floats>(net.w3[r]) + second * loaded<Floats>(net.w3[r] + kHalf);
            const Ints terms = NVDB_CONVERT(products, Ints);
            int32_t last = net.b3[r];
            for (int j = 0; j < kHalf; ++j) last += terms[j];
            const int logit = (last >> net.shifts[2 + r]) + (units[c][net.first + r] >> net.shifts[4 + r]);
            classes[c][r] = uint8_t(std::clamp((logit >> kLogitShift) + kClasses / 2, 0, kClasses - 1));
        }
    }
}

// Adds to sum the weights of a source's words around `at`.
template<int Groups>
inline void add(const Net& net, Source source, const uint8_t* at, Shorts* sum) {
    const int first = source ? net.ends[source - 1] : 0;
    const Shorts* sums = net.sums.data() + size_t(first) * kPatterns * Groups;
    for (int i = first; i < net.ends[source]; ++i, sums += kPatterns * Groups) {
        const Shorts* of = sums + pattern(at + net.words[i]) * Groups;
        for (int g = 0; g < Groups; ++g) sum[g] += of[g];
    }
}

// Classes of the cells `first` to `last`, which are sorted by brick: two arrays of `count`, for the first and second bits.
template<int Groups>
inline void classifyCells(const View& view, const Net& net, const int32_t* bricks, const int16_t* cells, size_t first,
    size_t last, size_t count, uint8_t* classes)
{
    Block same(view.states), above(view.above), other(view.reference.data ? view.reference : view.above);
    const int32_t* bias = net.bias.data() + view.level * Groups * kGroup;
    const int log2 = kLevels - 1 - view.level, up = log2 > 0, low = view.states.n - 1;
    int64_t loaded = -1;
    Sums<Groups> sums{};
    uint8_t both[kAtOnce][kOutputs];
    for (size_t i = first; i < last; i += kAtOnce) {
        const size_t here = std::min(last - i, size_t(kAtOnce));
        for (size_t c = 0; c < here; ++c) {
            if (bricks[i + c] != loaded) {
                loaded = bricks[i + c];
                above.load<1>(view.near + 27 * loaded);
                same.load<kReach>(view.near + 27 * loaded);
                if (view.reference.data) other.load<1>(view.near + 27 * loaded);
            }
            const int cell = cells[i + c], x = cell >> 2 * log2, y = cell >> log2 & low, z = cell & low;
            Shorts sum[Groups] = {};
            add<Groups>(net, kAbove, above.at(x >> up, y >> up, z >> up), sum);
            add<Groups>(net, kSame, same.at(x, y, z), sum);
            if (view.reference.data) add<Groups>(net, kReference, other.at(x, y, z), sum);
            for (int g = 0; g < Groups; ++g) sums.sum[c][g] = sum[g];
        }
        finish<Groups>(net, bias, sums, both);
        for (size_t c = 0; c < here; ++c) {
            classes[i + c] = both[c][0];
            classes[count + i + c] = both[c][1];
        }
    }
}

inline void classifyPlain(const View& view, const Net& net, const int32_t* bricks, const int16_t* cells, size_t first,
    size_t last, size_t count, uint8_t* classes)
{
    if (net.groups == 1) return classifyCells<1>(view, net, bricks, cells, first, last, count, classes);
    classifyCells<2>(view, net, bricks, cells, first, last, count, classes);
}

#ifdef NVDB_AVX2
NVDB_AVX2 inline void classifyFast(const View& view, const Net& net, const int32_t* bricks, const int16_t* cells, size_t first,
    size_t last, size_t count, uint8_t* classes)
{
    classifyPlain(view, net, bricks, cells, first, last, count, classes);
}
#endif

// The same, compiled for this machine where that is worth it.
inline void classifyRange(const View& view, const Net& net, const int32_t* bricks, const int16_t* cells, size_t first,
    size_t last, size_t count, uint8_t* classes)
{
#ifdef NVDB_AVX2
    if (hasAvx2()) return classifyFast(view, net, bricks, cells, first, last, count, classes);
#endif
    classifyPlain(view, net, bricks, cells, first, last, count, classes);
}

} // namespace nvdb
