// Twin of values/lattice/sample_inputs.py, values/lattice/mean_inputs.py, values/lattice/inputs.py and
// values/lattice/network.py: predictions and scale classes of the points of a pass. Same integers, point for point; see
// those modules for what is computed and why. Files that are compiled for one kind of processor do it: range.h.
#pragma once

#include "../../nets/native/simd.h"
#include "coding.h"
#include "layout.h"
#include "network.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace nvdb {

inline Products bestProducts() { return hasVnni() ? Products::vnni : hasAvx2() ? Products::avx2 : Products::pairs; }

// Numbers of a network as nets/packing.py gives them; shifts: six.
struct Weights {
    std::vector<int32_t> w1, b1, w2, b2, w3, b3, linear;
    std::vector<int> shifts;

    size_t inputs() const { return linear.size() / kOutputs; }
    bool fit() const {
        return inputs() > kMeanScales && inputs() <= kMaxInputs && linear.size() == kOutputs * inputs() &&
            w1.size() == kFirstHidden * inputs() && b1.size() == kFirstHidden && w2.size() == kSecondHidden * kFirstHidden &&
            b2.size() == kSecondHidden && w3.size() == kOutputs * kSecondHidden && b3.size() == kOutputs && shifts.size() == 6;
    }
};

// Each point is two inputs, so that their number says which lattice's they are.
inline Net prepared(const Weights& from, Products products) {
    const int scales = from.inputs() % 2 ? kSampleScales : kMeanScales, points = (int(from.inputs()) - scales) / 2;
    const std::vector<int32_t> none(kOutputs);
    Net net{};
    net.hidden = std::any_of(from.w3.begin(), from.w3.end(), [](int32_t weight) { return weight != 0; });
    net.products = products;
    net.points = points;
    net.scales = scales;
    const int rows = products == Products::vnni ? kManyRows : kFewRows;
    for (const bool all_active : {false, true}) {
        net.first[all_active] = Packing(onInputs(from.w1, from.b1, points, scales, all_active), rows, products).take();
        net.linear[all_active] = Packing(onInputs(from.linear, none, points, scales, all_active), kOutputs, products).take();
    }
    net.second = Packing(onHidden(from.w2, from.b2), rows, products).take();
    net.third = Packing(onHidden(from.w3, from.b3), kOutputs, products).take();
    std::copy_n(from.shifts.begin(), 6, net.shifts);
    return net;
}

// What predictors see: levels with the same table and cells, and the mean lattice's share.
struct View {
    std::vector<LevelView> sources;
    const uint8_t* share;
};

// A pass: what is seen, in which layout, and the network. axis: of the pass whose points must not be seen before they are
// coded, kNoAxis for cells.
struct Pass {
    View view;
    const InputLayout* layout;
    const Net* net;
    Rule rule;
    int axis;
    int64_t step;
};

inline int64_t logOfStep(int64_t step) {
    const int exponent = 63 - __builtin_clzll(uint64_t(step));
    return (int64_t(exponent) << kLogBits) + ((step << kLogBits) >> exponent) - (1 << kLogBits);
}

inline Coding codingOf(const Pass& pass) {
    const InputLayout& layout = *pass.layout;
    Coding coding{};
    coding.rule = pass.rule;
    coding.axis = pass.axis;
    coding.source_count = int(pass.view.sources.size());
    coding.group_count = int(layout.groups.size());
    coding.points = layout.points();
    coding.scales = layout.scales;
    coding.step = pass.step;
    coding.log_step = logOfStep(pass.step);
    coding.share = pass.view.share;
    std::copy(layout.line.begin(), layout.line.end(), coding.line);
    std::copy(layout.groups.begin(), layout.groups.end(), coding.groups);
    std::copy(pass.view.sources.begin(), pass.view.sources.end(), coding.sources);
    for (int i = 0; i < coding.points; ++i) std::copy_n(layout.offsets[size_t(i)].begin(), 3, coding.offsets[i]);
    coding.along = layout.along;
    if (pass.rule != Rule::mean && coding.along != pass.axis) coding.along = kNoAxis;
    if (pass.step >= 1 << 22) coding.along = kNoAxis; // too large for look.h
    for (int a = coding.along; pass.rule != Rule::mean && a < 3; ++a) coding.mask |= 1 << (6 - 3 * a);
    coding.bits = coding.mask & 1 << (6 - 3 * std::min(coding.along, 2));
    const auto view = [](const Packed& layer) {
        return PackedView{layer.weights.data(), layer.bias.data(), layer.begin.data(), layer.runs.data(), layer.inputs.data(),
            layer.groups()};
    };
    const Net& net = *pass.net;
    coding.net = {net.hidden, {view(net.first[0]), view(net.first[1])}, view(net.second), view(net.third),
        {view(net.linear[0]), view(net.linear[1])}, {}};
    std::copy_n(net.shifts, 6, coding.net.shifts);
    return coding;
}

// The code that a network was prepared for.
inline PredictRange predictorFor(Products products) {
#ifdef NVDB_AVX2
    if (products == Products::vnni) return avx512::predictRange;
    if (products == Products::avx2) return avx2::predictRange;
#endif
    return portable::predictRange;
}

// Predictions and scale classes of all targets, on several threads; compiled once, in module.cc.
void predictAll(const Pass& pass, const Targets& targets, size_t threads, int32_t* predictions, uint8_t* scale_classes);

} // namespace nvdb
