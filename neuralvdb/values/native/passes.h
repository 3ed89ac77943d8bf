// The passes of a lattice as values/lattice/pass_order.py orders them, with all that their predictors need.
#pragma once

#include "chunk.h"
#include "packed.h"
#include "pool.h"
#include "predict.h"
#include "quantiser.h"
#include "stream.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

namespace nvdb {

// As pass_order.Pass; offsets: of its points in a brick; no net: interpolation alone.
struct CodedPass {
    int level, axis, layer;
    int64_t step;
    std::vector<int16_t> offsets;
    std::shared_ptr<const InputLayout> layout;
    std::shared_ptr<const Net> net;
};

// passes: in order; the coarsest points are coded in steps of `top_step` and in class `top_class`.
struct Passes {
    Rule rule;
    int64_t top_step;
    uint8_t top_class;
    std::vector<CodedPass> passes;
};

// Some points of a level.
struct Points {
    Array<int32_t> bricks;
    Array<int16_t> offsets;

    size_t size() const { return bricks.size(); }
    size_t index(size_t i) const { return size_t(bricks[i]) * kSlots + size_t(offsets[i]); }
};

// Lists in `to` those of `offsets` of a brick that are flagged, and tells how many they are; `to` has room for all.
template<typename FlagT>
inline size_t listFlagged(const FlagT* flags, const std::vector<int16_t>& offsets, int16_t* to) {
    size_t count = 0;
    for (const int16_t offset : offsets) {
        to[count] = offset;
        count += flags[offset] != 0;
    }
    return count;
}

// The points at `offsets` of each brick that are flagged.
template<typename FlagT>
inline Points listPoints(const FlagT* flags, size_t bricks, const std::vector<int16_t>& offsets, size_t threads) {
    const size_t ranges = rangesOf(bricks, threads, kLeastBricks);
    std::vector<size_t> begin(ranges + 1, 0);
    forRanges(bricks, ranges, threads, [&](size_t range, size_t first, size_t last) {
        size_t count = 0;
        for (size_t brick = first; brick < last; ++brick)
            for (const int16_t offset : offsets) count += flags[brick * kSlots + size_t(offset)] != 0;
        begin[range + 1] = count;
    });
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    Points points{Array<int32_t>(begin[ranges]), Array<int16_t>(begin[ranges])};
    forRanges(bricks, ranges, threads, [&](size_t range, size_t first, size_t last) {
        size_t at = begin[range];
        int16_t flagged[kSlots + 1];
        for (size_t brick = first; brick < last; ++brick) {
            const size_t count = listFlagged(flags + brick * kSlots, offsets, flagged);
            std::fill_n(points.bricks.data() + at, count, int32_t(brick));
            std::copy_n(flagged, count, points.offsets.data() + at);
            at += count;
        }
    });
    return points;
}

// Gives points their values.
inline void scatter(const Points& points, const Array<int32_t>& decoded, Array<int32_t>& values, size_t threads) {
    inParallel(points.size(), threads, kLeastPoints, [&](size_t first, size_t last) {
        for (size_t i = first; i < last; ++i) values[points.index(i)] = decoded[i];
    });
}

inline std::vector<int16_t> allOffsets() {
    std::vector<int16_t> offsets(kSlots);
    for (int i = 0; i < kSlots; ++i) offsets[size_t(i)] = int16_t(i);
    return offsets;
}

// What is predicted of points.
struct Predicted {
    Array<int32_t> values;
    Array<uint8_t> scale_classes;
};

// What networks of zeros predict of cells of the mean lattice. Twin of values/lattice/mean_inputs.py (MeanView).
inline Array<int32_t> interpolate(const LevelView& level, int axis, const Points& points) {
    const int shift = 6 - 3 * axis;
    const int64_t next = axis == 2 ? 1 : axis == 1 ? level.shape[2] : level.shape[1] * level.shape[2];
    Array<int32_t> bases(points.size());
    for (size_t i = 0; i < points.size(); ++i) {
        const int32_t* cell = level.cells + 3 * points.bricks[i];
        const int32_t* row = level.table + (cell[0] * level.shape[1] + cell[1]) * level.shape[2] + cell[2];
        const int offset = points.offsets[i], along = offset >> shift & 7, line = offset & ~(7 << shift);
        const size_t at = points.index(i);
        const int64_t centre = level.values[at];
        // Distance of the cell at a coordinate along the axis, from -1 to 8; the box ends at its last cells.
        const auto distance = [&](int coordinate) -> int64_t {
            if (coordinate < 0 && cell[axis] == 0) return 0;
            if (coordinate >= kEdge && cell[axis] == level.shape[axis] - 1) return 0;
            const int64_t brick = row[coordinate < 0 ? -next : coordinate >= kEdge ? next : 0];
            const int64_t from = brick * kSlots + (line | (coordinate & 7) << shift);
            return level.active[from] ? level.values[from] - centre : 0;
        };
        bases[i] = int32_t((distance(along - 1) - distance(along + 1)) >> 2);
    }
    return bases;
}

inline Predicted predictPoints(const Passes& passes, const CodedPass& coding, const View& view, const Points& points,
    size_t threads)
{
    const bool mean = passes.rule == Rule::mean;
    if (!coding.net) return {interpolate(view.sources[0], coding.axis, points), Array<uint8_t>(points.size(), 0)};
    Predicted predicted{Array<int32_t>(points.size()), Array<uint8_t>(points.size())};
    const Pass pass{view, coding.layout.get(), coding.net.get(), passes.rule, mean ? kNoAxis : coding.axis, coding.step};
    predictAll(pass, {points.bricks.data(), points.offsets.data(), 0, points.size()}, threads, predicted.values.data(),
        predicted.scale_classes.data());
    return predicted;
}

// What residuals make of predictions.
inline Array<int32_t> takeDecoded(Stream& stream, const Predicted& predicted, int64_t step, int64_t threads) {
    Array<int32_t> decoded = stream.take(predicted.scale_classes.data(), predicted.values.size(), threads);
    inParallel(decoded.size(), size_t(threads), kLeastPoints, [&](size_t first, size_t last) {
        for (size_t i = first; i < last; ++i) decoded[i] = int32_t(toDecoded(predicted.values[i] + decoded[i] * step));
    });
    return decoded;
}

} // namespace nvdb
