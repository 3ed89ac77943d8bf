// Predictions on processors with AVX2; compiled for them and called on no others.
#define NVDB_ISA avx2
#ifdef __AVX2__
#include "range.h"
#endif
