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

// Goes down from the coarsest points, which the top of the pyramid holds, to those 2^lod voxels apart.
// code(coding, view, points, cells) gives the values of points of a pass as they decode; cells: where the level's bricks are.
template<typename Code>
inline void descendSamples(std::vector<SampleLevel>& pyramid, const Passes& passes, int lod, size_t threads, const Code& code)
{
    const CodedPass* coding = passes.passes.data();
    for (int k = kSampleLevels - 2; k >= lod; --k) {
        SampleLevel& level = pyramid[size_t(k)];
        const Array<int32_t> cells = level.table.cells(level.bricks);
        upsampleInto(pyramid[size_t(k) + 1], cells, threads, level);
        const auto& [x, y, z] = level.table.shape;
        View view{{}, nullptr};
        view.sources.push_back({level.table.rows, {x, y, z}, cells.data(), level.values.data(), level.active.data()});
        PackedLevel packed(level.values.data(), level.active.data(), level.values.size(), false, threads);
        for (int pass = 0; pass < 6; ++pass, ++coding) {
            view.sources[0].packed = packed.words();
            const Points points = listPoints(level.coded.data(), size_t(level.bricks), coding->offsets, threads);
            const Array<int32_t> decoded = code(*coding, view, points, cells);
            if (!packed.words()) {
                scatter(points, decoded, level.values, threads);
                continue;
            }
            packed.put(points, decoded, threads);
            if (packed.words()) continue;
            packed.unpack(level.values, threads);
            scatter(points, decoded, level.values, threads);
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
    const Points points = listPoints(top.coded.data(), size_t(top.bricks), allOffsets(), threads);
    const Array<int32_t> top_cells = top.table.cells(top.bricks);
    for (size_t i = 0; i < points.size(); ++i) top.values[points.index(i)] = exact(kSampleLevels - 1, top_cells, points, i);
    Innovations innovations;
    descendSamples(pyramid, passes, lod, threads,
        [&](const CodedPass& coding, const View& view, const Points& of_pass, const Array<int32_t>& cells) {
            Array<int32_t> values(of_pass.size());
            innovations.push_back(missed(predictPoints(passes, coding, view, of_pass, threads),
                [&](size_t i) { return exact(coding.level, cells, of_pass, i); }, threads, values));
            return values;
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
    const Points points = listPoints(top.coded.data(), size_t(top.bricks), allOffsets(), threads);
    const Array<int64_t> whole = layers[0].takeSums(passes.top_class, points.size(), int64_t(threads));
    for (size_t i = 0; i < points.size(); ++i)
        top.values[points.index(i)] = int32_t(toDecoded(whole[i] * passes.top_step));
    descendSamples(pyramid, passes, lod, threads,
        [&](const CodedPass& coding, const View& view, const Points& of_pass, const Array<int32_t>&) {
            const Predicted predicted =
                correct(coding, view, of_pass, predictPoints(passes, coding, view, of_pass, threads), threads);
            Array<int32_t> decoded = takeDecoded(layers[coding.layer], predicted, coding.step, int64_t(threads));
            correct.decoded(of_pass, decoded);
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
    const Points points = listPoints(top.coded.data(), size_t(top.bricks), allOffsets(), threads);
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
        [&](const CodedPass& coding, const View& view, const Points& of_pass, const Array<int32_t>& cells) {
            Predicted predicted = correct(coding, view, of_pass, predictPoints(passes, coding, view, of_pass, threads), threads);
            Array<int32_t> decoded = codeResiduals(coding, std::move(predicted),
                [&](size_t begin, size_t count, double* values) {
                    truePoints(chunk, quantiser, coding.level, cells, of_pass, begin, count, values);
                },
                NearestRounding{}, threads, to);
            correct.decoded(of_pass, decoded);
            return decoded;
        });
    return std::move(pyramid[0]);
}

} // namespace nvdb
