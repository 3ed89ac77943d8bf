// The Python face of the fast topology coder: neuralvdb.topology._topology. Private: lengths, indices and whatever else decides
// which memory is touched are checked here, once per call.
#include "../../nets/native/checks.h"
#include "../../nets/native/parallel.h"
#include "cut.h"
#include "find.h"
#include "mask.h"
#include "networks.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>

namespace nb = nanobind;

namespace nvdb {
namespace {

template<typename T, typename Shape>
using In = nb::ndarray<const T, Shape, nb::c_contig, nb::device::cpu>;
template<typename T, typename Shape>
using Out = nb::ndarray<T, Shape, nb::c_contig, nb::device::cpu>;
template<typename T> using Line = In<T, nb::ndim<1>>;

using Near = In<int32_t, nb::shape<-1, 27>>;
using Coords = In<int32_t, nb::shape<-1, 3>>;
using Offsets = In<int8_t, nb::shape<-1, 3>>;
using Masks = In<uint8_t, nb::shape<-1, kBytes>>;

using Weights = In<int8_t, nb::ndim<2>>;
using Biases = Line<int32_t>;

template<typename T, typename Shape = nb::ndim<1>> using Result = nb::ndarray<nb::numpy, T, Shape>;

template<typename T, typename Shape = nb::ndim<1>>
Result<T, Shape> toArray(std::vector<T>&& values, std::initializer_list<size_t> shape) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return {kept->data(), shape.size(), shape.begin(), owner};
}

// from: a network, and the offsets and levels of its inputs, as classify.py packs them.
Net toNet(const nb::tuple& from) {
    if (from.size() != 2 + kSources) throw nb::value_error("network");
    const auto net = nb::cast<nb::tuple>(from[0]);
    if (net.size() != 8) throw nb::value_error("network");
    const auto w1 = nb::cast<Weights>(net[0]), w2 = nb::cast<Weights>(net[2]), w3 = nb::cast<Weights>(net[4]),
               linear = nb::cast<Weights>(net[6]);
    const auto b1 = nb::cast<Biases>(net[1]), b2 = nb::cast<Biases>(net[3]), b3 = nb::cast<Biases>(net[5]);
    const auto shifts = nb::cast<std::vector<int>>(net[7]);
    Stencil stencil;
    for (int source = 0; source < kSources; ++source) {
        const auto offsets = nb::cast<Offsets>(from[1 + source]);
        stencil.offsets[source].assign(offsets.data(), offsets.data() + offsets.size());
    }
    stencil.levels = nb::cast<std::vector<int>>(from[1 + kSources]);
    const size_t inputs = stencil.inputs(), first = b1.size(), second = b2.size();
    const bool fits = inputs <= kMaxInputs && first <= kMaxFirst && second <= kGroup && w1.size() == first * inputs &&
        w2.size() == second * first && w3.size() == kOutputs * second && b3.size() == kOutputs &&
        linear.size() == kOutputs * inputs && shifts.size() == 6;
    if (!fits || !allBelow(shifts.data(), shifts.size(), 32) || !stencil.fits()) throw nb::value_error("network");
    return packed(stencil, {w1.data(), w2.data(), w3.data(), linear.data(), b1.data(), b2.data(), b3.data(), shifts.data()},
        first, second);
}

// Networks of families, eight phases each.
struct Networks {
    std::vector<Net> nets;

    explicit Networks(const std::vector<nb::tuple>& from) {
        for (const nb::tuple& net : from) nets.push_back(toNet(net));
    }

    Nets of(const std::vector<int>& families) const {
        const int64_t count = int64_t(nets.size() / 8);
        if (families.size() != kLevels || !allBelow(families.data(), kLevels, count)) throw nb::value_error("families");
        Nets chosen{nets, {}};
        std::copy_n(families.begin(), kLevels, chosen.families);
        return chosen;
    }
};

// Bricks to be coded: rows of those around, octants, bits of a reference, and whether those are not coded.
struct Bricks {
    Near near;
    Line<uint8_t> octants;
    std::optional<Masks> reference;
    bool skip;
};

// The task, checked. families: those of the levels, some of which need a reference.
MaskTask toTask(const Bricks& from, const Nets& nets) {
    const size_t count = from.near.shape(0);
    const bool fits = from.octants.shape(0) == count && (!from.reference || from.reference->shape(0) == count) &&
        count < size_t(1) << 31 && allBelow(from.near.data(), from.near.size(), int64_t(count + kOutside)) &&
        allBelow(from.octants.data(), count, 8);
    if (!fits) throw nb::value_error("bricks");
    for (int level = 0; level < kLevels; ++level)
        for (int phase = 0; phase < 8; ++phase)
            if (nets.of(level, phase).words.size() > size_t(nets.of(level, phase).ends[kSame]) && !from.reference)
                throw nb::value_error("a family needs a reference");
    return {count, from.near.data(), from.octants.data(), from.reference ? from.reference->data() : nullptr, from.skip};
}

// Where a payload stands, as archive/rans_engine.py has it.
struct Payload {
    Out<uint32_t, nb::ndim<2>> states;
    Line<uint8_t> words;
    Out<int64_t, nb::ndim<1>> at;
    Line<int64_t> ends;
    Out<int64_t, nb::ndim<1>> taken;
};

// The bits (B, 64) of a mask, and how many symbols no segment could give. Where words run out the bits mean nothing.
std::tuple<Result<uint8_t, nb::ndim<2>>, int64_t> decodeMask(const Networks& networks, std::vector<int> families,
    const Bricks& bricks, In<uint32_t, nb::shape<kClasses, 2>> codes, const Payload& payload, int64_t threads)
{
    const Nets nets = networks.of(families);
    const MaskTask task = toTask(bricks, nets);
    const rans::Source source{payload.states.data(), payload.words.data(), payload.at.data(), payload.ends.data(),
        payload.taken.data(), int64_t(payload.states.shape(0)), int64_t(payload.states.shape(1))};
    const size_t segments = payload.states.shape(0);
    if (payload.at.size() != segments || payload.ends.size() != segments || payload.taken.size() != segments)
        throw nb::value_error("payload");
    source.check(int64_t(payload.words.size()));
    std::vector<uint8_t> masks(task.bricks * kBytes);
    int64_t missing = 0;
    {
        nb::gil_scoped_release release;
        BitReader bits(source, codes.data(), threads);
        MaskCoder<BitReader> coder(task, nets, bits, size_t(threads));
        if (coder.run(nullptr)) coder.put(masks.data());
        missing = bits.missing();
    }
    return {toArray<uint8_t, nb::ndim<2>>(std::move(masks), {task.bricks, size_t(kBytes)}), missing};
}

// Classes, bits and the ends of the batches of a mask.
std::tuple<Result<uint8_t>, Result<uint8_t>, Result<int64_t>> encodeMask(const Networks& networks, std::vector<int> families,
    const Bricks& bricks, Masks truth, int64_t threads)
{
    const Nets nets = networks.of(families);
    const MaskTask task = toTask(bricks, nets);
    if (truth.shape(0) != task.bricks) throw nb::value_error("truth");
    BitWriter bits;
    {
        nb::gil_scoped_release release;
        const auto states = pyramid(truth.data(), task.skip ? task.reference : nullptr, task.bricks);
        MaskCoder<BitWriter>(task, nets, bits, size_t(threads)).run(&states);
    }
    const size_t count = bits.bits_.size(), batches = bits.ends_.size();
    return {toArray(std::move(bits.classes_), {count}), toArray(std::move(bits.bits_), {count}),
        toArray(std::move(bits.ends_), {batches})};
}

// Leaves at origins, piece after piece; where each piece ends; the planes that it was cut between.
std::tuple<Result<int64_t>, Result<int64_t>, Result<int64_t, nb::ndim<2>>, Result<int64_t, nb::ndim<2>>> cutLeaves(
    Coords origins, int64_t most, int64_t sparse)
{
    std::vector<int64_t> leaves, ends, low, high;
    if (origins.shape(0)) {
        nb::gil_scoped_release release;
        leaves.reserve(origins.shape(0));
        for (const Piece& piece : LeafCutter(most, sparse).pieces(origins.data(), origins.shape(0))) {
            for (const Run& run : piece.runs)
                for (int64_t i = 0; i < run.count; ++i) leaves.push_back(run.first + i);
            ends.push_back(int64_t(leaves.size()));
            low.insert(low.end(), piece.low.begin(), piece.low.end());
            high.insert(high.end(), piece.high.begin(), piece.high.end());
        }
    }
    const size_t count = leaves.size(), pieces = ends.size();
    return {toArray(std::move(leaves), {count}), toArray(std::move(ends), {pieces}),
        toArray<int64_t, nb::ndim<2>>(std::move(low), {pieces, 3}),
        toArray<int64_t, nb::ndim<2>>(std::move(high), {pieces, 3})};
}

// Bricks by their coordinates.
class BrickIndex {
public:
    explicit BrickIndex(Coords coords) : coords_(coords), table_(coords.data(), coords.shape(0)) {}

    Result<int64_t> find(Coords wanted) const {
        const size_t count = wanted.shape(0);
        std::vector<int64_t> found(count);
        {
            nb::gil_scoped_release release;
            for (size_t i = 0; i < count; ++i) found[i] = table_.find(wanted.data() + 3 * i);
        }
        return toArray(std::move(found), {count});
    }

    Result<int32_t, nb::ndim<2>> neighbours(Line<int64_t> bricks, Line<int32_t> rows) const {
        const size_t count = bricks.size();
        if (rows.size() != coords_.shape(0) || !allBelow(bricks.data(), count, int64_t(rows.size())))
            throw nb::value_error("bricks");
        std::vector<int32_t> near(27 * count);
        {
            nb::gil_scoped_release release;
            for (size_t i = 0; i < count; ++i) table_.neighbours(bricks.data()[i], rows.data(), &near[27 * i]);
        }
        return toArray<int32_t, nb::ndim<2>>(std::move(near), {count, 27});
    }

private:
    Coords coords_; // keeps the memory
    CoordTable table_;
};

Result<int64_t> find(Coords among, Coords wanted) { return BrickIndex(among).find(wanted); }

} // namespace
} // namespace nvdb

NB_MODULE(_topology, m) {
    using namespace nvdb;
    nb::set_leak_warnings(false); // networks are kept until the process ends
    nb::class_<Networks>(m, "Networks").def(nb::init<const std::vector<nb::tuple>&>());
    nb::class_<Bricks>(m, "Bricks").def("__init__", [](Bricks* at, Near near, Line<uint8_t> octants,
        std::optional<Masks> reference, bool skip) { new (at) Bricks{near, octants, reference, skip}; },
        nb::arg(), nb::arg(), nb::arg().none(), nb::arg());
    nb::class_<Payload>(m, "Payload").def("__init__", [](Payload* at, Out<uint32_t, nb::ndim<2>> states, Line<uint8_t> words,
        Out<int64_t, nb::ndim<1>> next, Line<int64_t> ends, Out<int64_t, nb::ndim<1>> taken) {
            new (at) Payload{states, words, next, ends, taken};
        }, nb::arg().noconvert(), nb::arg(), nb::arg().noconvert(), nb::arg(), nb::arg().noconvert());
    m.def("decode_mask", &decodeMask);
    m.def("encode_mask", &encodeMask);
    nb::class_<BrickIndex>(m, "BrickIndex")
        .def(nb::init<Coords>())
        .def("find", &BrickIndex::find)
        .def("neighbours", &BrickIndex::neighbours);
    m.def("cut_leaves", &cutLeaves);
    m.def("find", &find);
}
