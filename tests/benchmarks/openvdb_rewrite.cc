// Reads a .vdb file and writes it again with OpenVDB alone: what lossless compression is held against.
// Prints the seconds that reading and writing took. Arguments: IN OUT THREADS.
#include <openvdb/openvdb.h>
#include <tbb/global_control.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

int main(int, char** args) {
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, size_t(std::atoi(args[3])));
    openvdb::initialize();
    const auto began = std::chrono::steady_clock::now();
    openvdb::io::File in(args[1]);
    in.open(/*delayLoad=*/false);
    const auto grids = in.getGrids();
    openvdb::io::File(args[2]).write(*grids, *in.getMetadata());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("%.6f\n", took.count());
}
