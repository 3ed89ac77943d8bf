// Whether OpenVDB's compression of inactive values would change bits.
#pragma once

#include "tree_arrays.h"

#include <type_traits>

namespace nvdb {

// OpenVDB's active-mask compression tells a node's inactive values apart with ==, keeps at most two of them
// and names the background and its negative instead of storing them. Notes whether any node seen would so
// lose bits: 0 beside -0, or a zero of another sign than the background's.
template<typename ValueT>
class MaskHazard {
public:
    explicit MaskHazard(const ValueT& background) : background_(background) {}

    // Sees nodes of a level.
    template<size_t slots, typename LevelT>
    void seeLevel(const LevelT& level) {
        tbb::parallel_for(size_t(0), level.nodes, [&](size_t i) {
            const ValueT* values = level.values + i * slots;
            if (!holdsMinusZero<1>(&background_) && !holdsMinusZero<slots>(values)) return;
            const uint8_t *active = level.active + i * slots / 8, *child = level.child ? level.child + i * slots / 8 : nullptr;
            see(values, slots, [&](size_t n) { return !bit(active, n) && !(child && bit(child, n)); });
        });
    }
    bool seen() const { return seen_; }

private:
    // Without any, == tells numbers apart as bits do. Vectors always count: the negative of a background may hold some.
    template<size_t count>
    static bool holdsMinusZero(const ValueT* values) {
        if constexpr (openvdb::VecTraits<ValueT>::IsVec) return true;
        else {
            using Bits = std::conditional_t<sizeof(ValueT) == 4, uint32_t, uint64_t>;
            Bits holds = 0;
            for (size_t n = 0; n < count; ++n) {
                Bits bits;
                std::memcpy(&bits, values + n, sizeof(bits));
                holds |= Bits(bits == Bits(1) << (8 * sizeof(Bits) - 1));
            }
            return holds != 0;
        }
    }

    // `inactive(n)`: whether slot n holds an inactive value.
    template<typename InactiveT>
    void see(const ValueT* values, size_t slots, InactiveT inactive) {
        ValueT kept[2];
        int unique = 0;
        bool lost = false;
        for (size_t n = 0; n < slots; ++n) {
            if (!inactive(n)) continue;
            int i = 0;
            while (i < unique && !(kept[i] == values[n])) ++i;
            if (i == 2) return; // a third one: all are stored
            if (i == unique) kept[unique++] = named(values[n]);
            lost = lost || std::memcmp(&kept[i], &values[n], sizeof(ValueT)) != 0;
        }
        if (lost) seen_ = true;
    }

    ValueT named(const ValueT& value) const {
        if (value == background_) return background_;
        const ValueT minus = openvdb::math::negative(background_);
        return value == minus ? minus : value;
    }

    const ValueT background_;
    std::atomic<bool> seen_{false};
};

// Whether any node of the tree that `view` describes would lose bits.
template<typename ValueT>
bool losesBits(const TreeView<ValueT>& view) {
    MaskHazard<ValueT> hazard(view.background);
    hazard.template seeLevel<32768>(view.upper);
    hazard.template seeLevel<4096>(view.lower);
    hazard.template seeLevel<512>(view.leaf);
    return hazard.seen();
}

} // namespace nvdb
