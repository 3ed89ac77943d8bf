// Twin of values/lattice/correction_network.py: the network that corrects predictions by a reference.
#pragma once

#include "means.h"
#include "nearby.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace nvdb {

constexpr int kCorrectionInputs = 23, kCorrectionHidden = 24, kCorrectionOutputs = 4, kCorrectionSources = 3;
constexpr int kCorrectionLevels = 4, kFirstPassInput = 15; // inputs from there on are the same for all points of a pass
constexpr int kLargeFactor = 2, kSmallFactor = 16; // by which numbers of points of blocks become inputs
constexpr int kFactorBits = 6, kMostFactor = 127, kMostClassShift = 32, kFinestLog = 64;

// Floats: sums stay below 2^24, so that all are exact.
struct CorrectionNetwork {
    std::array<std::array<float, kCorrectionHidden>, kCorrectionInputs> first;
    std::array<std::array<float, kCorrectionHidden>, kCorrectionOutputs> second;
    std::array<float, kCorrectionHidden> bias;
    std::array<int32_t, kCorrectionOutputs> second_bias;
    std::array<int, 1 + kCorrectionOutputs> shifts;
};

inline int32_t logOf(int64_t x) { return int32_t(logOfStep(x)); }

// Inputs of a block's points but for their widths: its count, then log2 of mean sizes in steps.
struct BlockInputs {
    int32_t count = 0, sizes[3] = {};

    BlockInputs() = default;
    BlockInputs(const BlockSums& sums, int64_t step, int factor) : count(int32_t(factor * sums.count)) {
        if (!sums.count) return;
        const int64_t steps = sums.count * step, totals[3] = {sums.errors, sums.innovations, sums.apart};
        const int32_t least = logOf(steps) + kFinestLog;
        for (int k = 0; k < 3; ++k) sizes[k] = logOf(16 * totals[k] + steps) - least;
    }
    void put(int32_t width, float* to) const {
        to[0] = float(std::min(count, kMaxInput));
        for (int k = 0; k < 3; ++k) to[1 + k] = count ? float(std::clamp(sizes[k] - width, -kMaxInput, kMaxInput)) : 0.0f;
    }
};

inline int64_t meanOf(const BlockSums& sums) { return sums.count ? meanOf(sums.sum, sums.count) : 0; }

// Corrects the points of a pass.
class PassCorrection {
public:
    PassCorrection(const CorrectionNetwork& network, const CodedPass& coding, int phase)
        : network_(network), step_(coding.step), least_(logOf(coding.step) + kFinestLog), bias_(network.bias)
    {
        addFlag(std::min(coding.level, kCorrectionLevels - 1));
        addFlag(kCorrectionLevels + coding.axis);
        if (phase) addFlag(kCorrectionLevels + 3);
    }

    // Blocks: of 4x4x4, of 2x2x2 points, and of the level above; means: of the first two.
    void operator()(const BlockInputs* blocks, int64_t innovation, const int64_t* means, int32_t& value, uint8_t& scale_class)
        const
    {
        float x[kFirstPassInput];
        const int32_t width = 4 * (int32_t(scale_class) - kClassOfOneStep);
        const int32_t size = logOf(16 * std::abs(innovation) + step_) - least_;
        const int32_t own[3] = {width, size, size - width};
        for (int k = 0; k < 3; ++k) {
            x[k] = float(std::clamp(own[k], -kMaxInput, kMaxInput));
            blocks[k].put(width, x + 3 + 4 * k);
        }
        int64_t out[kCorrectionOutputs];
        forward(x, out);
        const int64_t sources[kCorrectionSources] = {innovation, means[0], means[1]};
        int64_t more = (1 << kFactorBits) / 2;
        for (int k = 0; k < kCorrectionSources; ++k) more += std::clamp<int64_t>(out[k], -kMostFactor, kMostFactor) * sources[k];
        value = int32_t(std::clamp(value + (more >> kFactorBits), -kMaxPrediction, kMaxPrediction));
        const int64_t shift = std::clamp<int64_t>(out[3], -kMostClassShift, kMostClassShift);
        scale_class = uint8_t(std::clamp<int64_t>(scale_class + shift, 0, kScaleClasses - 1));
    }

private:
    void addFlag(int number) {
        const auto& weights = network_.first[size_t(kFirstPassInput + number)];
        for (size_t k = 0; k < bias_.size(); ++k) bias_[k] += float(kMaxInput) * weights[k];
    }

    void forward(const float* x, int64_t* out) const {
        std::array<float, kCorrectionHidden> hidden = bias_;
        for (size_t i = 0; i < kFirstPassInput; ++i)
            for (size_t k = 0; k < hidden.size(); ++k) hidden[k] += x[i] * network_.first[i][k];
        for (float& unit : hidden) unit = float(std::clamp(int32_t(unit) >> network_.shifts[0], 0, 255));
        for (size_t o = 0; o < kCorrectionOutputs; ++o) {
            float sum = 0;
            for (size_t k = 0; k < hidden.size(); ++k) sum += hidden[k] * network_.second[o][k];
            out[o] = (int32_t(sum) + network_.second_bias[o]) >> network_.shifts[1 + o];
        }
    }

    const CorrectionNetwork& network_;
    int64_t step_;
    int32_t least_;
    std::array<float, kCorrectionHidden> bias_;
};

} // namespace nvdb
