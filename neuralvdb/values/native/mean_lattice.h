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

// Goes down from the coarsest means, whose companded values are `whole`, to cells of 2^lod voxels.
// code(coding, view, points, level, fine) gives the differences of cells of a pass of a level as they decode, of which fine
// has the halves.
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
            const CodedPass* both_passes = each + 2 * (kMeanLevels - 2 - j);
            const Array<int32_t> kept = companded(above.means);
            const int32_t* means = kept.size() ? kept.data() : above.means.data();
            const Array<int32_t> differences = codeDifferences(above.level, means, pyramid.back(), both_passes, code);
            Array<int32_t> below = pyramid.back().blank();
            const Splitting splitting{Halves(splitAxis(j)), quantiser_.compand, quantiser_.nonnegative};
            inParallel(size_t(above.level.bricks), threads_, kLeastBricks, [&](size_t first, size_t last) {
                const size_t at = first * kSlots;
                const CoarseCells cells{above.level.pairs.data() + 2 * first, above.means.data() + at, means + at,
                    differences.data() + at, int64_t(last - first)};
                pyramid.back().counts.with([&](const auto* counts) { split(cells, splitting, counts, below.data()); });
            });
            above = {std::move(pyramid.back()), std::move(below)};
        }
        return above;
    }

private:
    MeanCells top(MeanLevel level, const Points& points, const Array<int64_t>& whole) {
        Array<int32_t> means = level.blank();
        const int64_t lowest = quantiser_.nonnegative ? 0 : -kMaxDecoded;
        for (size_t i = 0; i < points.size(); ++i) {
            const int64_t companded = std::clamp(whole[i], lowest, kMaxDecoded);
            means[points.index(i)] = int32_t(toDecoded(quantiser_.compand.out(companded)));
        }
        return {std::move(level), std::move(means)};
    }

    // Means companded; none where they stay as they are.
    Array<int32_t> companded(const Array<int32_t>& means) const {
        Array<int32_t> to(quantiser_.compand.knee ? means.size() : 0);
        inParallel(to.size(), threads_, kLeastBricks * kSlots, [&](size_t first, size_t last) {
            compandAll(means.data() + first, last - first, quantiser_.compand, to.data() + first);
        });
        return to;
    }

    // means: companded.
    template<typename Code>
    Array<int32_t> codeDifferences(const MeanLevel& level, const int32_t* means, const MeanLevel& fine,
        const CodedPass* both_passes, const Code& code)
    {
        const size_t cells = size_t(level.rows) * kSlots, coded = size_t(level.bricks) * kSlots;
        Array<uint8_t> share(cells), both(cells);
        inParallel(size_t(level.bricks), threads_, kLeastBricks, [&](size_t first, size_t last) {
            fine.counts.with([&](const auto* counts) {
                shares(level.pairs.data() + 2 * first, counts, int64_t(last - first), both_passes->axis,
                    share.data() + first * kSlots, both.data() + first * kSlots);
            });
        });
        std::fill(both.data() + coded, both.data() + cells, uint8_t(0));
        const Array<uint8_t> on = level.on(threads_);
        const Array<int32_t> where = level.table.cells(level.bricks);
        Array<int32_t> differences(cells, 0);
        const PackedLevel packed(means, on.data(), cells, true, threads_);
        PackedLevel packed_differences(cells);
        const auto& [x, y, z] = level.table.shape;
        View view{{}, share.data()};
        view.sources.push_back({level.table.rows, {x, y, z}, where.data(), means, on.data(), packed.words()});
        view.sources.push_back({level.table.rows, {x, y, z}, where.data(), differences.data(), both.data()});
        for (int phase = 0; phase < 2; ++phase) {
            const CodedPass& coding = both_passes[phase];
            view.sources[1].packed = packed_differences.words();
            const Points points = listPoints(both.data(), size_t(level.bricks), coding.offsets, threads_);
            if (phase == 1) clear(both, coding.offsets); // what is left are those that are decoded
            const Array<int32_t> decoded = code(coding, view, points, level, fine);
            scatter(points, decoded, differences, threads_);
            if (!phase) packed_differences.put(points, decoded, threads_);
        }
        return differences;
    }

    static void clear(Array<uint8_t>& flags, const std::vector<int16_t>& offsets) {
        for (size_t brick = 0; brick < flags.size(); brick += kSlots)
            for (const int16_t offset : offsets) flags[brick + size_t(offset)] = 0;
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
        points = listPoints(counts, size_t(top.bricks), allOffsets(), threads);
        whole = Array<int64_t>(points.size());
        for (size_t i = 0; i < points.size(); ++i)
            whole[i] = means.mean(kMeanLevels - 1, int64_t(points.index(i)), counts[points.index(i)]);
    });
    Innovations innovations;
    const auto take = [&](const CodedPass& coding, const View& view, const Points& cells, const MeanLevel& level,
                          const MeanLevel& fine) {
        const Halves halves(coding.axis);
        means.forget(coding.level);
        Array<int32_t> differences(cells.size());
        fine.counts.with([&](const auto* counts) {
            const auto difference = [&](size_t i) {
                const int64_t first = firstHalf(level, halves, cells, i), second = first + halves.stride;
                return int32_t(means.mean(coding.level, first, counts[first]) - means.mean(coding.level, second, counts[second]));
            };
            innovations.push_back(missed(predictPoints(passes, coding, view, cells, threads), difference, threads, differences));
        });
        return differences;
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
    top.counts.with([&](const auto* counts) { points = listPoints(counts, size_t(top.bricks), allOffsets(), threads); });
    const Array<int64_t> whole =
        inUnits(layers[0].takeSums(passes.top_class, points.size(), int64_t(threads)), passes.top_step);
    const auto code = [&](const CodedPass& coding, const View& view, const Points& cells, const MeanLevel&, const MeanLevel&) {
        const Predicted predicted = correct(coding, view, cells, predictPoints(passes, coding, view, cells, threads), threads);
        Array<int32_t> decoded = takeDecoded(layers[coding.layer], predicted, coding.step, int64_t(threads));
        correct.decoded(cells, decoded);
        return decoded;
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
        points = listPoints(counts, size_t(top.bricks), allOffsets(), threads);
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
    const auto code = [&](const CodedPass& coding, const View& view, const Points& cells, const MeanLevel& level,
                          const MeanLevel& fine) {
        const Halves halves(coding.axis);
        true_means.forget(coding.level);
        Array<int32_t> decoded;
        fine.counts.with([&](const auto* counts) {
            const auto difference = [&](size_t begin, size_t count, double* to) {
                TrueCells both[2];
                for (size_t i = 0; i < count; ++i) {
                    const int64_t first = firstHalf(level, halves, cells, begin + i), second = first + halves.stride;
                    true_means.take(coding.level, first, counts[first], both[0], i);
                    true_means.take(coding.level, second, counts[second], both[1], i);
                }
                float means[2][kBatch];
                for (int half = 0; half < 2; ++half) true_means.compand(coding.level, both[half], count, means[half]);
                for (size_t i = 0; i < count; ++i) to[i] = double(means[0][i] - means[1][i]);
            };
            Predicted predicted = correct(coding, view, cells, predictPoints(passes, coding, view, cells, threads), threads);
            decoded = codeResiduals(coding, std::move(predicted), difference, round, threads, to);
        });
        correct.decoded(cells, decoded);
        return decoded;
    };
    return MeanDescent(passes, quantiser, 0, threads).descend(std::move(pyramid), points, whole, code);
}

} // namespace nvdb
