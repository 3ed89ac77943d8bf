// Twin of values/lattice/reference.py and values/lattice/reference_means.py: predictions corrected by a reference.
#pragma once

#include "correction_network.h"
#include "mean_pyramid.h"
#include "nearby.h"
#include "passes.h"
#include "quantiser.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace nvdb {

constexpr int kGains = 12, kMostGain = 16, kGainBits = 4, kMostShift = 32;
constexpr std::array<int64_t, 4> kSizes = {4, 11, 32, 96}; // innovations in 1/16 step where another shift begins

// A network corrects in place of gains and shifts where there is one.
struct Correction {
    std::array<int, kGains> gains;
    std::array<int, kSizes.size() + 1> shifts;
    std::shared_ptr<const CorrectionNetwork> network;
};

// The same component of the reference, and how it corrects predictions.
struct Reference {
    Chunk chunk;
    Correction correction;
};

// By how much the reference is not as its own surroundings predict it: of the points of each pass, in order.
using Innovations = std::vector<Array<int32_t>>;

// A reference, and what it is less its predictions.
struct Missed {
    Array<int32_t> values, innovations;
};

// exact(i): the reference at point i; put(first, last, values): told of it.
template<typename Exact, typename Put>
inline Missed missedBy(const Predicted& predicted, const Exact& exact, size_t threads, const Put& put) {
    const size_t count = predicted.values.size();
    Array<int32_t> values(count), innovations(count);
    inParallel(count, threads, kLeastPoints, [&](size_t first, size_t last) {
        for (size_t i = first; i < last; ++i) {
            values[i] = exact(i);
            innovations[i] = values[i] - predicted.values[i];
        }
        put(first, last, values.data());
    });
    return {std::move(values), std::move(innovations)};
}

// Corrects predictions of pass after pass; without a reference they stay as they are.
class Corrector {
public:
    Corrector() = default;
    Corrector(const Correction& correction, Innovations innovations)
        : correction_(&correction), innovations_(std::move(innovations)) {}

    // Gives the innovations away; then predictions stay as they are.
    Innovations take() {
        correction_ = nullptr;
        return std::move(innovations_);
    }

    // To be told afterwards what points decode to.
    void operator()(const CodedPass& coding, const View& view, Predicted& predicted, size_t threads) {
        if (!correction_) return;
        of_pass_ = std::move(innovations_[pass_]);
        if (correction_->network) correctByNetwork(coding, view, predicted, threads);
        else correctByGains(coding, predicted, threads);
        ++pass_;
    }

    void decoded(const Points& points, const Array<int32_t>& values) {
        if (!correction_ || !correction_->network) return;
        for (size_t i = 0; i < points.size(); ++i)
            nearby_.add(points, i, int64_t(values[i]) - before_[i], of_pass_[i]);
    }

private:
    void correctByGains(const CodedPass& coding, Predicted& predicted, size_t threads) const {
        const int64_t gain = correction_->gains[size_t(coding.level)];
        inParallel(of_pass_.size(), threads, kLeastPoints, [&](size_t first, size_t last) {
            for (size_t i = first; i < last; ++i) {
                const int64_t innovation = of_pass_[i], sixteenths = 16 * (innovation < 0 ? -innovation : innovation);
                size_t size = 0;
                for (const int64_t begin : kSizes) size += sixteenths >= begin * coding.step;
                const int64_t value = predicted.values[i] + ((gain * innovation + (1 << kGainBits) / 2) >> kGainBits);
                predicted.values[i] = int32_t(std::clamp(value, -kMaxPrediction, kMaxPrediction));
                const int scale_class = predicted.scale_classes[i] + correction_->shifts[size];
                predicted.scale_classes[i] = uint8_t(std::clamp(scale_class, 0, kScaleClasses - 1));
            }
        });
    }

    void correctByNetwork(const CodedPass& coding, const View& view, Predicted& predicted, size_t threads) {
        const Points& points = predicted.points;
        const LevelView& level = view.sources[0];
        nearby_.enter(level, points, coding.level, coding.step);
        before_ = Array<int32_t>(points.size());
        std::copy_n(predicted.values.data(), points.size(), before_.data());
        const PassCorrection correct(*correction_->network, coding, int(pass_ % 2));
        inParallel(points.size(), threads, kLeastPoints, [&](size_t first, size_t last) {
#ifdef NVDB_AVX2
            if (hasAvx2()) return correctFast(correct, level, points, first, last, predicted);
#endif
            correctPoints(correct, level, points, first, last, predicted);
        });
    }

    NVDB_LANES void correctPoints(const PassCorrection& correct, const LevelView& level, const Points& points, size_t first,
        size_t last, Predicted& predicted) const
    {
        int32_t brick = -1;
        std::array<BlockInputs, kLargeBlocks> inputs;
        std::array<int64_t, kLargeBlocks> means;
        for (size_t i = first; i < last; ++i) {
            if (points.bricks[i] != brick) {
                brick = points.bricks[i];
                const std::array<BlockSums, kLargeBlocks> large = nearby_.large(brick);
                for (size_t k = 0; k < large.size(); ++k) {
                    inputs[k] = BlockInputs(large[k], nearby_.step(), kLargeFactor);
                    means[k] = meanOf(large[k]);
                }
            }
            const size_t block = size_t(largeBlockOf(blockOf(points.offsets[i])));
            const BlockSums& small = nearby_.small(points, i);
            const BlockSums above = nearby_.above(level.cells + 3 * size_t(brick), points.offsets[i]);
            const BlockInputs blocks[3] = {inputs[block], {small, nearby_.step(), kSmallFactor},
                {above, nearby_.stepAbove(), kSmallFactor}};
            const int64_t of_blocks[2] = {means[block], meanOf(small)};
            correct(blocks, of_pass_[i], of_blocks, predicted.values[i], predicted.scale_classes[i]);
        }
    }

#ifdef NVDB_AVX2
    NVDB_AVX2 void correctFast(const PassCorrection& correct, const LevelView& level, const Points& points, size_t first,
        size_t last, Predicted& predicted) const
    {
        correctPoints(correct, level, points, first, last, predicted);
    }
#endif

    const Correction* correction_ = nullptr;
    Innovations innovations_;
    Array<int32_t> of_pass_, before_; // innovations, and predictions that are not corrected
    Nearby nearby_;
    size_t pass_ = 0;
};

// The companded means of the coded voxels of a reference on every level, in whole lattice units.
class ReferenceMeans {
public:
    ReferenceMeans(const Chunk& chunk, const Quantiser& quantiser, const std::vector<MeanLevel>& pyramid): compand_(quantiser.compand) {
        const Quantiser plain{quantiser.unit, Compand(0), false};
        sums_.emplace_back(size_t(pyramid[0].rows) * kSlots, 0);
        inParallel(size_t(chunk.bricks), chunk.threads, kLeastBricks, [&](size_t first, size_t last) {
            for (size_t i = first * kSlots; i < last * kSlots; ++i)
                if (pyramid[0].counts.narrow[i])
                    sums_[0][i] = plain.nearest(chunk.values.at(chunk.leaves[i / kSlots], int(i % kSlots)));
        });
        for (size_t j = 0; j + 1 < pyramid.size(); ++j)
            sums_.push_back(addRows(sums_[j], pyramid[j + 1], splitAxis(int(j)), chunk.threads));
    }

    void forget(int level) { sums_.resize(size_t(level) + 1); }

    // Of a cell that covers so many coded voxels.
    int64_t mean(int level, int64_t cell, int64_t count) const {
        return compand_.in(meanOf(sums_[size_t(level)][size_t(cell)], count));
    }

private:
    Compand compand_;
    std::vector<Array<int64_t>> sums_;
};

} // namespace nvdb
