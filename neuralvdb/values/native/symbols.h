// What an encoder puts in its buffers: residuals of each pass with their classes.
#pragma once

#include "../../nets/native/simd.h"
#include "passes.h"
#include "pool.h"
#include "quantiser.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nvdb {

// errors: of predictions in steps, where they are asked for.
struct CodedResiduals {
    int layer;
    Array<int32_t> residuals;
    Array<uint8_t> scale_classes;
    Array<float> errors;
};

// The residuals of a component. with_errors: whether those of predictions are asked for; threads: that share the work.
struct Coded {
    bool with_errors;
    size_t threads;
    std::vector<CodedResiduals> passes;
};

constexpr size_t kBatch = 64; // points whose residuals are computed together, in loops that become vectors

// What batches are made of: exact values, predictions and their classes, as many as there are in the batch.
struct Batch {
    double exact[kBatch];
    const int32_t* predictions;
    const uint8_t* scale_classes;
    size_t count;
};

// Residuals and what they decode as; errors may be null. round.steps(error, scale_class) is the number of steps next to an
// error.
template<typename Round>
NVDB_LANES void codeBatch(const Batch& batch, double step, const Round& round, int32_t* residuals, int32_t* decoded, float* errors)
{
    constexpr double largest = kMaxResidual, most = kMaxDecoded;
    double error[kBatch];
    for (size_t i = 0; i < batch.count; ++i) error[i] = (batch.exact[i] - batch.predictions[i]) / step;
    for (size_t i = 0; errors && i < batch.count; ++i) errors[i] = float(error[i]);
    for (size_t i = 0; i < batch.count; ++i) {
        const double steps = round.steps(error[i], batch.scale_classes[i]);
        const double kept = std::max(std::min(steps, largest), -largest), value = batch.predictions[i] + kept * step;
        residuals[i] = int32_t(kept);
        decoded[i] = int32_t(std::max(std::min(value, most), -most));
    }
}

#ifdef NVDB_AVX2
template<typename Round>
NVDB_AVX2 inline void codeBatchFast(const Batch& batch, double step, const Round& round, int32_t* residuals, int32_t* decoded,
    float* errors)
{
    codeBatch(batch, step, round, residuals, decoded, errors);
}
#endif

// Residuals of exact values after prediction, and the values as they decode; exact(first, count, to) gives those of some
// points, put(first, last, decoded) is told of points once they are coded.
template<typename Exact, typename Round, typename Put>
inline Array<int32_t> codeResiduals(const CodedPass& coding, Predicted& predicted, const Exact& exact, const Round& round,
    const Put& put, Coded& to)
{
    const size_t count = predicted.values.size();
    Array<int32_t> residuals(count), decoded(count);
    Array<float> errors(to.with_errors ? count : 0);
    inParallel(count, to.threads, kLeastPoints, [&](size_t first, size_t last) {
        Batch batch;
        for (size_t i = first; i < last; i += batch.count) {
            batch.predictions = &predicted.values[i];
            batch.scale_classes = &predicted.scale_classes[i];
            batch.count = std::min(kBatch, last - i);
            exact(i, batch.count, batch.exact);
            float* of_batch = to.with_errors ? &errors[i] : nullptr;
#ifdef NVDB_AVX2
            if (hasAvx2()) {
                codeBatchFast(batch, double(coding.step), round, &residuals[i], &decoded[i], of_batch);
                continue;
            }
#endif
            codeBatch(batch, double(coding.step), round, &residuals[i], &decoded[i], of_batch);
        }
        put(first, last, decoded.data());
    });
    to.passes.push_back({coding.layer, std::move(residuals), std::move(predicted.scale_classes), std::move(errors)});
    return decoded;
}

// The coarsest points: each as the difference to the one before.
inline void codeDifferences(const Array<int64_t>& whole, uint8_t scale_class, Coded& to) {
    Array<int32_t> residuals(whole.size());
    for (size_t i = 0; i < whole.size(); ++i) residuals[i] = int32_t(whole[i] - (i ? whole[i - 1] : 0));
    to.passes.push_back({0, std::move(residuals), Array<uint8_t>(whole.size(), scale_class), {}});
}

} // namespace nvdb
