// Puts a network into the order in which classify.h uses it.
#pragma once

#include "classify.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

namespace nvdb {

// Offsets (x, y, z) of the inputs of a network, by source, and the levels whose number is an input.
struct Stencil {
    std::vector<int8_t> offsets[kSources];
    std::vector<int> levels;

    size_t inputs() const {
        size_t states = 0;
        for (const auto& of_source : offsets) states += of_source.size() / 3;
        return states + levels.size();
    }

    // Whether nothing lies beyond what blocks hold.
    bool fits() const {
        for (const auto& of_source : offsets)
            for (const int8_t along : of_source)
                if (std::abs(int(along)) > kReach) return false;
        return true;
    }
};

// Arrays of nets/network.py.
struct Arrays {
    const int8_t *w1, *w2, *w3, *linear;
    const int32_t *b1, *b2, *b3;
    const int* shifts;
};

// Inputs along one line of states: {z: number of the input}.
using LineInputs = std::map<int, size_t>;

// Weights of the first layer by input: (inputs, groups).
using UnitWeights = std::vector<Shorts>;

// Weights of the inputs that a word covers, null where one of its states is no input.
using Word = std::array<const Shorts*, 4>;

// Adds words that cover a line's inputs.
inline void addWords(Net& net, std::vector<Word>& words, int distance, const LineInputs& line, const UnitWeights& weights) {
    for (auto next = line.begin(); next != line.end();) {
        const int z = next->first;
        Word word{};
        for (; next != line.end() && next->first < z + 4; ++next)
            word[size_t(next->first - z)] = weights.data() + next->second * size_t(net.groups);
        net.words.push_back(distance + z);
        words.push_back(word);
    }
}

// Sums of the patterns of a word, (patterns, groups): those of its first states lead to those of one state more.
inline void addUp(const Word& word, int groups, Shorts* sums) {
    for (int g = 0; g < groups; ++g) {
        sums[g] = Shorts{};
        for (int i = 0, patterns = 1; i < 4; ++i, patterns *= 3) {
            const Shorts weights = word[size_t(i)] ? word[size_t(i)][g] : Shorts{};
            for (int p = patterns - 1; p >= 0; --p) {
                const Shorts sum = sums[p * groups + g];
                for (int state = 0; state < 3; ++state) sums[(3 * p + state) * groups + g] = sum + weights * int16_t(state - 1);
            }
        }
    }
}

// The network with so many first and second hidden units.
inline Net packed(const Stencil& stencil, const Arrays& from, size_t first, size_t second) {
    Net net;
    const int units = int(first) + kOutputs;
    const size_t inputs = stencil.inputs(), states = inputs - stencil.levels.size();
    const auto weight = [&](int unit, size_t input) -> int {
        const size_t u = size_t(unit);
        return u < first ? from.w1[u * inputs + input] : from.linear[(u - first) * inputs + input];
    };
    net.first = int(first);
    net.groups = (units + kGroup - 1) / kGroup;
    std::copy_n(from.shifts, 6, net.shifts);
    UnitWeights weights(states * size_t(net.groups), Shorts{});
    for (int u = 0; u < units; ++u)
        for (size_t i = 0; i < states; ++i) weights[i * size_t(net.groups) + size_t(u / kGroup)][u % kGroup] = int16_t(weight(u, i));
    std::vector<Word> words;
    size_t input = 0;
    for (int source = 0; source < kSources; ++source) {
        std::map<int, LineInputs> lines; // by distance
        const auto& offsets = stencil.offsets[source];
        for (size_t i = 0; i < offsets.size(); i += 3) lines[offsets[i] * kPlane + offsets[i + 1] * kLine][offsets[i + 2]] = input++;
        for (const auto& line : lines) addWords(net, words, line.first, line.second, weights);
        net.ends[source] = int(words.size());
    }
    const size_t of_word = size_t(kPatterns * net.groups);
    net.sums.resize(words.size() * of_word);
    for (size_t i = 0; i < words.size(); ++i) addUp(words[i], net.groups, net.sums.data() + i * of_word);
    net.bias.assign(size_t(kLevels * net.groups * kGroup), 0);
    for (int level = 0; level < kLevels; ++level) {
        for (int u = 0; u < units; ++u) {
            int32_t bias = u < int(first) ? from.b1[u] : 0;
            for (size_t i = 0; i < stencil.levels.size(); ++i)
                if (stencil.levels[i] == level) bias += kOne * weight(u, states + i);
            net.bias[size_t(level * net.groups * kGroup + u)] = bias;
        }
    }
    net.w2.assign(size_t(net.groups * kGroup * kGroup), 0);
    for (size_t v = 0; v < second; ++v) {
        net.b2[v] = float(from.b2[v]);
        for (size_t u = 0; u < first; ++u) net.w2[u * kGroup + v] = float(from.w2[v * first + u]);
        for (int r = 0; r < kOutputs; ++r) net.w3[r][v] = float(from.w3[size_t(r) * second + v]);
    }
    std::copy_n(from.b3, kOutputs, net.b3);
    return net;
}

} // namespace nvdb
