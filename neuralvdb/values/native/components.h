// Whole components of chunks, for the module's face.
#pragma once

#include <nanobind/nanobind.h>

namespace nvdb {

void addComponents(nanobind::module_& m);

} // namespace nvdb
