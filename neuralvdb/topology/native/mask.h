// The fast twin of topology/code_mask.py: all phases of a mask in one call, with their networks and their rANS. There every
// step is explained; states are 0, 1 and 2 here.
#pragma once

#include "../../archive/native/rans.h"
#include "classify.h"

#include <cstring>
#include <vector>

namespace nvdb {

constexpr int kOrder[8] = {0, 7, 3, 4, 5, 2, 6, 1};
constexpr int kBytes = 64; // of a brick's bits
enum Outside { kEmpty, kFull, kUnknown, kOutside }; // rows behind the bricks

// Bits of B bricks to be coded. near: (B, 27) rows of the bricks around; octants: (B,) of the bricks; reference: (B, 64) or
// null; skip: bits of the reference are not coded.
struct MaskTask {
    size_t bricks;
    const int32_t* near;
    const uint8_t* octants;
    const uint8_t* reference;
    bool skip;
};

// Networks of all families and phases, and the family of each level.
struct Nets {
    const std::vector<Net>& all;
    int families[kLevels];

    const Net& of(int level, int phase) const { return all[size_t(families[level] * 8 + phase)]; }
};

// States of the levels 0 to 3 of bits (B, 64), and of what is outside. Bits that are `ignored`, (B, 64) or null, count for
// neither; a cell without others is mixed.
inline std::vector<std::vector<uint8_t>> pyramid(const uint8_t* bits, const uint8_t* ignored, size_t bricks) {
    std::vector<std::vector<uint8_t>> levels(kLevels);
    std::vector<uint8_t> any(512), all(512);
    for (int k = 0; k < kLevels; ++k) {
        const size_t cells = size_t(512) >> 3 * k;
        levels[k].resize((bricks + kOutside) * cells);
        for (int row = 0; row < kOutside; ++row) {
            std::fill_n(levels[k].data() + (bricks + row) * cells, cells, uint8_t(row == kEmpty ? 0 : row == kFull ? 2 : 1));
        }
    }
    for (size_t b = 0; b < bricks; ++b) {
        for (int i = 0; i < 512; ++i) {
            any[i] = bits[b * kBytes + i / 8] >> i % 8 & 1;
            all[i] = any[i] | (ignored ? ignored[b * kBytes + i / 8] >> i % 8 & 1 : 0);
        }
        for (int k = 0;; ++k) {
            const int n = 8 >> k;
            uint8_t* states = levels[k].data() + b * n * n * n;
            for (int i = 0; i < n * n * n; ++i) states[i] = any[i] == all[i] ? uint8_t(2 * any[i]) : 1;
            if (k == kLevels - 1) break;
            const int half = n / 2;
            for (int x = 0; x < half; ++x) {
                for (int y = 0; y < half; ++y) {
                    for (int z = 0; z < half; ++z) {
                        const int from = (2 * x * n + 2 * y) * n + 2 * z, down = n * n;
                        uint8_t one = 0, each = 1;
                        for (const int at : {from, from + n, from + down, from + down + n}) {
                            one |= any[at] | any[at + 1];
                            each &= all[at] & all[at + 1];
                        }
                        any[(x * half + y) * half + z] = one;
                        all[(x * half + y) * half + z] = each;
                    }
                }
            }
        }
    }
    return levels;
}

// Takes bits from a rANS payload.
class BitReader {
public:
    // codes: (64, 2), as rans::Lookup has them.
    BitReader(const rans::Source& source, const uint32_t* codes, int64_t threads)
        : source_(source), lookup_{nullptr, codes, 2}, threads_(threads) {}

    // Fills n bits of these classes; false where there are none, or no more.
    bool code(const uint8_t* classes, size_t n, uint8_t* bits) {
        if (n && !source_.segments) {
            missing_ = int64_t(n);
            return false;
        }
        rans::decode(source_, lookup_, classes, int64_t(n), bits, threads_);
        return !source_.dry();
    }

    // Bits that no segment could give, 0 where there was one.
    int64_t missing() const { return missing_; }

private:
    rans::Source source_;
    rans::Lookup lookup_;
    int64_t threads_, missing_ = 0;
};

// Notes bits for an encoder.
class BitWriter {
public:
    bool code(const uint8_t* classes, size_t n, const uint8_t* bits) {
        classes_.insert(classes_.end(), classes, classes + n);
        bits_.insert(bits_.end(), bits, bits + n);
        if (n) ends_.push_back(int64_t(bits_.size()));
        return true;
    }

    std::vector<uint8_t> classes_, bits_;
    std::vector<int64_t> ends_;
};

// Codes a mask by a BitReader or a BitWriter.
template<typename Bits>
class MaskCoder {
public:
    // truth: states of the levels, for a BitWriter only.
    MaskCoder(const MaskTask& task, const Nets& nets, Bits& bits, size_t threads)
        : task_(task), nets_(nets), bits_(bits), threads_(threads)
    {
        if (task.reference) reference_ = pyramid(task.reference, nullptr, task.bricks);
    }

    // Whether all bits could be coded. truth: states of the levels, where they are known.
    bool run(const std::vector<std::vector<uint8_t>>* truth) {
        above_.assign(task_.bricks + kOutside, 1);
        above_[task_.bricks + kEmpty] = 0;
        above_[task_.bricks + kFull] = 2;
        for (int k = kLevels - 1; k >= 0; --k) {
            listParents(k);
            if (k == kLevels - 1) states_ = above_;
            else upsample(8 >> k);
            for (int phase = 0; phase < 8; ++phase) {
                listCells(k, phase);
                if (!codePhase(k, phase, truth ? (*truth)[k].data() : nullptr)) return false;
            }
            above_.swap(states_);
        }
        return true;
    }

    // The bits (B, 64) once they are coded.
    void put(uint8_t* out) const {
        const uint8_t* states = above_.data();
        for (size_t i = 0; i < task_.bricks * kBytes; ++i, states += 8) {
            int byte = 0;
            for (int z = 0; z < 8; ++z) byte |= (states[z] == 2) << z;
            out[i] = uint8_t(task_.skip && task_.reference ? byte & ~task_.reference[i] : byte);
        }
    }

private:
    // Below level 3: the first child of each mixed cell above.
    void listParents(int k) {
        parents_.clear();
        first_.clear();
        if (k == kLevels - 1) return;
        const int n = 8 >> k, half = n / 2, cells = half * half * half;
        for (size_t b = 0; b < task_.bricks; ++b) {
            const uint8_t* states = above_.data() + b * size_t(cells);
            for (int i = 0; i < cells; ++i) {
                if (states[i] != 1) continue;
                parents_.push_back(int32_t(b));
                first_.push_back(int16_t(2 * ((i / (half * half) * n + i / half % half) * n + i % half)));
            }
        }
    }

    void upsample(int n) {
        const int half = n / 2;
        const size_t rows = (task_.bricks + kOutside) * size_t(half) * size_t(half);
        states_.resize(rows * 4 * size_t(n));
        for (size_t row = 0; row < rows; ++row) {
            const uint8_t* from = above_.data() + row * size_t(half);
            uint8_t* to = states_.data() + (row / size_t(half) * size_t(n) + row % size_t(half)) * 2 * size_t(n);
            for (int z = 0; z < n; ++z) to[z] = to[n + z] = from[z / 2];
            std::memcpy(to + n * n, to, size_t(2 * n));
        }
    }

    // The cells of a phase that are coded.
    void listCells(int k, int phase) {
        const int n = 8 >> k, o = kOrder[phase];
        bricks_.clear();
        cells_.clear();
        const uint8_t* skipped = task_.skip && task_.reference ? reference_[k].data() : nullptr;
        const auto list = [&](int32_t brick, int cell) {
            if (skipped && skipped[size_t(brick) * (size_t(512) >> 3 * k) + size_t(cell)] == 2) return;
            bricks_.push_back(brick);
            cells_.push_back(int16_t(cell));
        };
        if (k == kLevels - 1) {
            for (size_t b = 0; b < task_.bricks; ++b)
                if (task_.octants[b] == o) list(int32_t(b), 0);
            return;
        }
        const int step = ((o >> 2) * n + (o >> 1 & 1)) * n + (o & 1);
        for (size_t i = 0; i < parents_.size(); ++i) list(parents_[i], first_[i] + step);
    }

    bool codePhase(int k, int phase, const uint8_t* truth) {
        const size_t count = cells_.size(), size = size_t(512) >> 3 * k;
        const int n = 8 >> k;
        classes_.resize(2 * count);
        bits_of_.resize(count);
        const View view{{states_.data(), n}, {above_.data(), std::max(1, n / 2)},
            {task_.reference ? reference_[k].data() : nullptr, n}, task_.near, k};
        inParallel(count, threads_, 512, [&](size_t first, size_t last) {
            classifyRange(view, nets_.of(k, phase), bricks_.data(), cells_.data(), first, last, count, classes_.data());
        });
        const auto at = [&](size_t i) { return size_t(bricks_[i]) * size + size_t(cells_[i]); };
        if (truth)
            for (size_t i = 0; i < count; ++i) bits_of_[i] = truth[at(i)] > 0;
        if (!bits_.code(classes_.data(), count, bits_of_.data())) return false;
        if (k == 0) {
            for (size_t i = 0; i < count; ++i) states_[at(i)] = uint8_t(2 * bits_of_[i]);
            return true;
        }
        size_t mixed = 0;
        for (size_t i = 0; i < count; ++i) {
            states_[at(i)] = bits_of_[i];
            if (bits_of_[i]) {
                classes_[mixed] = classes_[count + i];
                mixed_.resize(std::max(mixed_.size(), mixed + 1));
                mixed_[mixed++] = at(i);
            }
        }
        if (truth)
            for (size_t i = 0; i < mixed; ++i) bits_of_[i] = truth[mixed_[i]] > 1;
        if (!bits_.code(classes_.data(), mixed, bits_of_.data())) return false;
        for (size_t i = 0; i < mixed; ++i) states_[mixed_[i]] = uint8_t(1 + bits_of_[i]);
        return true;
    }

    const MaskTask& task_;
    const Nets& nets_;
    Bits& bits_;
    size_t threads_;
    std::vector<std::vector<uint8_t>> reference_;
    std::vector<uint8_t> above_, states_, classes_, bits_of_;
    std::vector<int32_t> parents_, bricks_;
    std::vector<int16_t> first_, cells_;
    std::vector<size_t> mixed_;
};

} // namespace nvdb
