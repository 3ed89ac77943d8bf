// Twin of values/lattice/mean.py: the mean lattice of one component of one chunk.
#pragma once

#include "mean_pyramid.h"
#include "passes.h"
#include "quantiser.h"
#include "reference.h"
#include "split.h"
#include "stream.h"
#include "symbols.h"
#include "true_values.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace nvdb {

// A level with its means.
struct MeanCells {
    MeanLevel level;
    Array<int32_t> means;
};

// What the passes of a level see and give.
struct MeanPasses {
    Array<uint8_t> share, both, on, decoded; // decoded: cells whose differences are
    Array<int32_t> companded, differences; // companded: none where means stay as they are
    PackedLevel packed_means, packed_differences;
    Flagged flagged[2];

    MeanPasses(size_t cells, int64_t bricks, bool compands)
        : share(cells), both(cells), on(cells), decoded(cells), companded(compands ? cells : 0), differences(cells),
          packed_means(cells), packed_differences(cells),
          flagged{Flagged(both.data(), bricks), Flagged(both.data(), bricks)} {}
};

// Goes down from the coarsest means, whose companded values are `whole`, to cells of 2^lod voxels.
// code(coding, view, predicted, level, fine, put) tells put(first, last, decoded) of the differences of some cells of a pass of
// a level as they decode, of which fine has the halves, once nothing is predicted any more.
class MeanDescent {
public:
    MeanDescent(const Passes& passes, const Quantiser& quantiser, int lod, size_t threads)
        : passes_(passes), quantiser_(quantiser), lod_(lod), threads_(threads) {}

    template<typename Code>
    MeanCells descend(std::vector<MeanLevel> pyramid, const Points& points, const Array<int64_t>& whole, const Code& code) {
        const auto each = passes_.passes.data();
        MeanCells above = top(std::move(pyramid.back()), points, whole);
        for (int j = kMeanLevels - 2; j >= 3 * lod_; --j) {
            pyramid.pop_back();
            MeanLevel& fine = pyramid.back();
            Array<int32_t> companded, differences;
            {
                MeanPasses passes(above.means.size(), above.level.bricks, quantiser_.compand.knee);
                codePasses(above, fine, each + 2 * (kMeanLevels - 2 - j), passes, code);
                companded = std::move(passes.companded);
                differences = std::move(passes.differences);
            }
            const int32_t* means = companded.size() ? companded.data() : above.means.data();
            const Splitting splitting{Halves(splitAxis(j)), quantiser_.compand, quantiser_.nonnegative};
            Array<int32_t> below = blank(fine);
            inParallel(size_t(above.level.bricks), threads_, kLeastBricks, [&](size_t first, size_t last) {
                const size_t at = first * kSlots;
                const CoarseCells cells{above.level.pairs.data() + 2 * first, above.means.data() + at, means + at,
                    differences.data() + at, int64_t(last - first)};
                fine.counts.with([&](const auto* counts) { split(cells, splitting, counts, below.data()); });
            });
            above = {std::move(fine), std::move(below)};
        }
        return above;
    }

private:
    MeanCells top(MeanLevel level, const Points& points, const Array<int64_t>& whole) {
        Array<int32_t> means = blank(level);
        const int64_t lowest = quantiser_.nonnegative ? 0 : -kMaxDecoded;
        for (size_t i = 0; i < points.size(); ++i) {
            const int64_t companded = std::clamp(whole[i], lowest, kMaxDecoded);
            means[points.index(i)] = int32_t(toDecoded(quantiser_.compand.out(companded)));
        }
        return {std::move(level), std::move(means)};
    }

    // The means of all rows of a level before decoding.
    Array<int32_t> blank(const MeanLevel& level) const {
        Array<int32_t> all(size_t(level.rows) * kSlots);
        inParallel(size_t(level.rows), threads_, kLeastBricks,
            [&](size_t first, size_t last) { level.blank(first, last, all); });
        return all;
    }

    void begin(const MeanCells& above, const MeanLevel& fine, const CodedPass* both_passes, MeanPasses& to) const {
        const MeanLevel& level = above.level;
        const bool compands = to.companded.size();
        inParallel(size_t(level.rows), threads_, kLeastBricks, [&](size_t first, size_t last) {
            const size_t coded = std::clamp(size_t(level.bricks), first, last), at = first * kSlots, end = last * kSlots;
            fine.counts.with([&](const auto* counts) {
                shares(level.pairs.data() + 2 * first, counts, int64_t(coded - first), both_passes->axis, &to.share[at],
                    &to.both[at]);
            });
            std::fill(to.both.data() + coded * kSlots, to.both.data() + end, uint8_t(0));
            for (size_t brick = first; brick < coded; ++brick)
                for (int phase = 0; phase < 2; ++phase) to.flagged[phase].count(brick, both_passes[phase].offsets);
            std::fill(to.decoded.data() + at, to.decoded.data() + end, uint8_t(0));
            std::fill(to.differences.data() + at, to.differences.data() + end, 0);
            to.packed_differences.clear(at, end);
            level.on(first, last, to.on);
            if (compands) compandAll(&above.means[at], end - at, quantiser_.compand, &to.companded[at]);
            to.packed_means.pack(compands ? to.companded.data() : above.means.data(), to.on.data(), at, end, true);
        });
        for (Flagged& of_pass : to.flagged) of_pass.addUp();
    }

    template<typename Code>
    void codePasses(const MeanCells& above, const MeanLevel& fine, const CodedPass* both_passes, MeanPasses& passes,
        const Code& code) const
    {
        begin(above, fine, both_passes, passes);
        const MeanLevel& level = above.level;
        const int32_t* means = passes.companded.size() ? passes.companded.data() : above.means.data();
        const Array<int32_t> where = level.table.cells(level.bricks);
        const auto& [x, y, z] = level.table.shape;
        View view{{}, passes.share.data()};
        view.sources.push_back(
            {level.table.rows, {x, y, z}, where.data(), means, passes.on.data(), passes.packed_means.words()});
        view.sources.push_back(
            {level.table.rows, {x, y, z}, where.data(), passes.differences.data(), passes.decoded.data()});
        for (int phase = 0; phase < 2; ++phase) {
            view.sources[1].packed = passes.packed_differences.words();
            Predicted predicted = predictPoints(passes_, both_passes[phase], view, passes.flagged[phase], threads_);
            code(both_passes[phase], view, predicted, level, fine, [&](size_t first, size_t last, const int32_t* decoded) {
                scatter(predicted.points, decoded, first, last, passes.differences);
                if (phase) return;
                passes.packed_differences.put(predicted.points, decoded, first, last);
                for (size_t i = first; i < last; ++i) passes.decoded[predicted.points.index(i)] = 1;
            });
        }
    }

    const Passes& passes_;
    const Quantiser& quantiser_;
    int lod_;
    size_t threads_;
};

// Where the first half of cell number i of a level is on the level below; the second one is halves.stride behind it.
inline int64_t firstHalf(const MeanLevel& level, const Halves& halves, const Points& cells, size_t i) {
    const int32_t brick = level.pairs[2 * size_t(cells.bricks[i]) + size_t(halves.side(cells.offsets[i]))];
    return int64_t(brick) * kSlots + halves.first(cells.offsets[i]);
}

inline Array<int64_t> inUnits(Array<int64_t> whole, int64_t step) {
    for (size_t i = 0; i < whole.size(); ++i) whole[i] *= step;
    return whole;
}

// What corrects predictions down to cells of 2^lod voxels.
inline Corrector meanCorrector(const Reference* reference, const Passes& passes, const Quantiser& quantiser, int lod) {
    if (!reference) return {};
    const Chunk& chunk = reference->chunk;
    const size_t threads = chunk.threads;
    std::vector<MeanLevel> pyramid = meanPyramid(chunk);
    ReferenceMeans means(chunk, quantiser, pyramid);
    const MeanLevel& top = pyramid.back();
    Points points;
    Array<int64_t> whole;
    top.counts.with([&](const auto* counts) {
        points = listPoints(counts, size_t(top.bricks), allOffsets());
        whole = Array<int64_t>(points.size());
        for (size_t i = 0; i < points.size(); ++i)
            whole[i] = means.mean(kMeanLevels - 1, int64_t(points.index(i)), counts[points.index(i)]);
    });
    Innovations innovations;
    const auto take = [&](const CodedPass& coding, const View&, const Predicted& predicted, const MeanLevel& level,
                          const MeanLevel& fine, const auto& put) {
        const Halves halves(coding.axis);
        means.forget(coding.level);
        fine.counts.with([&](const auto* counts) {
            const auto difference = [&](size_t i) {
                const int64_t first = firstHalf(level, halves, predicted.points, i), second = first + halves.stride;
                return int32_t(means.mean(coding.level, first, counts[first]) - means.mean(coding.level, second, counts[second]));
            };
            innovations.push_back(missedBy(predicted, difference, threads, put).innovations);
        });
    };
    MeanDescent(passes, quantiser, lod, threads).descend(std::move(pyramid), points, whole, take);
    return {reference->correction, std::move(innovations)};
}

// Takes a component, down to cells of 2^lod voxels. Throws StreamEnds.
inline MeanCells decodeMean(const Chunk& chunk, const Passes& passes, const Quantiser& quantiser,
    const LayerStreams& layers, const Reference* reference, int lod)
{
    Corrector correct = meanCorrector(reference, passes, quantiser, lod);
    const size_t threads = chunk.threads;
    std::vector<MeanLevel> pyramid = meanPyramid(chunk);
    const MeanLevel& top = pyramid.back();
    Points points;
    top.counts.with([&](const auto* counts) { points = listPoints(counts, size_t(top.bricks), allOffsets()); });
    const Array<int64_t> whole =
        inUnits(layers[0].takeSums(passes.top_class, points.size()), passes.top_step);
    const auto code = [&](const CodedPass& coding, const View& view, Predicted& predicted, const MeanLevel&, const MeanLevel&,
                          const auto& put) {
        correct(coding, view, predicted, threads);
        correct.decoded(predicted.points, takeDecoded(layers[coding.layer], predicted, coding.step, threads, put));
    };
    return MeanDescent(passes, quantiser, lod, threads).descend(std::move(pyramid), points, whole, code);
}

// How an encoder rounds: by how much towards 0, in each scale class.
using DeadZones = std::array<double, kScaleClasses>;

struct DeadZoneRounding {
    const DeadZones& dead_zones;

    NVDB_LANES double steps(double error, uint8_t scale_class) const {
        return std::copysign(double(int32_t(std::min(std::max(std::abs(error) + 0.5 - dead_zones[scale_class], 0.0), double(kMaxResidual)))), error);
    }
};

// Puts the residuals of a component and gives its voxels as they decode.
inline MeanCells encodeMean(const Chunk& chunk, const Passes& passes, const Quantiser& quantiser, const DeadZones& dead_zones,
    Corrector& correct, Coded& to)
{
    const size_t threads = chunk.threads;
    std::vector<MeanLevel> pyramid = meanPyramid(chunk);
    TrueMeans true_means(chunk, quantiser, pyramid);
    const MeanLevel& top = pyramid.back();
    Points points;
    Array<int64_t> whole;
    top.counts.with([&](const auto* counts) {
        points = listPoints(counts, size_t(top.bricks), allOffsets());
        whole = Array<int64_t>(points.size());
        for (size_t i = 0; i < points.size(); ++i) {
            const size_t cell = points.index(i);
            const float mean = true_means.companded(kMeanLevels - 1, int64_t(cell), counts[cell]);
            whole[i] = int64_t(nearestWhole(mean / float(passes.top_step)));
        }
    });
    codeDifferences(whole, passes.top_class, to);
    whole = inUnits(std::move(whole), passes.top_step);
    const DeadZoneRounding round{dead_zones};
    const auto code = [&](const CodedPass& coding, const View& view, Predicted& predicted, const MeanLevel& level,
                          const MeanLevel& fine, const auto& put) {
        const Halves halves(coding.axis);
        true_means.forget(coding.level);
        correct(coding, view, predicted, threads);
        fine.counts.with([&](const auto* counts) {
            const auto difference = [&](size_t begin, size_t count, double* to) {
                TrueCells both[2];
                for (size_t i = 0; i < count; ++i) {
                    const int64_t first = firstHalf(level, halves, predicted.points, begin + i), second = first + halves.stride;
                    true_means.take(coding.level, first, counts[first], both[0], i);
                    true_means.take(coding.level, second, counts[second], both[1], i);
                }
                float means[2][kBatch];
                for (int half = 0; half < 2; ++half) true_means.compand(coding.level, both[half], count, means[half]);
                for (size_t i = 0; i < count; ++i) to[i] = double(means[0][i] - means[1][i]);
            };
            correct.decoded(predicted.points, codeResiduals(coding, predicted, difference, round, put, to));
        });
    };
    return MeanDescent(passes, quantiser, 0, threads).descend(std::move(pyramid), points, whole, code);
}

} // namespace nvdb
