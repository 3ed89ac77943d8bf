// Twin of values/lattice/sample.py: the sample lattice of one component of one chunk.
#pragma once

#include "passes.h"
#include "reference.h"
#include "sample_pyramid.h"
#include "stream.h"
#include "symbols.h"
#include "true_values.h"

#include <cstdint>
#include <vector>

namespace nvdb {

constexpr int kPassesOfLevel = 6;

// Gives a level the points of the one above, words to what may be seen, and counts the points of its passes.
inline std::vector<Flagged> beginLevel(const SampleLevel& coarse, const Array<int32_t>& cells, const CodedPass* passes,
    size_t threads, SampleLevel& level, PackedLevel& packed)
{
    std::vector<Flagged> flagged;
    for (int pass = 0; pass < kPassesOfLevel; ++pass) flagged.emplace_back(level.coded.data(), level.bricks);
    const auto bricks = size_t(level.bricks);
    inParallel(size_t(level.rows), threads, kLeastBricks, [&](size_t first, size_t last) {
        for (size_t brick = first; brick < std::min(last, bricks); ++brick) {
            upsampleInto(coarse, cells, brick, level);
            for (size_t pass = 0; pass < flagged.size(); ++pass) flagged[pass].count(brick, passes[pass].offsets);
        }
        packed.pack(level.values.data(), level.active.data(), first * kSlots, last * kSlots, false);
    });
    for (Flagged& of_pass : flagged) of_pass.addUp();
    return flagged;
}

// Goes down from the coarsest points, which the top of the pyramid holds, to those 2^lod voxels apart.
// code(coding, view, predicted, cells, put) gives the values of points of a pass as they decode, and tells put(first, last,
// decoded) of some once nothing is predicted any more; cells: where the level's bricks are.
template<typename Code>
inline void descendSamples(std::vector<SampleLevel>& pyramid, const Passes& passes, int lod, size_t threads, const Code& code)
{
    const CodedPass* coding = passes.passes.data();
    for (int k = kSampleLevels - 2; k >= lod; --k) {
        SampleLevel& level = pyramid[size_t(k)];
        const Array<int32_t> cells = level.table.cells(level.bricks);
        PackedLevel packed(level.values.size());
        const auto& [x, y, z] = level.table.shape;
        View view{{}, nullptr};
        view.sources.push_back({level.table.rows, {x, y, z}, cells.data(), level.values.data(), level.active.data()});
        for (const Flagged& flagged : beginLevel(pyramid[size_t(k) + 1], cells, coding, threads, level, packed)) {
            const int16_t* const words = view.sources[0].packed = packed.words();
            Predicted predicted = predictPoints(passes, *coding, view, flagged, threads);
            const auto put = [&](size_t first, size_t last, const int32_t* decoded) {
                if (words) packed.put(predicted.points, decoded, first, last);
                else scatter(predicted.points, decoded, first, last, level.values);
            };
            const Array<int32_t> decoded = code(*coding++, view, predicted, cells, put);
            if (!words || packed.words()) continue;
            packed.unpack(level.values, threads);
            scatter(predicted.points, decoded.data(), 0, decoded.size(), level.values);
        }
        if (packed.words()) packed.unpack(level.values, threads);
    }
}

// What corrects predictions down to points 2^lod voxels apart.
inline Corrector sampleCorrector(const Reference* reference, const Passes& passes, const Quantiser& quantiser, int lod) {
    if (!reference) return {};
    const Chunk& chunk = reference->chunk;
    const size_t threads = chunk.threads;
    std::vector<SampleLevel> pyramid = samplePyramid(chunk, quantiser);
    SampleLevel& top = pyramid.back();
    const auto exact = [&](int level, const Array<int32_t>& cells, const Points& of, size_t i) {
        double value;
        truePoints(chunk, quantiser, level, cells, of, i, 1, &value);
        return int32_t(nearestWhole(value));
    };
    const Points points = listPoints(top.coded.data(), size_t(top.bricks), allOffsets());
    const Array<int32_t> top_cells = top.table.cells(top.bricks);
    for (size_t i = 0; i < points.size(); ++i) top.values[points.index(i)] = exact(kSampleLevels - 1, top_cells, points, i);
    Innovations innovations;
    descendSamples(pyramid, passes, lod, threads,
        [&](const CodedPass& coding, const View&, const Predicted& predicted, const Array<int32_t>& cells, const auto& put) {
            const auto exact_at = [&](size_t i) { return exact(coding.level, cells, predicted.points, i); };
            Missed missed = missedBy(predicted, exact_at, threads, put);
            innovations.push_back(std::move(missed.innovations));
            return std::move(missed.values);
        });
    return {reference->correction, std::move(innovations)};
}

// Takes a component, down to points 2^lod voxels apart, and gives that level. Throws StreamEnds.
inline SampleLevel decodeSamples(const Chunk& chunk, const Passes& passes, const Quantiser& quantiser,
    const LayerStreams& layers, const Reference* reference, int lod)
{
    Corrector correct = sampleCorrector(reference, passes, quantiser, lod);
    const size_t threads = chunk.threads;
    std::vector<SampleLevel> pyramid = samplePyramid(chunk, quantiser);
    SampleLevel& top = pyramid.back();
    const Points points = listPoints(top.coded.data(), size_t(top.bricks), allOffsets());
    const Array<int64_t> whole = layers[0].takeSums(passes.top_class, points.size());
    for (size_t i = 0; i < points.size(); ++i)
        top.values[points.index(i)] = int32_t(toDecoded(whole[i] * passes.top_step));
    descendSamples(pyramid, passes, lod, threads,
        [&](const CodedPass& coding, const View& view, Predicted& predicted, const Array<int32_t>&, const auto& put) {
            correct(coding, view, predicted, threads);
            Array<int32_t> decoded = takeDecoded(layers[coding.layer], predicted, coding.step, threads, put);
            correct.decoded(predicted.points, decoded);
            return decoded;
        });
    return std::move(pyramid[size_t(lod)]);
}

struct NearestRounding {
    NVDB_LANES double steps(double error, uint8_t) const { return nearestWhole(error); }
};

// Puts the residuals of a component and gives its voxels as they decode.
inline SampleLevel encodeSamples(const Chunk& chunk, const Passes& passes, const Quantiser& quantiser,
    Corrector& correct, Coded& to)
{
    const size_t threads = chunk.threads;
    std::vector<SampleLevel> pyramid = samplePyramid(chunk, quantiser);
    SampleLevel& top = pyramid.back();
    const Points points = listPoints(top.coded.data(), size_t(top.bricks), allOffsets());
    const Array<int32_t> top_cells = top.table.cells(top.bricks);
    Array<double> exact(points.size());
    truePoints(chunk, quantiser, kSampleLevels - 1, top_cells, points, 0, points.size(), exact.data());
    Array<int64_t> whole(points.size());
    for (size_t i = 0; i < points.size(); ++i) {
        whole[i] = int64_t(nearestWhole(exact[i] / double(passes.top_step)));
        top.values[points.index(i)] = int32_t(whole[i] * passes.top_step);
    }
    codeDifferences(whole, passes.top_class, to);
    descendSamples(pyramid, passes, 0, threads,
        [&](const CodedPass& coding, const View& view, Predicted& predicted, const Array<int32_t>& cells, const auto& put) {
            correct(coding, view, predicted, threads);
            const auto exact_values = [&](size_t begin, size_t count, double* values) {
                truePoints(chunk, quantiser, coding.level, cells, predicted.points, begin, count, values);
            };
            Array<int32_t> decoded = codeResiduals(coding, predicted, exact_values, NearestRounding{}, put, to);
            correct.decoded(predicted.points, decoded);
            return decoded;
        });
    return std::move(pyramid[0]);
}

} // namespace nvdb
