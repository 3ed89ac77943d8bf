// Numbers of the format; values/lattice/constants.py has them in Python, tests/values/test_constants.py compares.
#pragma once

#include <cstdint>

namespace nvdb {

constexpr int kEdge = 8, kSlots = kEdge * kEdge * kEdge;
constexpr int kMeanLevels = 13, kSampleLevels = 5, kLayers = 4;
constexpr int kFirstHidden = 48, kSecondHidden = 32, kOutputs = 2;
constexpr int kOne = 16, kMaxInput = 127, kLogBits = 4, kShares = 32;
constexpr int kOffsetBits = 8, kMaxOffset = 1 << 13;
constexpr int kScaleClasses = 64, kClassOfOneStep = 16, kEscape = 63, kSymbols = kEscape + 1, kWidthBits = 5;
constexpr int64_t kMaxResidual = 1 << 22, kLimit = 1 << 27, kMaxDecoded = 1 << 28, kMaxBase = 1 << 29, kMaxPrediction = 1 << 30;

} // namespace nvdb
