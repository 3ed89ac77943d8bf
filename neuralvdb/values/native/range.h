// Predictions and scale classes of points of a pass, for the kind of processor that NVDB_ISA names.
#pragma once

#include "groups.h"
#include "middle.h"

namespace nvdb {
namespace NVDB_ISA {

template<Rule kRule>
class RangePredictor {
public:
    RangePredictor(const Coding& coding, const Targets& targets, int32_t* predictions, uint8_t* scale_classes)
        : coding_(coding), targets_(targets), predictions_(predictions), scale_classes_(scale_classes),
          nearest_(coding.group_count > 1), groups_(coding), inputs_(coding), wide_inputs_(coding)
    {
        for (int i = 0; i < coding.points; ++i) {
            const int* offset = coding.offsets[i];
            steps_[i] = Cube::indexOf(offset[0], offset[1], offset[2]) - Cube::indexOf(0);
        }
    }

    void run() {
        for (size_t i = targets_.first, end; i < targets_.last; i = end) {
            for (end = i + 1; end < targets_.last && targets_.bricks[end] == targets_.bricks[i];) ++end;
            addBrick(i, end);
        }
        for (Block& block : blocks_)
            if (block.count) finish(block);
        if (middle_.count) finishMiddle();
        if (wide_count_) finishWide();
    }

private:
    static constexpr bool kMean = kRule == Rule::mean;
    static constexpr int kFarthest = kMean ? 2 : 3; // points are so far away along an axis

    bool inLines(size_t i) const { return coding_.along != kNoAxis && (targets_.places[i] & coding_.mask) == coding_.bits; }
    const int16_t* ofPass() const { return nearest_ ? near_[kMean].points + (kMean ? 0 : kPassRows) : nullptr; }

    void addBrick(size_t first, size_t last) {
        size_t i = first;
        while (i < last && !inLines(i)) addWide(i++);
        if (i == last) return;
        load(targets_.bricks[i], targets_.places[i]);
        if (last < targets_.last) prefetchNext(targets_.bricks[last]);
        if constexpr (kGrouped)
            if (fits_) return addGroups(i, last);
        for (; i < last; ++i) !inLines(i) ? addWide(i) : fits_ ? add(i) : in_middle_ ? addMiddle(i) : addWide(i);
    }

    NVDB_LANES void prefetchNext(int64_t brick) const {
        prefetchBehind(coding_.sources[0], brick);
        if (kMean && nearest_) prefetchBehind(coding_.sources[kMean], brick);
    }

    // Adds points of groups; others, which no pass has, are as rare as wide ones.
    void addGroups(size_t first, size_t last) {
        groups_.take(targets_.places + first, last - first);
        size_t taken = 0;
        for (int group = 0; group < groups_.count(); ++group)
            if (const uint32_t lanes = groups_.lanes(group)) {
                taken += size_t(__builtin_popcount(lanes));
                const uint32_t active = groups_.see(group, near_[0].points, ofPass(), group_.seen);
                if (lanes == (1u << kBlock) - 1) {
                    for (int lane = 0; lane < kBlock; ++lane) addLane(group, lane, first, lane, group_);
                    predict(group_, kBlock);
                    continue;
                }
                addLanes(group, lanes & ~active, first, blocks_[0]);
                addLanes(group, lanes & active, first, blocks_[1]);
            }
        for (size_t i = first; taken < last - first && i < last; ++i)
            if (!groups_.holds(targets_.places[i], i - first)) addWide(i);
    }

    void addLane(int group, int lane, size_t first, int to, Block& block) {
        block.index[to] = first + size_t(groups_.numbers(group)[lane]);
        block.reference[to] = reference_;
        if (kMean) block.share[to] = coding_.share[brick_ * kSlots + groups_.offsets(group)[lane]];
    }

    // Adds some lanes of a group to a block.
    void addLanes(int group, uint32_t lanes, size_t first, Block& block) {
        while (lanes) {
            const uint32_t some = groups_.firstOf(lanes, kBlock - block.count);
            groups_.append(group_.seen, some, coding_.points, block.count, block.seen);
            for (uint32_t left = some; left; left &= left - 1) addLane(group, __builtin_ctz(left), first, block.count++, block);
            if (block.count == kBlock) finish(block);
            lanes &= ~some;
        }
    }

    // What is around a brick, less the reference that its first point gives.
    void load(int64_t brick, int offset) {
        brick_ = brick;
        const LevelView* levels = coding_.sources;
        const int64_t known = brick * kSlots + offset - (kMean ? 0 : 64 >> 3 * coding_.along);
        reference_ = levels[0].packed ? 0 : referenceOf(levels[0].values[known]);
        fits_ = std::abs(reference_) < 1 << 22 && Maker<kMean>(coding_, levels[0], brick, reference_).make(false, near_[0]);
        if (kMean && fits_ && nearest_) fits_ = Maker<kMean>(coding_, levels[kMean], brick, 0).make(true, near_[kMean]);
        if (!fits_) loadMiddle(brick);
    }

    static int32_t referenceOf(int32_t value) {
        constexpr int32_t limit = (kLargest + 1) / 2;
        return value - std::clamp(value, -limit, limit);
    }

    // The same in 32 bits.
    void loadMiddle(int64_t brick) {
        if (around_.brick != brick) around_.find(coding_, brick);
        in_middle_ = std::abs(reference_) < 1 << 22 && cubes_[0].make(coding_.sources[0], around_, reference_, kFarthest);
        if (kMean && in_middle_ && nearest_) in_middle_ = cubes_[kMean].make(coding_.sources[kMean], around_, 0, kFarthest);
    }

    // Points that see active points only have a block of their own, which needs fewer inputs.
    void add(size_t i) {
        const int offset = targets_.places[i], line = lineOf<kMean>(coding_.along, offset);
        const Stretches<kMean> seen(near_[0].points + line, nearest_ ? ofPass() + line : nullptr);
        Block& block = blocks_[seen.allActive(nearest_)];
        const int lane = block.count++;
        for (int k = 0; k < 9; ++k) block.stretches[lane][k] = seen.of[k];
        for (int k = 0; nearest_ && k < 6; ++k) block.seen.points[9 * Stretches<kMean>::kAlong + k][lane] = seen.nearest[k];
        block.index[lane] = i;
        block.reference[lane] = reference_;
        if (kMean) block.share[lane] = coding_.share[int64_t(targets_.bricks[i]) * kSlots + offset];
        if (block.count == kBlock) finish(block);
    }

    void finish(Block& block) {
        const int count = block.count;
        block.count = 0;
        for (int lane = count; lane < kBlock; ++lane) {
            for (int k = 0; !kGrouped && k < 9; ++k) block.stretches[lane][k] = block.stretches[0][k];
            for (int k = kGrouped ? 0 : 9 * Stretches<kMean>::kAlong; k < coding_.points; ++k)
                block.seen.points[k][lane] = block.seen.points[k][0];
            block.reference[lane] = block.reference[0];
            block.share[lane] = block.share[0];
        }
        if (!kGrouped) turn<kMean>(block.stretches, block.seen);
        predict(block, count);
    }

    void predict(const Block& block, int count) {
        Scaled scaled;
        if (look<kRule>(coding_, block, inputs_, scaled)) return predict(scaled, block.index, count);
        for (int lane = 0; lane < count; ++lane) addWide(block.index[lane]);
    }

    void addMiddle(size_t i) {
        const int offset = targets_.places[i], at = Cube::indexOf(offset), lane = middle_.count++;
        for (int g = 0; g < coding_.group_count; ++g) {
            const Group& group = coding_.groups[g];
            const int32_t* from = cubes_[kMean ? group.source : 0].points + at;
            for (int k = group.begin; k < group.end; ++k) middle_.points[k][lane] = from[steps_[k]];
        }
        middle_.index[lane] = i;
        middle_.reference[lane] = reference_;
        if (kMean) middle_.share[lane] = coding_.share[int64_t(targets_.bricks[i]) * kSlots + offset];
        if (middle_.count == kBlock) finishMiddle();
    }

    void finishMiddle() {
        const int count = middle_.count;
        middle_.fill(coding_.points);
        middle_.count = 0;
        Scaled scaled;
        if (lookMiddle<kRule>(coding_, middle_, inputs_, scaled)) predict(scaled, middle_.index, count);
        else
            for (int lane = 0; lane < count; ++lane) addWide(middle_.index[lane]);
    }

    // What the network makes of inputs_.
    void predict(const Scaled& scaled, const size_t* index, int count) {
        Ints out[kOutputs][2], values[2], classes[2];
        forward(coding_.net, inputs_, scaled.all_active, out);
        for (int half = 0; half < 2; ++half) {
            const Ints offset = clamped(out[0][half], -kMaxOffset, kMaxOffset), more = scaled.exponent[half] - kOffsetBits;
            values[half] = scaled.base[half] + (more < 0 ? offset >> (more < 0 ? -more : 0) : offset << (more < 0 ? 0 : more));
            classes[half] = clamped(((scaled.scale[half] + out[1][half]) >> 2) + kClassOfOneStep, 0, kScaleClasses - 1);
        }
        put(values, classes, index, count);
    }

    void put(const Ints* values, const Ints* classes, const size_t* index, int count) {
        int32_t value[kBlock], scale_class[kBlock];
        joined(values, value);
        joined(classes, scale_class);
        for (int lane = 0; lane < count; ++lane) {
            predictions_[index[lane]] = value[lane];
            scale_classes_[index[lane]] = uint8_t(scale_class[lane]);
        }
    }

    void addWide(size_t i) {
        WideSeen seen;
        const int64_t brick = targets_.bricks[i], offset = targets_.places[i];
        if (brick != around_.brick) around_.find(coding_, brick);
        gatherWide(coding_, around_, int(offset), seen);
        const int lane = wide_count_++;
        wide_index_[lane] = i;
        wide_scaled_[lane] = lookWide(coding_, seen, kMean ? coding_.share[brick * kSlots + offset] : 0, lane, wide_inputs_);
        if (wide_count_ == kBlock) finishWide();
    }

    void finishWide() {
        Ints out[kOutputs][2];
        int32_t offsets[kBlock], classes[kBlock];
        forward(coding_.net, wide_inputs_, false, out);
        joined(out[0], offsets);
        joined(out[1], classes);
        for (int lane = 0; lane < wide_count_; ++lane) {
            const WideScaled& scaled = wide_scaled_[lane];
            const int64_t offset = std::clamp(offsets[lane], -kMaxOffset, kMaxOffset);
            const int64_t value = scaled.base + (offset * (int64_t(1) << scaled.exponent) >> kOffsetBits);
            const int64_t scale_class = ((scaled.scale + classes[lane]) >> 2) + kClassOfOneStep;
            predictions_[wide_index_[lane]] = int32_t(std::clamp(value, -kMaxPrediction, kMaxPrediction));
            scale_classes_[wide_index_[lane]] = uint8_t(std::clamp<int64_t>(scale_class, 0, kScaleClasses - 1));
        }
        wide_count_ = 0;
    }

    const Coding& coding_;
    const Targets& targets_;
    int32_t* predictions_;
    uint8_t* scale_classes_;
    const bool nearest_; // whether the nearest points of the pass itself are seen
    int64_t brick_ = -1;
    int32_t reference_ = 0;
    bool fits_ = false, in_middle_ = false; // whether what is around the brick fits into 16 bits, and into 32
    Near near_[1 + kMean];
    Groups<kMean> groups_;
    Block group_, blocks_[2]; // of `blocks_` the second is of points that see active points only
    Cube cubes_[1 + kMean];
    int steps_[kMaxPoints]; // from a point to those that it sees
    MiddleBlock middle_;
    Inputs inputs_, wide_inputs_;
    Around around_;
    int wide_count_ = 0;
    size_t wide_index_[kBlock];
    WideScaled wide_scaled_[kBlock];
};

void predictRange(const Coding& coding, const Targets& targets, int32_t* predictions, uint8_t* scale_classes) {
    switch (coding.rule) {
        case Rule::sample: return RangePredictor<Rule::sample>(coding, targets, predictions, scale_classes).run();
        case Rule::activeOnly: return RangePredictor<Rule::activeOnly>(coding, targets, predictions, scale_classes).run();
        case Rule::mean: return RangePredictor<Rule::mean>(coding, targets, predictions, scale_classes).run();
    }
}

} // namespace NVDB_ISA
} // namespace nvdb
