// Parts of grids: what lies in a box, and coarser grids.
#pragma once

#include <nanobind/nanobind.h>

namespace nvdb {

void definePartial(nanobind::module_& m);

} // namespace nvdb
