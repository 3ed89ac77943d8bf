// Twin of values/lattice/sample.py: the sample lattice of one component of one chunk.
#pragma once

#include "passes.h"
#include "sample_pyramid.h"
#include "stream.h"

#include <cstdint>
#include <vector>

namespace nvdb {

// Goes down from the coarsest points, which the top of the pyramid holds, to those 2^lod voxels apart.
// code(coding, view, points) gives the values of points of a pass as they decode.
template<typename Code>
inline void descendSamples(std::vector<SampleLevel>& pyramid, const Passes& passes, int lod, const Code& code) {
    const CodedPass* coding = passes.passes.data();
    for (int k = kSampleLevels - 2; k >= lod; --k) {
        SampleLevel& level = pyramid[size_t(k)];
        const Array<int32_t> cells = level.table.cells(level.bricks);
        upsampleInto(pyramid[size_t(k) + 1], cells, level);
        const auto& [x, y, z] = level.table.shape;
        View view{{}, nullptr};
        view.sources.push_back({level.table.rows, {x, y, z}, cells.data(), level.values.data(), level.active.data()});
        for (int pass = 0; pass < 6; ++pass, ++coding) {
            const Points points = listPoints(level.coded.data(), level.bricks, coding->offsets);
            const Array<int32_t> decoded = code(*coding, view, points);
            for (size_t i = 0; i < points.size(); ++i) level.values[points.index(i)] = decoded[i];
        }
    }
}

// Takes a component, down to points 2^lod voxels apart, and gives that level. Throws StreamEnds.
inline SampleLevel decodeSamples(const Chunk& chunk, const Passes& passes, const Quantiser& quantiser,
    const LayerStreams& layers, int lod, size_t threads)
{
    std::vector<SampleLevel> pyramid = samplePyramid(chunk, quantiser);
    SampleLevel& top = pyramid.back();
    const Points points = listPoints(top.coded.data(), top.bricks, allOffsets());
    const Array<int64_t> whole = layers[0].takeSums(passes.top_class, points.size(), int64_t(threads));
    for (size_t i = 0; i < points.size(); ++i)
        top.values[points.index(i)] = int32_t(toDecoded(whole[i] * passes.top_step));
    descendSamples(pyramid, passes, lod, [&](const CodedPass& coding, const View& view, const Points& of_pass) {
        const Predicted predicted = predictPoints(passes, coding, view, of_pass, threads);
        return takeDecoded(layers[coding.layer], predicted, coding.step, int64_t(threads));
    });
    return std::move(pyramid[size_t(lod)]);
}

} // namespace nvdb
