"""Numbers of the format that more than one module needs. C++ has them in values/native/constants.h, the kernels have
literals; tests/values/test_constants.py holds them equal."""

from __future__ import annotations

# Bricks and levels.
EDGE = 8  # points or cells along an edge of a brick
SLOTS = EDGE**3  # points or cells of a brick
SAMPLE_LEVELS = 5  # points 1, 2, 4, 8 and 16 voxels apart
MEAN_LEVELS = 13  # voxels, and cells after 1 to 12 mergers of two
MEAN_AXES = (2, 1, 0)  # cells of level j of the mean lattice are merged along MEAN_AXES[j % 3]
LAYERS = 4  # of both lattices: what points or cells 8, 4, 2 and 1 voxels apart need, each on top of those before
ROWS_AT_A_TIME = 256  # bricks that are worked on at a time, and
POINTS_AT_A_TIME = 1 << 16  # points, so that what that takes of memory stays small

# Lattice values.
LIMIT = 1 << 27  # values are clamped to plus or minus this before they are coded,
MAX_DECODED = 2 * LIMIT  # decoded ones to plus or minus this,
MAX_BASE = 1 << 29  # the interpolation of a point to plus or minus this,
MAX_PREDICTION = 1 << 30  # and predictions to plus or minus this
SAMPLE_STEPS = (16, 11, 8, 6, 4)  # quantisation steps of levels 0 to 4: the finest is twice the promised error
MEAN_STEPS = (1024, 676, 446, 294, 194, 128, 84, 56, 37, 24, 16, 11)  # of differences on levels 0 to 11
MEAN_TOP_STEP = MEAN_STEPS[-1]  # of the means on level 12
UNITS_PER_ERROR = 8  # lattice units in the promised maximum error

# Inputs and outputs of predictors.
NETWORK_LEVELS = 3  # finest levels with networks of their own; coarser ones share the last
ONE = 16  # an input of 1.0
MAX_INPUT = 127  # inputs lie within plus or minus this
LOG_BITS = 4  # fraction bits of logarithms
SHARES = 32  # parts of a cell that the share of its first half is counted in
HIDDEN = (48, 32)  # units of the hidden layers
OUTPUTS = 2
OFFSET_BITS = 8  # fraction bits of the predicted offset
MAX_OFFSET = 1 << 13

# Residuals.
SCALE_CLASSES = 64
CLASS_OF_ONE_STEP = 16  # the scale class of residuals about one step wide; four classes double the width
SAMPLE_ROOT_CLASS = 40  # 64 steps: nothing is known about the coarsest points but their neighbour in order
MEAN_ROOT_CLASS = 44
ESCAPE = 63  # the symbol of residuals that have none
WIDTH_BITS = 5  # raw bits that say how many an escaped value has
MAX_RESIDUAL = 1 << 22  # as a symbol, that has 24 bits
