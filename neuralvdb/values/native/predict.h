// The fast twin of values/lattice/context.py and network.py: predictions and scale classes of the points of a phase.
// Same integers, point for point; see those modules for what is computed and why.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace nvdb {

constexpr int kEdge = 8, kKnown = 36, kFaces = 6, kScales = 3;
constexpr int kOne = 16, kTop = 127;
constexpr int kFirst = 48, kSecond = 32, kOutputs = 2;
constexpr int kBlock = 16; // points that go through the network together
constexpr int kMeanKnown = 45, kMeanScales = 4;
constexpr int kMaxInputs = 2 * (kMeanKnown + kFaces) + kMeanScales;
constexpr int kPad = 3, kPadded = kEdge + 2 * kPad;

typedef float Lanes __attribute__((vector_size(4 * kBlock)));
typedef int32_t IntLanes __attribute__((vector_size(4 * kBlock)));

struct LevelView {
    const int32_t* table;
    int64_t shape[3];
    const int32_t* cells;
    const int32_t* values;
    const uint8_t* active;
};

// Weights as floats, row by row.
struct Net {
    int inputs;
    std::vector<float> w1, b1, w2, b2, w3, b3, linear;
    int shifts[6];
};

// A brick with its surroundings. Coordinates are clamped to the level's box, those above it mirrored if told so.
class Neighbourhood {
public:
    void load(const LevelView& level, int64_t brick, bool mirror = false) {
        for (int axis = 0; axis < 3; ++axis) {
            const int64_t first = level.cells[3 * brick + axis] * int64_t(kEdge) - kPad;
            const int64_t last = level.shape[axis] * kEdge - 1;
            for (int i = 0; i < kPadded; ++i) {
                const int64_t at = first + i, inside = at > last && mirror ? 2 * last - at : at;
                at_[axis][i] = std::clamp<int64_t>(inside, 0, last);
            }
        }
        for (int i = 0; i < kPadded; ++i)
            for (int j = 0; j < kPadded; ++j) loadLine(level, i, j);
    }
    int32_t value(int at) const { return values_[at]; }
    int active(int at) const { return active_[at]; }

private:
    void loadLine(const LevelView& level, int i, int j) {
        const int64_t x = at_[0][i], y = at_[1][j];
        const int64_t line = ((x >> 3) * level.shape[1] + (y >> 3)) * level.shape[2];
        const int64_t inside = (x & 7) * 64 + (y & 7) * 8;
        int32_t* values = values_ + (i * kPadded + j) * kPadded;
        uint8_t* active = active_ + (i * kPadded + j) * kPadded;
        for (int k = 0; k < kPadded; ++k) {
            const int64_t z = at_[2][k];
            const int64_t from = int64_t(level.table[line + (z >> 3)]) * 512 + inside + (z & 7);
            values[k] = level.values[from];
            active[k] = level.active[from];
        }
    }

    int64_t at_[3][kPadded];
    int32_t values_[kPadded * kPadded * kPadded];
    uint8_t active_[kPadded * kPadded * kPadded];
};

// Distances in a Neighbourhood from a point to those of its stencil.
inline std::vector<int> stencil(int axis, int phase) {
    const int stride[3] = {kPadded * kPadded, kPadded, 1};
    const int others[2] = {axis == 0 ? 1 : 0, axis == 2 ? 1 : 2};
    auto unit = [&](int other) { return (other < axis ? 1 : 2) * stride[other]; };
    std::vector<int> found;
    for (int along : {-3, -1, 1, 3})
        for (int i = -1; i <= 1; ++i)
            for (int j = -1; j <= 1; ++j)
                found.push_back(along * stride[axis] + i * unit(others[0]) + j * unit(others[1]));
    if (phase) {
        for (int distance : {2 * stride[axis], unit(others[0]), unit(others[1])}) {
            found.push_back(-distance);
            found.push_back(distance);
        }
    }
    return found;
}

inline int bitLength(int64_t x) { return 64 - __builtin_clzll(uint64_t(x)); }

inline int64_t log2x16(int64_t x) {
    const int exponent = bitLength(x) - 1;
    return (int64_t(exponent) << 4) + (((x << 4) >> exponent) - 16);
}

struct Scale {
    int64_t base, exponent, scale;
};

// Writes the inputs of one point to column `lane` of `inputs` (inputs x kBlock).
inline Scale look(const Neighbourhood& near, int at, const std::vector<int>& offsets, int64_t step, int64_t log_step,
    float* inputs, int lane)
{
    const int count = int(offsets.size());
    int64_t values[kKnown + kFaces];
    int active[kKnown + kFaces];
    for (int i = 0; i < count; ++i) {
        values[i] = near.value(at + offsets[i]);
        active[i] = near.active(at + offsets[i]);
    }
    const int64_t base = (9 * (values[13] + values[22]) - values[4] - values[31] + 8) >> 4;
    int64_t spread = 0, known = 0;
    for (int i = 0; i < kKnown; ++i) {
        spread += active[i] ? std::abs(values[i] - base) : 0;
        known += active[i];
    }
    const int64_t sigma = std::max<int64_t>(spread / (known + 1) + (step >> 2), 1);
    const int exponent = bitLength(sigma) - 1;
    for (int i = 0; i < count; ++i) {
        const int64_t scaled = ((values[i] - base) * kOne) >> exponent;
        inputs[i * kBlock + lane] = float(std::clamp<int64_t>(scaled, -kTop, kTop));
        inputs[(count + i) * kBlock + lane] = float(active[i] * kOne);
    }
    const int64_t scale = log2x16(sigma) - log_step;
    const int64_t size = log2x16(std::abs(base) + step) - log_step;
    float* extra = inputs + 2 * count * kBlock + lane;
    extra[0] = float(std::clamp<int64_t>(scale, -kTop, kTop));
    extra[kBlock] = float(std::clamp<int64_t>(size >> 1, 0, kTop));
    extra[2 * kBlock] = float(std::clamp<int64_t>((base * kOne) >> exponent, -4 * kOne, 4 * kOne));
    return {base, exponent, scale};
}

// to[row] = sum over i of weights[row][i] * from[i] + bias[row], for kBlock points at once.
template<int Rows>
inline void product(const float* weights, const float* bias, const Lanes* from, int count, Lanes* to) {
    Lanes sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = Lanes{} + (bias ? bias[r] : 0.0f);
    for (int i = 0; i < count; ++i)
        for (int r = 0; r < Rows; ++r) sum[r] += weights[r * count + i] * from[i];
    for (int r = 0; r < Rows; ++r) to[r] = sum[r];
}

inline void layer(const std::vector<float>& weights, const std::vector<float>& bias, int rows, int count, int shift,
    const Lanes* from, Lanes* to)
{
    for (int row = 0; row < rows; row += 8) {
        product<8>(&weights[size_t(row) * count], &bias[row], from, count, to + row);
        for (int r = row; r < row + 8; ++r) {
            IntLanes whole = __builtin_convertvector(to[r], IntLanes) >> shift;
            whole = whole < 0 ? IntLanes{} : whole;
            whole = whole > 255 ? IntLanes{} + 255 : whole;
            to[r] = __builtin_convertvector(whole, Lanes);
        }
    }
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define NVDB_CLONES __attribute__((target_clones("avx512f", "arch=haswell", "default"), flatten))
#else
#define NVDB_CLONES
#endif

// out[0] and out[1] of values/lattice/network.py for kBlock points.
NVDB_CLONES inline void forward(const Net& net, const float* inputs, int32_t* out) {
    Lanes h1[kFirst], h2[kSecond], last[kOutputs], line[kOutputs];
    const Lanes* x = reinterpret_cast<const Lanes*>(inputs);
    layer(net.w1, net.b1, kFirst, net.inputs, net.shifts[0], x, h1);
    layer(net.w2, net.b2, kSecond, kFirst, net.shifts[1], h1, h2);
    product<kOutputs>(net.w3.data(), net.b3.data(), h2, kSecond, last);
    product<kOutputs>(net.linear.data(), nullptr, x, net.inputs, line);
    for (int r = 0; r < kOutputs; ++r) {
        const IntLanes sum = (__builtin_convertvector(last[r], IntLanes) >> net.shifts[2 + r]) +
            (__builtin_convertvector(line[r], IntLanes) >> net.shifts[4 + r]);
        std::memcpy(out + r * kBlock, &sum, sizeof(sum));
    }
}

// The twin of values/lattice/mean_context.py: inputs of one cell.
inline Scale lookMean(const Neighbourhood& near, const Neighbourhood& gaps, int at, int share, const std::vector<int>& offsets,
    const std::vector<int>& nearest, int64_t step, int64_t log_step, float* inputs, int lane)
{
    const int faces = int(nearest.size()), count = kMeanKnown + faces;
    const int64_t centre = near.value(at);
    int64_t delta[kMeanKnown + kFaces];
    int active[kMeanKnown + kFaces];
    int64_t spread = 0, known = 0;
    for (int i = 0; i < kMeanKnown; ++i) {
        active[i] = near.active(at + offsets[i]);
        delta[i] = active[i] ? near.value(at + offsets[i]) - centre : 0;
        spread += std::abs(delta[i]);
        known += active[i];
    }
    for (int i = 0; i < faces; ++i) {
        active[kMeanKnown + i] = gaps.active(at + nearest[i]);
        delta[kMeanKnown + i] = active[kMeanKnown + i] ? gaps.value(at + nearest[i]) : 0;
    }
    const int64_t base = (delta[13] - delta[31]) >> 2;
    const int64_t sigma = std::max<int64_t>(spread / (known + 1) + (step >> 2), 1);
    const int exponent = bitLength(sigma) - 1;
    for (int i = 0; i < count; ++i) {
        inputs[i * kBlock + lane] = float(std::clamp<int64_t>((delta[i] * kOne) >> exponent, -kTop, kTop));
        inputs[(count + i) * kBlock + lane] = float(active[i] * kOne);
    }
    const int64_t scale = log2x16(sigma) - log_step;
    const int64_t size = log2x16(std::abs(centre) + step) - log_step;
    float* extra = inputs + 2 * count * kBlock + lane;
    extra[0] = float(std::clamp<int64_t>(scale, -kTop, kTop));
    extra[kBlock] = float(std::clamp<int64_t>(size >> 1, 0, kTop));
    extra[2 * kBlock] = float(std::clamp<int64_t>((centre * kOne) >> exponent, -4 * kOne, 4 * kOne));
    extra[3 * kBlock] = float(share);
    return {base, exponent, scale};
}

// Calls look(lane, point, place in a Neighbourhood) for blocks of points and turns what it wrote into predictions.
template<typename LookT>
inline void predictBlocks(const Net& net, const int16_t* places, size_t first, size_t last, int64_t* predictions,
    uint8_t* classes, LookT look)
{
    alignas(64) float inputs[kMaxInputs * kBlock] = {};
    alignas(64) int32_t out[kOutputs * kBlock];
    Scale scales[kBlock];
    for (size_t i = first; i < last; i += kBlock) {
        const int count = int(std::min<size_t>(kBlock, last - i));
        for (int lane = 0; lane < count; ++lane) {
            const int place = places[i + lane];
            const int at = (((place >> 6) + kPad) * kPadded + (place >> 3 & 7) + kPad) * kPadded + (place & 7) + kPad;
            scales[lane] = look(i + lane, at, inputs, lane);
        }
        forward(net, inputs, out);
        for (int lane = 0; lane < count; ++lane) {
            const int64_t offset = std::clamp(out[lane], -(1 << 13), 1 << 13);
            const auto& seen = scales[lane];
            predictions[i + lane] = seen.base + ((offset << seen.exponent) >> 8);
            classes[i + lane] = uint8_t(std::clamp<int64_t>(((seen.scale + out[kBlock + lane]) >> 2) + 16, 0, 63));
        }
    }
}

// Predictions and classes of points `first` to `last`, which must be sorted by row.
inline void predictRange(const LevelView& level, const Net& net, const int32_t* rows, const int16_t* places, size_t first,
    size_t last, int axis, int phase, int64_t step, int64_t* predictions, uint8_t* classes)
{
    const auto offsets = stencil(axis, phase);
    const int64_t log_step = log2x16(step);
    auto near = std::make_unique<Neighbourhood>();
    int64_t loaded = -1;
    predictBlocks(net, places, first, last, predictions, classes, [&](size_t point, int at, float* inputs, int lane) {
        if (rows[point] != loaded) near->load(level, loaded = rows[point], /*mirror=*/true);
        return look(*near, at, offsets, step, log_step, inputs, lane);
    });
}

// The same for cells of the mean lattice; `gaps` has the differences known so far.
inline void predictMeanRange(const LevelView& level, const LevelView& gaps, const uint8_t* share, const Net& net,
    const int32_t* rows, const int16_t* places, size_t first, size_t last, int axis, int phase, int64_t step,
    int64_t* predictions, uint8_t* classes)
{
    const int stride[3] = {kPadded * kPadded, kPadded, 1};
    const int units[3] = {stride[axis], stride[axis == 0 ? 1 : 0], stride[axis == 2 ? 1 : 2]};
    std::vector<int> offsets, nearest;
    for (int a = -2; a <= 2; ++a)
        for (int i = -1; i <= 1; ++i)
            for (int j = -1; j <= 1; ++j) offsets.push_back(a * units[0] + i * units[1] + j * units[2]);
    if (phase) for (int unit : units) nearest.insert(nearest.end(), {-unit, unit});
    const int64_t log_step = log2x16(step);
    auto near = std::make_unique<Neighbourhood>(), around = std::make_unique<Neighbourhood>();
    int64_t loaded = -1;
    predictBlocks(net, places, first, last, predictions, classes, [&](size_t point, int at, float* inputs, int lane) {
        if (rows[point] != loaded) {
            near->load(level, loaded = rows[point]);
            if (phase) around->load(gaps, loaded);
        }
        const int part = share[size_t(rows[point]) * 512 + size_t(places[point])];
        return lookMean(*near, *around, at, part, offsets, nearest, step, log_step, inputs, lane);
    });
}

} // namespace nvdb
