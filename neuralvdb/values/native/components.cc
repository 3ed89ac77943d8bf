// One call for a component of a chunk: what Python hands over, checked, and the arrays that it gets.
#include "components.h"

#include "arguments.h"
#include "broken.h"
#include "leaf_values.h"
#include "mean_lattice.h"
#include "reference.h"
#include "sample_lattice.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <utility>

namespace nvdb {
namespace {

using Leaves = In<int64_t, nb::ndim<1>>;
using Masks = In<uint8_t, nb::shape<-1, 64>>;
using Constants = In<int32_t, nb::ndim<1>>;
using Bytes = In<uint8_t, nb::ndim<1>>;
using Symbols = In<uint8_t, nb::shape<kScaleClasses, rans::kSlots>>;
using Codes = In<uint32_t, nb::shape<kScaleClasses, kSymbols>>;
using Positions = nb::ndarray<int64_t, nb::shape<-1, 2>, nb::c_contig>;

constexpr int kBlock = 16; // bricks: boxes are made of blocks of so many, which lattices halve level by level

// (N, 512) floats or doubles, which may be apart from each other.
template<typename T>
using Apart = nb::ndarray<T, nb::shape<-1, kSlots>, nb::device::cpu>;

LeafValues toLeafValues(const nb::handle& from, size_t leaves) {
    Apart<const float> narrow;
    if (nb::try_cast(from, narrow, false)) {
        require(narrow.shape(0) == leaves, "values");
        return {narrow.data(), nullptr, narrow.stride(0), narrow.stride(1)};
    }
    const auto wide = exact<Apart<const double>>(from);
    require(wide.shape(0) == leaves, "values");
    return {nullptr, wide.data(), wide.stride(0), wide.stride(1)};
}

// (table, leaves, masks, values, constants, whether these are active); the arrays must outlive the chunk.
Chunk toChunk(const nb::tuple& from, size_t threads) {
    requireItems(from, 6);
    const auto table = exact<Table>(from[0]);
    const auto leaves = exact<Leaves>(from[1]);
    const auto masks = exact<Masks>(from[2]);
    const auto constants = exact<Constants>(from[4]);
    const auto active = exact<Bytes>(from[5]);
    const BoxTable box{table.data(), {int64_t(table.shape(0)), int64_t(table.shape(1)), int64_t(table.shape(2))}};
    const Chunk chunk{box, leaves.data(), int64_t(leaves.size()), masks.data(), toLeafValues(from[3], masks.shape(0)),
        constants.data(), active.data(), int64_t(constants.size()), threads};
    for (const int64_t edge : box.shape) require(edge > 0 && edge % kBlock == 0, "box");
    require(active.size() == constants.size() && chunk.rows() < kNoBrick, "constants");
    require(allBelow(table.data(), table.size(), chunk.rows()), "table");
    require(allBelow(leaves.data(), leaves.size(), int64_t(masks.shape(0))), "leaves");
    return chunk;
}

// (level, axis, layer, step, offsets, layout, network or, of the mean lattice, None)
CodedPass toCodedPass(const nb::tuple& from, Rule rule) {
    requireItems(from, 7);
    const auto offsets = exact<Places>(from[4]);
    require(allBelow(offsets.data(), offsets.size(), kSlots), "offsets");
    CodedPass pass{nb::cast<int>(from[0]), nb::cast<int>(from[1]), nb::cast<int>(from[2]), nb::cast<int64_t>(from[3]),
        {offsets.data(), offsets.data() + offsets.size()}, nb::cast<std::shared_ptr<InputLayout>>(from[5]),
        from[6].is_none() ? nullptr : nb::cast<std::shared_ptr<Net>>(from[6])};
    require(pass.net || rule == Rule::mean, "network");
    if (pass.net) checkPass(*pass.layout, *pass.net, rule, rule == Rule::mean ? 2 : 1);
    require(pass.layer >= 0 && pass.layer < kLayers && pass.step >= 1 && pass.step <= kMaxStep, "pass");
    return pass;
}

// Whether levels come in their order.
void checkOrder(const std::vector<CodedPass>& passes, bool mean) {
    const size_t each = mean ? 2 : 6;
    const int top = (mean ? kMeanLevels : kSampleLevels) - 1;
    require(passes.size() == each * size_t(top), "passes");
    for (size_t i = 0; i < passes.size(); ++i) {
        const int level = top - 1 - int(i / each);
        require(passes[i].level == level && passes[i].axis == (mean ? splitAxis(level) : int(i % 6 / 2)), "pass");
    }
}

// What all components of a grid are coded with. top: (step, class) of the coarsest points; passes: as toCodedPass() takes
// them.
std::shared_ptr<Passes> toPasses(int rule, nb::tuple top, nb::list passes) {
    require(rule >= 0 && rule <= int(Rule::mean), "rule");
    requireItems(top, 2);
    auto all = std::make_shared<Passes>(Passes{Rule(rule), nb::cast<int64_t>(top[0]), nb::cast<uint8_t>(top[1]), {}});
    require(all->top_step >= 1 && all->top_step <= kMaxStep && all->top_class < kScaleClasses, "coarsest points");
    for (const nb::handle pass : passes) all->passes.push_back(toCodedPass(nb::cast<nb::tuple>(pass), all->rule));
    checkOrder(all->passes, all->rule == Rule::mean);
    return all;
}

// (unit, knee, nonnegative)
Quantiser toQuantiser(const nb::tuple& from) {
    requireItems(from, 3);
    const Quantiser quantiser{nb::cast<double>(from[0]), Compand(nb::cast<int64_t>(from[1])), nb::cast<bool>(from[2])};
    require(isKnee(quantiser.compand.knee), "knee");
    return quantiser;
}

// (states, words, at, ends, taken, bits), and (next bit, where they end); the arrays must outlive the stream.
Stream toStream(const nb::tuple& from, const rans::Lookup& lookup, const int64_t* position) {
    requireItems(from, 6);
    const auto states = exact<nb::ndarray<uint32_t, nb::ndim<2>, nb::c_contig>>(from[0]);
    const auto words = exact<Bytes>(from[1]), bits = exact<Bytes>(from[5]);
    const auto at = exact<nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig>>(from[2]);
    const auto ends = exact<Leaves>(from[3]);
    const auto taken = exact<nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig>>(from[4]);
    const auto segments = int64_t(states.shape(0)), lanes = int64_t(states.shape(1));
    require(at.size() == states.shape(0) && ends.size() == at.size() && taken.size() == at.size(), "segments");
    require(rans::isLanes(lanes), "lanes");
    const Stream stream{{states.data(), words.data(), at.data(), ends.data(), taken.data(), segments, lanes}, lookup,
        bits.data(), position[0], position[1]};
    stream.source.check(int64_t(words.size()));
    require(stream.bit >= 0 && stream.bit_end >= stream.bit && stream.bit_end + 32 <= int64_t(8 * bits.size()), "bits");
    return stream;
}

// A level that is decoded, as Python gets it.
struct DecodedCells {
    Shape shape;
    int64_t rows, bricks;
    Array<int32_t> table, values;
    Array<uint8_t> coded;

    template<typename LevelT>
    DecodedCells(const LevelT& level, Array<int32_t> values)
        : shape(level.table.shape), rows(level.rows), bricks(level.bricks), table(size_t(level.table.size())),
          values(std::move(values))
    {
        std::copy_n(level.table.rows, table.size(), table.data());
    }
};

DecodedCells decodeCells(const Chunk& chunk, const Passes& passes, const Quantiser& quantiser, const LayerStreams& layers,
    const Reference* reference, int lod)
{
    if (passes.rule != Rule::mean) {
        SampleLevel level = decodeSamples(chunk, passes, quantiser, layers, reference, lod);
        DecodedCells cells(level, std::move(level.values));
        cells.coded = std::move(level.coded);
        return cells;
    }
    MeanCells decoded = decodeMean(chunk, passes, quantiser, layers, reference, lod);
    DecodedCells cells(decoded.level, std::move(decoded.means));
    cells.coded = Array<uint8_t>(size_t(cells.bricks) * kSlots);
    decoded.level.counts.with([&](const auto* counts) {
        for (size_t i = 0; i < cells.coded.size(); ++i) cells.coded[i] = counts[i] > 0;
    });
    return cells;
}

using Weights8 = In<int8_t, nb::ndim<2>>;

// (w1, b1, w2, b2, shifts): of values/lattice/correction_network.py
std::shared_ptr<CorrectionNetwork> toCorrectionNetwork(const nb::tuple& from) {
    requireItems(from, 5);
    const auto first = exact<Weights8>(from[0]), second = exact<Weights8>(from[2]);
    const auto bias = exact<Constants>(from[1]), second_bias = exact<Constants>(from[3]);
    const auto shifts = nb::cast<std::vector<int>>(from[4]);
    require(first.shape(0) == kCorrectionHidden && first.shape(1) == kCorrectionInputs && bias.size() == kCorrectionHidden &&
        second.shape(0) == kCorrectionOutputs && second.shape(1) == kCorrectionHidden &&
        second_bias.size() == kCorrectionOutputs && shifts.size() == 1 + kCorrectionOutputs, "network");
    auto network = std::make_shared<CorrectionNetwork>();
    for (size_t k = 0; k < kCorrectionHidden; ++k) {
        require(std::abs(int64_t(bias.data()[k])) <= 1 << 23, "bias");
        network->bias[k] = float(bias.data()[k]);
        for (size_t i = 0; i < kCorrectionInputs; ++i) network->first[i][k] = first.data()[k * kCorrectionInputs + i];
        for (size_t o = 0; o < kCorrectionOutputs; ++o) network->second[o][k] = second.data()[o * kCorrectionHidden + k];
    }
    for (size_t o = 0; o < kCorrectionOutputs; ++o) {
        require(std::abs(int64_t(second_bias.data()[o])) <= 1 << 23, "bias");
        network->second_bias[o] = second_bias.data()[o];
    }
    for (const int shift : shifts) require(shift >= 0 && shift <= 24, "shift");
    std::copy(shifts.begin(), shifts.end(), network->shifts.begin());
    return network;
}

// (the chunk with the reference's values, gains, shifts, or what a network is made of in place of both), or None
std::optional<Reference> toReference(const nb::object& from, const Chunk& of) {
    if (from.is_none()) return std::nullopt;
    const auto items = nb::cast<nb::tuple>(from);
    require(items.size() == 2 || items.size() == 3, "reference");
    Reference reference{toChunk(nb::cast<nb::tuple>(items[0]), of.threads), {}};
    const Chunk& chunk = reference.chunk;
    require(chunk.table.rows == of.table.rows && chunk.leaves == of.leaves && chunk.masks == of.masks &&
        chunk.bricks == of.bricks && chunk.rows() == of.rows(), "reference");
    if (items.size() == 2) {
        reference.correction.network = toCorrectionNetwork(nb::cast<nb::tuple>(items[1]));
        return reference;
    }
    const auto gains = nb::cast<std::vector<int>>(items[1]), shifts = nb::cast<std::vector<int>>(items[2]);
    require(gains.size() == kGains && shifts.size() == kSizes.size() + 1, "reference");
    for (const int gain : gains) require(gain >= 0 && gain <= kMostGain, "gain");
    for (const int shift : shifts) require(shift >= -kMostShift && shift <= kMostShift, "shift");
    std::copy(gains.begin(), gains.end(), reference.correction.gains.begin());
    std::copy(shifts.begin(), shifts.end(), reference.correction.shifts.begin());
    return reference;
}

// streams: (symbols, codes, [what makes a stream, ...], (S, 2) positions, which are moved on, [number of each layer's stream, ...]).
// Gives (table, values, coded), or nothing where a stream ends too soon: its position says so.
std::optional<nb::tuple> decode(nb::tuple chunk, const Passes& passes, nb::tuple quantiser, nb::tuple streams, int lod,
    size_t threads, nb::object reference)
{
    requireItems(streams, 5);
    const auto symbols = exact<Symbols>(streams[0]);
    const auto codes = exact<Codes>(streams[1]);
    const auto positions = exact<Positions>(streams[3]);
    const auto from = nb::cast<nb::list>(streams[2]);
    require(allBelow(symbols.data(), symbols.size(), int64_t(kSymbols)), "symbols");
    const rans::Lookup lookup{symbols.data(), codes.data(), kSymbols};
    std::vector<Stream> all;
    require(positions.shape(0) == from.size() && lod >= 0 && lod < kLayers, "streams");
    for (size_t i = 0; i < from.size(); ++i)
        all.push_back(toStream(nb::cast<nb::tuple>(from[i]), lookup, positions.data() + 2 * i));
    const LayerStreams layers{all, nb::cast<std::vector<int>>(streams[4])};
    require(layers.of_layer.size() == size_t(kLayers - lod) &&
        allBelow(layers.of_layer.data(), layers.of_layer.size(), int64_t(all.size())), "layers");
    const Chunk box = toChunk(chunk, threads);
    const Quantiser units = toQuantiser(quantiser);
    const std::optional<Reference> resembled = toReference(reference, box);
    std::optional<DecodedCells> cells;
    {
        nb::gil_scoped_release release;
        try {
            cells.emplace(decodeCells(box, passes, units, layers, resembled ? &*resembled : nullptr, lod));
        }
        catch (const StreamEnds&) {
        }
    }
    for (size_t i = 0; i < all.size(); ++i)
        positions.data()[2 * i] = all[i].bit, positions.data()[2 * i + 1] = all[i].missing;
    if (!cells) return std::nullopt;
    const auto [x, y, z] = cells->shape;
    return nb::make_tuple(toNumpy(std::move(cells->table), x, y, z), toNumpy(std::move(cells->values), cells->rows, kSlots),
        toNumpy(std::move(cells->coded), cells->bricks, kSlots));
}

Corrector correctorOf(const Reference* reference, const Passes& passes, const Quantiser& quantiser) {
    return passes.rule == Rule::mean ? meanCorrector(reference, passes, quantiser, 0)
                                     : sampleCorrector(reference, passes, quantiser, 0);
}

// Puts residuals in `to` and gives the values of all rows as they decode.
Array<int32_t> encodeChunk(const Chunk& chunk, const Passes& passes, const Quantiser& quantiser, const DeadZones& dead_zones,
    Corrector& correct, Coded& to)
{
    if (passes.rule != Rule::mean) return encodeSamples(chunk, passes, quantiser, correct, to).values;
    return encodeMean(chunk, passes, quantiser, dead_zones, correct, to).means;
}

// dead_zones: (64,), of the mean lattice. Gives [(layer, residuals, scale classes), ...] and the values of all rows as they
// decode.
nb::tuple encode(nb::tuple chunk, const Passes& passes, nb::tuple quantiser,
    In<double, nb::shape<kScaleClasses>> dead_zones, size_t threads, nb::object reference)
{
    const Chunk box = toChunk(chunk, threads);
    const Quantiser units = toQuantiser(quantiser);
    const std::optional<Reference> resembled = toReference(reference, box);
    DeadZones zones;
    std::copy_n(dead_zones.data(), zones.size(), zones.begin());
    Coded coded{false, threads, {}};
    Array<int32_t> values;
    {
        nb::gil_scoped_release release;
        Corrector correct = correctorOf(resembled ? &*resembled : nullptr, passes, units);
        values = encodeChunk(box, passes, units, zones, correct, coded);
    }
    nb::list layers;
    for (CodedResiduals& pass : coded.passes) {
        const size_t count = pass.residuals.size();
        layers.append(nb::make_tuple(pass.layer, toNumpy(std::move(pass.residuals), count),
            toNumpy(std::move(pass.scale_classes), count)));
    }
    return nb::make_tuple(layers, toNumpy(std::move(values), box.rows(), kSlots));
}

Innovations copyOf(const Innovations& innovations) {
    Innovations copies;
    for (const Array<int32_t>& of_pass : innovations) {
        copies.emplace_back(of_pass.size());
        std::copy_n(of_pass.data(), of_pass.size(), copies.back().data());
    }
    return copies;
}

// What predictions miss where a chunk is encoded alone, and where a reference's network corrects them, if it has one: [(errors
// in steps, scale classes, innovations of the reference, errors and scale classes with the network), ...] of all passes.
nb::list compare(nb::tuple chunk, const Passes& passes, nb::tuple quantiser, size_t threads, nb::object reference) {
    const Chunk box = toChunk(chunk, threads);
    const Quantiser units = toQuantiser(quantiser);
    const std::optional<Reference> resembled = toReference(reference, box);
    require(resembled.has_value(), "reference");
    Coded alone{true, threads, {}}, corrected{true, threads, {}};
    Innovations innovations;
    {
        nb::gil_scoped_release release;
        innovations = correctorOf(&*resembled, passes, units).take();
        Corrector none;
        encodeChunk(box, passes, units, DeadZones{}, none, alone);
        if (resembled->correction.network) {
            Corrector by_network(resembled->correction, copyOf(innovations));
            encodeChunk(box, passes, units, DeadZones{}, by_network, corrected);
        }
    }
    corrected.passes.resize(alone.passes.size());
    nb::list missed;
    for (size_t i = 0; i < innovations.size(); ++i) {
        CodedResiduals &pass = alone.passes[i + 1], &other = corrected.passes[i + 1]; // behind the coarsest points
        const size_t count = pass.errors.size(), also = other.errors.size();
        missed.append(nb::make_tuple(toNumpy(std::move(pass.errors), count), toNumpy(std::move(pass.scale_classes), count),
            toNumpy(std::move(innovations[i]), count), toNumpy(std::move(other.errors), also),
            toNumpy(std::move(other.scale_classes), also)));
    }
    return missed;
}

// rules: (unit, knee, mean, half, low, high)
Dequantiser toDequantiser(const nb::tuple& from) {
    requireItems(from, 6);
    const Dequantiser rules{nb::cast<double>(from[0]), nb::cast<int64_t>(from[1]), nb::cast<bool>(from[2]),
        nb::cast<bool>(from[3]), nb::cast<double>(from[4]), nb::cast<double>(from[5])};
    require(rules.knee >= 0, "knee");
    return rules;
}

// to: (N, 512), of which the leaves of the chunk are filled.
template<typename T>
void fill(nb::tuple chunk, Values lattice_values, nb::tuple rules, Apart<T> to, size_t threads) {
    const Chunk box = toChunk(chunk, threads);
    const Dequantiser dequantiser = toDequantiser(rules);
    const bool narrow = sizeof(T) == sizeof(float);
    require(narrow == bool(box.values.narrow), "types of values");
    require(int64_t(lattice_values.shape(0)) >= box.bricks, "lattice values");
    require(allBelow(box.leaves, size_t(box.bricks), int64_t(to.shape(0))), "leaves");
    nb::gil_scoped_release release;
    fillLeaves(box, lattice_values.data(), dequantiser, to.data(), to.stride(0), to.stride(1));
}

// bound: (max_error, ratio, largest); decoded: (N, 512) values of all leaves. Gives the slots that break the bound.
nb::ndarray<nb::numpy, int64_t> broken(nb::tuple chunk, nb::tuple bound, nb::object decoded, size_t threads) {
    requireItems(bound, 3);
    const Chunk box = toChunk(chunk, threads);
    const Bound promised{nb::cast<double>(bound[0]), nb::cast<double>(bound[1]), nb::cast<double>(bound[2])};
    const LeafValues leaves = toLeafValues(decoded, exact<Masks>(chunk[2]).shape(0));
    Array<int64_t> slots;
    {
        nb::gil_scoped_release release;
        slots = brokenSlots(box, promised, leaves);
    }
    const size_t count = slots.size();
    return toNumpy(std::move(slots), count);
}

} // namespace

void addComponents(nb::module_& m) {
    nb::class_<Net>(m, "Network").def("__init__", [](Net* net, const nb::tuple& from) { new (net) Net(toNet(from)); });
    nb::class_<InputLayout>(m, "Layout")
        .def("__init__", [](InputLayout* layout, const nb::list& groups, const nb::list& line, int scales) {
            new (layout) InputLayout(toLayout(groups, line, scales));
        });
    nb::class_<Passes>(m, "Passes").def(nb::new_(&toPasses));
    m.def("decode", &decode, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none());
    m.def("encode", &encode, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none());
    m.def("compare", &compare);
    m.def("broken", &broken);
    m.def("fill", &fill<float>, nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg());
    m.def("fill", &fill<double>, nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg());
}

} // namespace nvdb
