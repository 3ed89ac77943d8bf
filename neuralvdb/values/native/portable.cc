// Predictions on any processor.
#define NVDB_ISA portable
#include "range.h"
