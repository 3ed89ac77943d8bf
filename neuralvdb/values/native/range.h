// Predictions and scale classes of points of a pass, for the kind of processor that NVDB_ISA names.
#pragma once

#include "wide.h"

namespace nvdb {
namespace NVDB_ISA {

template<Rule kRule>
class RangePredictor {
public:
    RangePredictor(const Coding& coding, const Targets& targets, int32_t* predictions, uint8_t* scale_classes)
        : coding_(coding), targets_(targets), predictions_(predictions), scale_classes_(scale_classes), inputs_(coding),
          wide_inputs_(coding) {}

    void run() {
        for (size_t i = targets_.first; i < targets_.last; ++i) {
            const int offset = targets_.places[i];
            if (coding_.along == kNoAxis || (offset & coding_.mask) != coding_.bits) {
                addWide(i);
                continue;
            }
            if (targets_.bricks[i] != brick_) load(targets_.bricks[i], offset);
            fits_ ? add(i) : addWide(i);
        }
        if (block_.count) finish();
        if (wide_count_) finishWide();
    }

private:
    static constexpr bool kMean = kRule == Rule::mean;

    // Lines of a brick, around the reference that its first point gives. Blocks keep the lines of their points' bricks.
    void load(int64_t brick, int offset) {
        brick_ = brick;
        if (next_ == kept_) ++next_;
        slot_ = next_;
        const int stride = 1 << (6 - 3 * coding_.along);
        const int64_t at = brick * kSlots + (kMean ? offset : offset - stride);
        const int32_t value = coding_.sources[0].values[at], limit = (kLargest + 1) / 2;
        reference_ = value - std::clamp(value, -limit, limit);
        fits_ = std::abs(reference_) < 1 << 22 && LineMaker<kMean>(coding_, coding_.sources[0], brick, reference_).make(lines_[slot_][0]);
        if (kMean && coding_.group_count > 1)
            fits_ = fits_ && LineMaker<kMean>(coding_, coding_.sources[1], brick, 0).make(lines_[slot_][1]);
        next_ += fits_;
    }

    void add(size_t i) {
        const int lane = block_.count++, offset = targets_.places[i], line = lineOf<kMean>(coding_.along, offset);
        block_.index[lane] = i;
        block_.lines[0][lane] = lines_[slot_][0].points + line;
        block_.lines[1][lane] = lines_[slot_][kMean].points + line;
        block_.reference[lane] = reference_;
        if (kMean) block_.share[lane] = coding_.share[int64_t(targets_.bricks[i]) * kSlots + offset];
        if (block_.count == kBlock) finish();
    }

    void finish() {
        for (int lane = block_.count; lane < kBlock; ++lane) {
            for (auto& lines : block_.lines) lines[lane] = lines[0];
            block_.reference[lane] = block_.reference[0];
            block_.share[lane] = block_.share[0];
        }
        gatherKnown<kMean>(block_.lines[0], block_.seen);
        if (coding_.group_count > 1) gatherNearest<kMean>(block_.lines[1], block_.seen);
        const int count = block_.count;
        block_.count = 0;
        kept_ = slot_;
        next_ = 0;
        Scaled scaled;
        if (!look<kRule>(coding_, block_, inputs_, scaled)) {
            for (int lane = 0; lane < count; ++lane) addWide(block_.index[lane]);
            return;
        }
        Ints out[kOutputs][2], values[2], classes[2];
        forward(coding_.net, inputs_, scaled.all_active, out);
        for (int half = 0; half < 2; ++half) {
            const Ints offset = clamped(out[0][half], -kMaxOffset, kMaxOffset);
            values[half] = scaled.base[half] + (offset << scaled.exponent[half] >> kOffsetBits);
            classes[half] = clamped(((scaled.scale[half] + out[1][half]) >> 2) + kClassOfOneStep, 0, kScaleClasses - 1);
        }
        put(values, classes, block_.index, count);
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
        gatherWide(coding_, brick, int(offset), seen);
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
    int64_t brick_ = -1;
    int32_t reference_ = 0;
    bool fits_ = false;
    int slot_ = 0, kept_ = -1, next_ = 0; // of `lines_`: this brick's, the last block's last brick's, and the next brick's
    Lines lines_[kBlock + 1][1 + kMean];
    Block block_;
    Inputs inputs_, wide_inputs_;
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
