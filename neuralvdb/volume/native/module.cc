// The Python face of what is asked of all voxels of leaves: neuralvdb.volume._leaves. Private: shapes are checked here, once
// per call.
#include "../../nets/native/checks.h"
#include "ends.h"
#include "errors.h"
#include "rays.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <tuple>
#include <vector>

namespace nb = nanobind;

namespace nvdb {
namespace {

using Masks = nb::ndarray<const uint8_t, nb::shape<-1, kLines>, nb::c_contig, nb::device::cpu>;
template<typename T> using Components = nb::ndarray<const T, nb::shape<-1, kSlots, -1>, nb::device::cpu>;
template<typename T> using Scalars = nb::ndarray<const T, nb::shape<-1, kSlots>, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Sums = nb::ndarray<double, nb::shape<-1, kEdge, kEdge>, nb::c_contig, nb::device::cpu>;
using Projection = std::tuple<Numbers, Sums>;

#ifdef NVDB_AVX2
template<typename Job>
NVDB_AVX2 void runFast(const Job& job) {
    job();
}
#endif

// Calls a job, which becomes part of this and so is compiled for this machine where that is worth it.
struct Run {
    template<typename Job>
    void operator()(const Job& job) const {
#ifdef NVDB_AVX2
        if (hasAvx2()) return runFast(job);
#endif
        job();
    }
};
constexpr Run run{};

constexpr size_t kFew = 1024; // leaves that are not worth a thread

// Threads that so many leaves are worth.
size_t threadsFor(size_t leaves, size_t threads) {
    return std::max<size_t>(1, std::min(threads, leaves / kFew));
}

template<typename T>
std::vector<Leaves<T>> componentsOf(const Components<T>& values, const Masks& masks) {
    if (masks.shape(0) != values.shape(0)) throw nb::value_error("masks");
    std::vector<Leaves<T>> components;
    for (size_t c = 0; c < values.shape(2); ++c)
        components.push_back({values.data() + int64_t(c) * values.stride(2), masks.data(), values.shape(0), values.stride(0),
            values.stride(1)});
    return components;
}

// The ends of the finite active values of all components, but for a share of them at either end; and how many they are.
template<typename T>
std::tuple<double, double, int64_t> endsOf(Components<T> values, Masks masks, double share, size_t threads) {
    const auto components = componentsOf(values, masks);
    threads = threadsFor(values.shape(0), threads);
    nb::gil_scoped_release release;
    Ends ends;
    std::mutex guard;
    for (const Leaves<T>& leaves : components) {
        forRanges(leaves.count, threads, threads, [&](size_t, size_t first, size_t last) {
            Ends of_range;
            run([&] { addEnds(leaves.range(first, last), of_range); });
            const std::lock_guard<std::mutex> lock(guard);
            join(ends, of_range);
        });
    }
    const auto skipped = int64_t(share * double(ends.count));
    if (share < 0 || 2 * skipped > ends.count) throw nb::value_error("share");
    if (skipped) {
        const auto found = numbersAt(components, {skipped, ends.count - 1 - skipped}, threads, run);
        ends.low = found[0];
        ends.high = found[1];
    }
    if (!ends.count) return {0.0, 0.0, 0};
    return {ends.low + 0.0, ends.high + 0.0, ends.count}; // no -0
}

template<typename T>
std::tuple<double, double> valueErrors(Scalars<T> original, Scalars<T> decoded, Masks masks, size_t threads) {
    const size_t count = original.shape(0);
    if (decoded.shape(0) != count || masks.shape(0) != count) throw nb::value_error("leaves");
    const Leaves<T> leaves{original.data(), masks.data(), count};
    threads = threadsFor(count, threads);
    nb::gil_scoped_release release;
    Errors errors;
    std::mutex guard;
    forRanges(count, threads, threads, [&](size_t, size_t first, size_t last) {
        Errors of_range;
        run([&] { addErrors(leaves.range(first, last), decoded.data() + first * kSlots, of_range); });
        const std::lock_guard<std::mutex> lock(guard);
        errors = {std::max(errors.voxel, of_range.voxel), std::max(errors.mean, of_range.mean)};
    });
    return {errors.voxel, errors.mean};
}

// instead: of each leaf, which of the `others` stands for its values, -1 for none.
template<typename T>
void addRays(Scalars<T> values, Masks masks, std::optional<std::tuple<Numbers, Scalars<T>>> instead,
    std::tuple<Projection, Projection, Projection> projections, size_t threads)
{
    const Leaves<T> leaves{values.data(), masks.data(), values.shape(0)};
    const auto& [x, y, z] = projections;
    Image images[kAxes];
    for (const auto& [image, projection] : {std::pair{images, &x}, std::pair{images + 1, &y}, std::pair{images + 2, &z}}) {
        const auto& [tiles, sums] = *projection;
        if (tiles.size() != leaves.count || !allBelow(tiles.data(), tiles.size(), int64_t(sums.shape(0))))
            throw nb::value_error("tiles");
        *image = {tiles.data(), sums.data()};
    }
    const int64_t* rows = nullptr;
    const T* others = nullptr;
    if (instead) {
        const auto& [row_of, other] = *instead;
        rows = row_of.data();
        others = other.data();
        for (size_t i = 0; i < row_of.size(); ++i)
            if (rows[i] >= int64_t(other.shape(0))) throw nb::value_error("others");
    }
    if (masks.shape(0) != leaves.count || (instead && std::get<0>(*instead).size() != leaves.count))
        throw nb::value_error("leaves");
    threads = threadsFor(leaves.count, threads);
    nb::gil_scoped_release release;
    const RayLeaves<T> rays{leaves, rows, others};
    if (threads > 1) addLeavesOnThreads(rays, images, threads, run);
    else run([&] { addLeaves(rays, images); });
}

} // namespace
} // namespace nvdb

NB_MODULE(_leaves, m) {
    using namespace nvdb;
    m.def("ends", &endsOf<float>, nb::arg().noconvert(), nb::arg(), nb::arg(), nb::arg());
    m.def("ends", &endsOf<double>, nb::arg().noconvert(), nb::arg(), nb::arg(), nb::arg());
    m.def("value_errors", &valueErrors<float>, nb::arg().noconvert(), nb::arg().noconvert(), nb::arg(), nb::arg());
    m.def("value_errors", &valueErrors<double>, nb::arg().noconvert(), nb::arg().noconvert(), nb::arg(), nb::arg());
    m.def("add_rays", &addRays<float>, nb::arg().noconvert(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg());
    m.def("add_rays", &addRays<double>, nb::arg().noconvert(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg());
}
