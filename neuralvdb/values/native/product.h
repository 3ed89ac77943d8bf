// Twin of nets/network.py: a network for a block of points. The products are what a processor multiplies best: bytes with
// AVX2 or VNNI, else pairs of 16 bits.
#pragma once

#include "look.h"

namespace nvdb {
namespace NVDB_ISA {

#ifdef __AVX2__
constexpr int kPack = 4; // to a number of 32 bits
#else
constexpr int kPack = 2;

#ifdef __aarch64__
// Adds entries first to last of a layer to sums of rows, which stay in registers meanwhile.
template<int kRows>
inline void addEntries(const PackedView& layer, int first, int last, const Ints (*x)[2], Ints (*sum)[2]) {
    int32x4_t sums[kRows][2][2]; // four points each
    std::memcpy(sums, sum, sizeof(sums));
    for (int entry = first; entry < last; ++entry) {
        for (int half = 0; half < 2; ++half) {
            const Ints& pairs = x[layer.inputs[entry]][half];
            const Eight low = loaded<Eight>(&pairs), high = loaded<Eight>(reinterpret_cast<const char*>(&pairs) + sizeof(low));
            const int16x8_t inputs[2] = {evens(low, high), odds(low, high)};
            for (int r = 0; r < kRows; ++r) {
                const int16x4_t weights = vreinterpret_s16_s32(vdup_n_s32(layer.weights[entry * kRows + r]));
                int32x4_t* to = sums[r][half];
                to[0] = vmlal_lane_s16(to[0], vget_low_s16(inputs[0]), weights, 0);
                to[1] = vmlal_high_lane_s16(to[1], inputs[0], weights, 0);
                to[0] = vmlal_lane_s16(to[0], vget_low_s16(inputs[1]), weights, 1);
                to[1] = vmlal_high_lane_s16(to[1], inputs[1], weights, 1);
            }
        }
    }
    std::memcpy(sum, sums, sizeof(sums));
}
#else
// sum += two signed numbers of 16 bits times two others, in each lane; the products' sum stays within 32 bits.
inline void addPairs(Ints& sum, const Ints& pairs, int32_t weights) {
#ifdef __SSE2__
    __m128i x[2], to[2];
    std::memcpy(x, &pairs, sizeof(x));
    for (int i = 0; i < 2; ++i) to[i] = _mm_madd_epi16(x[i], _mm_set1_epi32(weights));
    sum += loaded<Ints>(to);
#else
    sum += (pairs << 16 >> 16) * int32_t(int16_t(weights)) + (pairs >> 16) * (weights >> 16);
#endif
}
#endif
#endif

#ifdef __AVX512VNNI__
constexpr int kRowsTogether = kManyRows;
#else
constexpr int kRowsTogether = kFewRows;
#endif
constexpr int kNumbers = (2 * kMaxPoints + kMaxScales + 8) / kPack;

#ifdef __AVX512VNNI__

// Sums of kRows rows for both halves of a block, in product form; x: numbers of inputs, two halves each. All entries of a
// group are one run.
template<int kRows>
inline void product(const PackedView& layer, int group, const Ints (*x)[2], Ints (*sum)[2]) {
    __m512i both[kRows];
    for (int r = 0; r < kRows; ++r) both[r] = _mm512_set1_epi32(layer.bias[group * kRows + r]);
    const int last = layer.runs[group + 1];
    for (int entry = layer.runs[group]; entry < last; ++entry) {
        const __m512i inputs = bits<__m512i>(x[layer.inputs[entry]]);
        for (int r = 0; r < kRows; ++r)
            both[r] = _mm512_dpbusd_epi32(both[r], inputs, _mm512_set1_epi32(layer.weights[entry * kRows + r]));
    }
    for (int r = 0; r < kRows; ++r) std::memcpy(sum[r], &both[r], sizeof(both[r]));
}

#else

// Sums of kRows rows for both halves of a block, in product form; x: numbers of inputs, two halves each.
template<int kRows>
inline void product(const PackedView& layer, int group, const Ints (*x)[2], Ints (*sum)[2]) {
    for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = Ints{} + layer.bias[group * kRows + r];
    for (int run = layer.begin[group]; run < layer.begin[group + 1]; ++run) {
        const int last = layer.runs[run + 1];
#ifdef __AVX2__
        __m256i both[kRows][2] = {};
        for (int entry = layer.runs[run]; entry < last; ++entry) {
            const Ints* from = x[layer.inputs[entry]];
            const __m256i inputs[2] = {bits<__m256i>(from[0]), bits<__m256i>(from[1])};
            for (int r = 0; r < kRows; ++r) {
                const __m256i weights = _mm256_set1_epi32(layer.weights[entry * kRows + r]);
                for (int half = 0; half < 2; ++half) {
                    both[r][half] = _mm256_add_epi16(both[r][half], _mm256_maddubs_epi16(inputs[half], weights));
                    NVDB_KEEP(both[r][half]);
                }
            }
        }
        for (int r = 0; r < kRows; ++r)
            for (int half = 0; half < 2; ++half)
                sum[r][half] += bits<Ints>(_mm256_madd_epi16(both[r][half], _mm256_set1_epi16(1)));
#elif defined(__aarch64__)
        addEntries<kRows>(layer, layer.runs[run], last, x, sum);
#else
        for (int entry = layer.runs[run]; entry < last; ++entry) {
            const Ints* from = x[layer.inputs[entry]];
            for (int r = 0; r < kRows; ++r)
                for (int half = 0; half < 2; ++half) addPairs(sum[r][half], from[half], layer.weights[entry * kRows + r]);
        }
#endif
    }
}

#endif

#ifdef __AVX2__

// Inputs as bytes, four to a number, those with a sign plus 128.
inline void pack(const Inputs& from, bool all_active, Ints (*to)[2]) {
    const int count = all_active ? from.with_sign : from.count;
    for (int i = 0; i < count; i += 4) {
        const auto number = [&](int k) { return bits<__m256i>(from.numbers[i + k]); };
        const __m256i even = _mm256_packs_epi16(number(0), number(2)), odd = _mm256_packs_epi16(number(1), number(3));
        const __m256i low = _mm256_unpacklo_epi8(even, odd), high = _mm256_unpackhi_epi8(even, odd);
        const __m256i sign = _mm256_set1_epi8(char(i < from.with_sign ? 128 : 0));
        to[i / 4][0] = bits<Ints>(_mm256_xor_si256(_mm256_unpacklo_epi16(low, high), sign));
        to[i / 4][1] = bits<Ints>(_mm256_xor_si256(_mm256_unpackhi_epi16(low, high), sign));
    }
}

// Four rows of sums as hidden units: clip(sum >> shift, 0, 255).
#ifdef __AVX512VNNI__
inline void activate(Ints (*sum)[2], int shift, Ints (*to)[2]) {
    const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const auto unit = [&](int r) { return _mm512_sra_epi32(loaded<__m512i>(sum[r]), _mm_cvtsi32_si128(shift)); };
    const __m512i first = _mm512_packs_epi32(unit(0), unit(1)), second = _mm512_packs_epi32(unit(2), unit(3));
    const __m512i bytes = _mm512_shuffle_epi8(_mm512_packus_epi16(first, second), order);
    std::memcpy(to[0], &bytes, sizeof(bytes));
}
#else
inline void activate(Ints (*sum)[2], int shift, Ints (*to)[2]) {
    const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (int half = 0; half < 2; ++half) {
        const auto unit = [&](int r) { return bits<__m256i>(sum[r][half] >> shift); };
        const __m256i first = _mm256_packs_epi32(unit(0), unit(1)), second = _mm256_packs_epi32(unit(2), unit(3));
        to[0][half] = bits<Ints>(_mm256_shuffle_epi8(_mm256_packus_epi16(first, second), order));
    }
}
#endif

#else

inline void pack(const Inputs& from, bool all_active, Ints (*to)[2]) {
    const int count = all_active ? from.with_sign : from.count;
    for (int i = 0; i < count; i += 2) {
        to[i / 2][0] = bits<Ints>(unpackLow(from.numbers[i], from.numbers[i + 1]));
        to[i / 2][1] = bits<Ints>(unpackHigh(from.numbers[i], from.numbers[i + 1]));
    }
}

inline void activate(Ints (*sum)[2], int shift, Ints (*to)[2]) {
    for (int half = 0; half < 2; ++half)
        for (int r = 0; r < 4; r += 2)
            to[r / 2][half] = clamped(sum[r][half] >> shift, 0, 255) | clamped(sum[r + 1][half] >> shift, 0, 255) << 16;
}

#endif

inline void hidden(const PackedView& layer, int shift, const Ints (*x)[2], Ints (*to)[2]) {
    for (int group = 0; group < layer.groups; ++group) {
        Ints sum[kRowsTogether][2];
        product<kRowsTogether>(layer, group, x, sum);
        for (int r = 0; r < kRowsTogether; r += 4) activate(sum + r, shift, to + (group * kRowsTogether + r) / kPack);
    }
}

// out[0] and out[1] of values/lattice/network.py.
inline void forward(const NetView& net, const Inputs& inputs, bool all_active, Ints (*out)[2]) {
    Ints x[kNumbers][2], h1[kFirstHidden / kPack][2], h2[kSecondHidden / kPack][2], last[kOutputs][2], line[kOutputs][2];
    pack(inputs, all_active, x);
    if (net.hidden) {
        hidden(net.first[all_active], net.shifts[0], x, h1);
        hidden(net.second, net.shifts[1], h1, h2);
    }
    product<kOutputs>(net.third, 0, h2, last);
    product<kOutputs>(net.linear[all_active], 0, x, line);
    for (int r = 0; r < kOutputs; ++r)
        for (int half = 0; half < 2; ++half)
            out[r][half] = (last[r][half] >> net.shifts[2 + r]) + (line[r][half] >> net.shifts[4 + r]);
}

} // namespace NVDB_ISA
} // namespace nvdb
