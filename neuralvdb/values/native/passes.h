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

// How many of `offsets` of a brick are flagged.
template<typename FlagT>
inline int64_t countFlagged(const FlagT* flags, const std::vector<int16_t>& offsets) {
    int64_t count = 0;
    for (const int16_t offset : offsets) count += flags[offset] != 0;
    return count;
}

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

// The points of a pass before they are listed: flags of all, and how many there are before each brick, and in all.
struct Flagged {
    const uint8_t* flags;
    Array<int64_t> begins;

    explicit Flagged(const uint8_t* flags, int64_t bricks): flags(flags), begins(size_t(bricks) + 1) {}

    // Bricks are counted in any order, and then added up.
    void count(size_t brick, const std::vector<int16_t>& offsets) {
        begins[brick + 1] = countFlagged(flags + brick * kSlots, offsets);
    }
    void addUp() {
        begins[0] = 0;
        std::partial_sum(begins.data(), begins.data() + begins.size(), begins.data());
    }
    size_t size() const { return size_t(begins[begins.size() - 1]); }

    // Gives `to` the points of some bricks.
    void list(size_t first, size_t last, const std::vector<int16_t>& offsets, Points& to) const {
        int16_t flagged[kSlots + 1];
        for (size_t brick = first; brick < last; ++brick) {
            const size_t count = listFlagged(flags + brick * kSlots, offsets, flagged);
            std::fill_n(to.bricks.data() + begins[brick], count, int32_t(brick));
            std::copy_n(flagged, count, to.offsets.data() + begins[brick]);
        }
    }

    // Calls job(first, last) for bricks that hold about as many points each as ranges of points do.
    template<typename Job>
    void forBricks(size_t threads, const Job& job) const {
        const auto brickOf = [&](size_t point) {
            return size_t(std::lower_bound(begins.data(), begins.data() + begins.size(), int64_t(point)) - begins.data());
        };
        inParallel(size(), threads, kLeastPredicted,
            [&](size_t first, size_t last) { job(brickOf(first), brickOf(last)); });
    }
};

// All points of bricks that are flagged: the coarsest, which are few.
template<typename FlagT>
inline Points listPoints(const FlagT* flags, size_t bricks, const std::vector<int16_t>& offsets) {
    size_t size = 0;
    for (size_t brick = 0; brick < bricks; ++brick) size += size_t(countFlagged(flags + brick * kSlots, offsets));
    Points points{Array<int32_t>(size), Array<int16_t>(size)};
    int16_t flagged[kSlots + 1];
    for (size_t brick = 0, at = 0; brick < bricks; ++brick) {
        const size_t count = listFlagged(flags + brick * kSlots, offsets, flagged);
        std::fill_n(points.bricks.data() + at, count, int32_t(brick));
        std::copy_n(flagged, count, points.offsets.data() + at);
        at += count;
    }
    return points;
}

// Gives points `first` to `last` their values.
inline void scatter(const Points& points, const int32_t* decoded, size_t first, size_t last, Array<int32_t>& values) {
    for (size_t i = first; i < last; ++i) values[points.index(i)] = decoded[i];
}

inline std::vector<int16_t> allOffsets() {
    std::vector<int16_t> offsets(kSlots);
    for (int i = 0; i < kSlots; ++i) offsets[size_t(i)] = int16_t(i);
    return offsets;
}

// Points, and what is predicted of them.
struct Predicted {
    Points points;
    Array<int32_t> values;
    Array<uint8_t> scale_classes;

    explicit Predicted(size_t size)
        : points{Array<int32_t>(size), Array<int16_t>(size)}, values(size), scale_classes(size) {}
};

// Gives points `first` to `last`, cells of the mean lattice, what networks of zeros predict. Twin of
// values/lattice/mean_inputs.py (MeanView).
inline void interpolate(const LevelView& level, int axis, size_t first, size_t last, Predicted& to) {
    const Points& points = to.points;
    const int shift = 6 - 3 * axis;
    const int64_t next = axis == 2 ? 1 : axis == 1 ? level.shape[2] : level.shape[1] * level.shape[2];
    for (size_t i = first; i < last; ++i) {
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
        to.values[i] = int32_t((distance(along - 1) - distance(along + 1)) >> 2);
        to.scale_classes[i] = 0;
    }
}

// The points of a pass with their predictions: some bricks are listed and predicted at a time.
inline Predicted predictPoints(const Passes& passes, const CodedPass& coding, const View& view, const Flagged& flagged,
    size_t threads)
{
    Predicted predicted(flagged.size());
    if (!coding.net) {
        flagged.forBricks(threads, [&](size_t first, size_t last) {
            flagged.list(first, last, coding.offsets, predicted.points);
            interpolate(view.sources[0], coding.axis, size_t(flagged.begins[first]), size_t(flagged.begins[last]), predicted);
        });
        return predicted;
    }
    const int axis = passes.rule == Rule::mean ? kNoAxis : coding.axis;
    const Coding prepared = codingOf({view, coding.layout.get(), coding.net.get(), passes.rule, axis, coding.step});
    const PredictRange predict = predictorFor(coding.net->products);
    const Points& points = predicted.points;
    flagged.forBricks(threads, [&](size_t first, size_t last) {
        flagged.list(first, last, coding.offsets, predicted.points);
        const Targets targets{points.bricks.data(), points.offsets.data(), size_t(flagged.begins[first]),
            size_t(flagged.begins[last])};
        predict(prepared, targets, predicted.values.data(), predicted.scale_classes.data());
    });
    return predicted;
}

// What residuals make of predictions. put(first, last, decoded): told of points once they are decoded.
template<typename Put>
inline Array<int32_t> takeDecoded(Stream& stream, const Predicted& predicted, int64_t step, size_t threads, const Put& put) {
    const size_t count = predicted.values.size();
    return stream.take(predicted.scale_classes.data(), count, threads, [&](size_t first, size_t last, int32_t* decoded) {
        for (size_t i = first; i < last; ++i) decoded[i] = int32_t(toDecoded(predicted.values[i] + decoded[i] * step));
        put(first, last, decoded);
    });
}

} // namespace nvdb
