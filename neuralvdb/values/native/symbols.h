// What an encoder puts in its buffers: residuals of each pass with their classes.
#pragma once

#include "passes.h"
#include "pool.h"
#include "quantiser.h"

#include <cmath>
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

// The residuals of a component. with_errors: whether those of predictions are asked for.
struct Coded {
    bool with_errors;
    std::vector<CodedResiduals> passes;
};

// Residuals of exact values (`count` of them, given by exact(i)) after prediction, and the values as they decode.
// round(error, scale_class) is the number of steps next to an error.
template<typename Exact, typename Round>
inline Array<int32_t> codeResiduals(const CodedPass& coding, Predicted predicted, const Exact& exact, const Round& round,
    size_t threads, Coded& to)
{
    const size_t count = predicted.values.size();
    Array<int32_t> residuals(count), decoded(count);
    Array<float> errors(to.with_errors ? count : 0);
    inParallel(count, threads, kLeastPoints, [&](size_t first, size_t last) {
        for (size_t i = first; i < last; ++i) {
            const int32_t prediction = predicted.values[i];
            const double error = (double(exact(i)) - prediction) / double(coding.step);
            if (to.with_errors) errors[i] = float(error);
            residuals[i] = int32_t(std::clamp(round(error, predicted.scale_classes[i]), -kMaxResidual, kMaxResidual));
            decoded[i] = int32_t(toDecoded(prediction + residuals[i] * coding.step));
        }
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
