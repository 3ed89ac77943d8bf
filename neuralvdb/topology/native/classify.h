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

// The states of a brick and around it, beyond the next bricks clamped.
class Block {
public:
    explicit Block(const States& states) : states_(states) {
        const int n = states.n;
        for (int i = 0; i < n + 2 * kReach; ++i) {
            const int to = std::clamp(i - kReach, -n, 2 * n - 1) + n;
            brick_[i] = to / n;
            cell_[i] = to % n;
        }
    }

    void load(const int32_t* near) {
        switch (states_.n) {
            case 8: return loadLines<8>(near);
            case 4: return loadLines<4>(near);
            case 2: return loadLines<2>(near);
            default: return loadLines<1>(near);
        }
    }

    const uint8_t* at(int x, int y, int z) const { return cells_ + (x + kReach) * kPlane + (y + kReach) * kLine + z + kReach; }

private:
    template<int N> void loadLines(const int32_t* near) {
        for (int i = 0; i < N + 2 * kReach; ++i) {
            for (int j = 0; j < N + 2 * kReach; ++j) {
                const int32_t* bricks = near + brick_[i] * 9 + brick_[j] * 3;
                const uint8_t* from = states_.data + (cell_[i] * N + cell_[j]) * N;
                const uint8_t *left = from + int64_t(bricks[0]) * (N * N * N), *right = from + int64_t(bricks[2]) * (N * N * N);
                uint8_t* to = cells_ + i * kPlane + j * kLine;
                std::memcpy(to + kReach, from + int64_t(bricks[1]) * (N * N * N), N);
                if (N > 1) {
                    std::memcpy(to, left + N - kReach, kReach);
                    std::memcpy(to + kReach + N, right, kReach);
                } else {
                    to[0] = to[1] = *left;
                    to[3] = to[4] = *right;
                }
            }
        }
    }

    States states_;
    int brick_[kLine], cell_[kLine];
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

// The rest of the network; `sum` holds the first layer and the linear path, `bias` is that of the level.
template<int Groups>
inline void finish(const Net& net, const int32_t* bias, const Shorts* sum, uint8_t* classes) {
    alignas(64) int32_t units[Groups * kGroup];
    alignas(64) float h1[Groups * kGroup], h2[kHalf];
    const auto* halves = reinterpret_cast<const char*>(sum);
    for (int h = 0; h < 2 * Groups; ++h) {
        const Ints whole = NVDB_CONVERT(loaded<Halves>(halves + h * sizeof(Halves)), Ints) * kOne +
            loaded<Ints>(bias + h * kHalf);
        std::memcpy(units + h * kHalf, &whole, sizeof(whole));
        const Floats h1s = activation(whole, net.shifts[0]);
        std::memcpy(h1 + h * kHalf, &h1s, sizeof(h1s));
    }
    Floats low = loaded<Floats>(net.b2), high = loaded<Floats>(net.b2 + kHalf), low2{}, high2{};
    const float* weights = net.w2.data();
    for (int j = 0; j < Groups * kGroup - kOutputs; j += 2, weights += 2 * kGroup) {
        low += loaded<Floats>(weights) * h1[j];
        high += loaded<Floats>(weights + kHalf) * h1[j];
        low2 += loaded<Floats>(weights + kGroup) * h1[j + 1];
        high2 += loaded<Floats>(weights + kGroup + kHalf) * h1[j + 1];
    }
    const Floats first = activation(NVDB_CONVERT(low + low2, Ints), net.shifts[1]);
    const Floats second = activation(NVDB_CONVERT(high + high2, Ints), net.shifts[1]);
    for (int r = 0; r < kOutputs; ++r) {
        const Floats products = first * loaded<Floats>(net.w3[r]) + second * loaded<Floats>(net.w3[r] + kHalf);
        std::memcpy(h2, &products, sizeof(products));
        int32_t last = net.b3[r];
        for (int j = 0; j < kHalf; ++j) last += int32_t(h2[j]);
        const int logit = (last >> net.shifts[2 + r]) + (units[net.first + r] >> net.shifts[4 + r]);
        classes[r] = uint8_t(std::clamp((logit >> kLogitShift) + kClasses / 2, 0, kClasses - 1));
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
    const int n = view.states.n, up = n > 1;
    int64_t loaded = -1;
    for (size_t i = first; i < last; ++i) {
        if (bricks[i] != loaded) {
            loaded = bricks[i];
            above.load(view.near + 27 * loaded);
            same.load(view.near + 27 * loaded);
            if (view.reference.data) other.load(view.near + 27 * loaded);
        }
        const int x = cells[i] / (n * n), y = cells[i] / n % n, z = cells[i] % n;
        Shorts sum[Groups] = {};
        uint8_t both[kOutputs];
        add<Groups>(net, kAbove, above.at(x >> up, y >> up, z >> up), sum);
        add<Groups>(net, kSame, same.at(x, y, z), sum);
        if (view.reference.data) add<Groups>(net, kReference, other.at(x, y, z), sum);
        finish<Groups>(net, bias, sum, both);
        classes[i] = both[0];
        classes[count + i] = both[1];
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
