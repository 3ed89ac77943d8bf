// Twin of values/lattice/nearby.py: what predictions and a reference missed nearby, of points that are decoded.
#pragma once

#include "passes.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

namespace nvdb {

// Sums over decoded points of a block: how many; sizes of errors, of innovations, of errors less innovations; and errors
// less innovations themselves.
struct BlockSums {
    int64_t count = 0, errors = 0, innovations = 0, apart = 0, sum = 0;

    void add(int64_t error, int64_t innovation) {
        const int64_t difference = error - innovation;
        count += 1;
        errors += std::abs(error);
        innovations += std::abs(innovation);
        apart += std::abs(difference);
        sum += difference;
    }
    void add(const BlockSums& other) {
        count += other.count;
        errors += other.errors;
        innovations += other.innovations;
        apart += other.apart;
        sum += other.sum;
    }
};

constexpr int kBlocks = 64, kLargeBlocks = 8; // of 2x2x2 and of 4x4x4 points in a brick

// The block of 2x2x2 points that a point of a brick lies in, and that of 4x4x4 that one of 2x2x2 lies in.
inline int blockOf(int offset) { return (offset >> 7 & 3) << 4 | (offset >> 4 & 3) << 2 | (offset >> 1 & 3); }
inline int largeBlockOf(int block) { return (block >> 5 & 1) << 2 | (block >> 3 & 1) << 1 | (block >> 1 & 1); }

// Sums of a level by brick; its table, as levels are forgotten sooner.
struct NearbyLevel {
    int number = -1;
    int64_t step = 1;
    Shape shape{};
    std::vector<int32_t> table;
    std::vector<std::array<BlockSums, kBlocks>> bricks; // the first ones, as far as points of them came

    void grow(size_t count) {
        if (bricks.size() < count) bricks.resize(count);
    }
};

// Remembers a component from the coarsest level on.
class Nearby {
public:
    // points: of the level's first pass, sorted by brick.
    void enter(const LevelView& view, const Points& points, int number, int64_t step) {
        const size_t bricks = points.size() ? size_t(points.bricks[points.size() - 1]) + 1 : 0;
        if (level_.number == number) return level_.grow(bricks);
        above_ = std::move(level_);
        const Shape shape{view.shape[0], view.shape[1], view.shape[2]};
        level_ = {number, step, shape, {view.table, view.table + shape[0] * shape[1] * shape[2]}, {}};
        level_.grow(bricks);
        for (int axis = 0; axis < 3; ++axis) halved_[axis] = above_.number < 0 || above_.shape[axis] != shape[axis];
    }

    void add(const Points& points, size_t i, int64_t error, int64_t innovation) {
        level_.bricks[size_t(points.bricks[i])][size_t(blockOf(points.offsets[i]))].add(error, innovation);
    }

    const BlockSums& small(const Points& points, size_t i) const {
        return level_.bricks[size_t(points.bricks[i])][size_t(blockOf(points.offsets[i]))];
    }

    // Those of the eight blocks of 4x4x4 points of a brick.
    std::array<BlockSums, kLargeBlocks> large(int32_t brick) const {
        std::array<BlockSums, kLargeBlocks> sums{};
        for (int block = 0; block < kBlocks; ++block)
            sums[size_t(largeBlockOf(block))].add(level_.bricks[size_t(brick)][size_t(block)]);
        return sums;
    }

    // That of 2x2x2 points of the level above that a point lies in; cell: of its brick.
    BlockSums above(const int32_t* cell, int offset) const {
        if (above_.number < 0) return {};
        std::array<int64_t, 3> point{cell[0] * 8LL + (offset >> 6), cell[1] * 8LL + (offset >> 3 & 7), cell[2] * 8LL + (offset & 7)};
        for (int axis = 0; axis < 3; ++axis) point[size_t(axis)] >>= halved_[axis];
        const auto& [x, y, z] = point;
        const int32_t brick = above_.table[size_t(((x >> 3) * above_.shape[1] + (y >> 3)) * above_.shape[2] + (z >> 3))];
        if (size_t(brick) >= above_.bricks.size()) return {};
        return above_.bricks[size_t(brick)][size_t(blockOf(int((x & 7) << 6 | (y & 7) << 3 | (z & 7))))];
    }

    int64_t step() const { return level_.step; }
    int64_t stepAbove() const { return above_.number < 0 ? level_.step : above_.step; }

private:
    NearbyLevel level_, above_;
    std::array<bool, 3> halved_{};
};

} // namespace nvdb
