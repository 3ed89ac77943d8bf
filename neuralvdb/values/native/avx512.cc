// Predictions on processors with AVX-512 and VNNI; compiled for them and called on no others.
#define NVDB_ISA avx512
#ifdef __AVX512VNNI__
#include "range.h"
#endif
