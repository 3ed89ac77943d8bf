"""Steps of the sample lattice in lattice units: the finest level's is twice the promised error, coarser ones shrink."""

STEPS = (16, 11, 8, 6, 4)  # of levels 0 to 4
UNITS_PER_ERROR = 8  # lattice units in the promised maximum error
