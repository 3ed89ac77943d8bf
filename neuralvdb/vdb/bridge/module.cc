// The Python face of the bridge: neuralvdb.volume._bridge.
#include "arrays.h"
#include "partial.h"
#include "reader.h"
#include "writer.h"

#include <openvdb/io/DelayedLoadMetadata.h>
#include <tbb/global_control.h>

#include <pthread.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <future>
#include <new>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace nvdb {
namespace {

// The bytes of a file's name, which need not be UTF-8.
std::string toPath(nb::str path) {
    PyObject* bytes = nullptr;
    if (!PyUnicode_FSConverter(path.ptr(), &bytes)) throw nb::python_error();
    return fromBytes(nb::steal<nb::bytes>(bytes));
}

nb::dict toDict(const Entry& entry) {
    nb::dict out;
    out["unique_name"] = toBytes(entry.unique_name);
    out["type"] = toBytes(entry.type);
    out["parent"] = toBytes(entry.parent);
    out["half"] = entry.half;
    out["grid_pos"] = entry.grid_pos;
    out["block_pos"] = entry.block_pos;
    out["end_pos"] = entry.end_pos;
    return out;
}

// A tree that was freed leaves its many small blocks with the allocator, which would count against the next arrays. Those of
// a small one are kept, since taking memory anew takes time.
void returnMemory([[maybe_unused]] size_t freed) {
#ifdef __GLIBC__
    constexpr size_t kMuch = 32 << 20;
    if (freed >= kMuch) malloc_trim(0);
#endif
}

// Bytes of the values of so many nodes, which are nearly all of a tree.
template<typename ValueT>
size_t bytesOf(size_t uppers, size_t lowers, size_t leaves) {
    return sizeof(ValueT) * (uppers * 32768 + lowers * 4096 + leaves * 512);
}

struct Bytes {
    size_t operator()(std::monostate) const { return 0; }

    template<typename ValueT>
    size_t operator()(const TreeArrays<ValueT>& tree) const {
        return bytesOf<ValueT>(tree.upper.nodes, tree.lower.nodes, tree.leaf.nodes);
    }
};

// Memory kept aside for the moment when there is no more: OpenVDB needs some to free a tree, and ends the process where
// it gets none.
std::atomic<char*> reserve{nullptr};

[[noreturn]] void giveUp() {
    delete[] reserve.exchange(nullptr);
    throw std::bad_alloc();
}

void keepReserve() {
    reserve = new char[16 << 20];
    std::set_new_handler(giveUp);
}

nb::dict readGrid(Reader& reader, size_t index) {
    GridContent content;
    {
        nb::gil_scoped_release release;
        content = reader.read(index);
        returnMemory(content.blob.size() + std::visit(Bytes(), content.tree));
    }
    nb::dict out;
    out["storage"] = content.storage;
    out["half"] = content.half;
    out["metadata"] = toBytes(content.metadata);
    out["transform"] = toBytes(content.transform);
    out["blob"] = toBytes(content.blob);
    std::visit([&](auto& tree) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(tree)>, std::monostate>) out["tree"] = toDict(tree);
    }, content.tree);
    return out;
}

nb::dict outlineGrid(Reader& reader, size_t index) {
    Outline outline;
    {
        nb::gil_scoped_release release;
        outline = reader.outline(index);
    }
    nb::dict out;
    out["known"] = outline.known;
    out["compression"] = openvdb::io::compressionToString(outline.compression);
    out["half"] = outline.half;
    out["metadata"] = toBytes(outline.metadata);
    out["transform"] = toBytes(outline.transform);
    out["leaves"] = outline.leaves;
    out["active_voxels"] = outline.active_voxels;
    out["active_tiles"] = outline.active_tiles;
    const auto& lo = outline.active_bbox.min();
    const auto& hi = outline.active_bbox.max();
    if (outline.active_voxels == 0) out["active_bbox"] = nb::none();
    else out["active_bbox"] = nb::make_tuple(nb::make_tuple(lo[0], lo[1], lo[2]), nb::make_tuple(hi[0], hi[1], hi[2]));
    return out;
}

MaskView toMaskView(Borrow from) {
    MaskView view;
    view.children = from.rows("child_origins");
    view.tiles = from.rows("tile_origins");
    view.child_origins = from.get<int32_t>("child_origins", {view.children, 3});
    view.tile_origins = from.get<int32_t>("tile_origins", {view.tiles, 3});
    view.tile_active = from.get<uint8_t>("tile_active", {view.tiles});
    const size_t U = view.children, L = from.rows("lower_child"), N = from.rows("leaf_active");
    view.upper = {U, from.get<uint8_t>("upper_child", {U, 4096}), from.get<uint8_t>("upper_active", {U, 4096})};
    view.lower = {L, from.get<uint8_t>("lower_child", {L, 512}), from.get<uint8_t>("lower_active", {L, 512})};
    view.leaf = {N, nullptr, from.get<uint8_t>("leaf_active", {N, 64})};
    return view;
}

Entry toEntry(const nb::dict& from) {
    Entry entry;
    entry.unique_name = fromBytes(nb::cast<nb::bytes>(from["unique_name"]));
    entry.type = fromBytes(nb::cast<nb::bytes>(from["type"]));
    entry.parent = fromBytes(nb::cast<nb::bytes>(from["parent"]));
    entry.half = nb::cast<bool>(from["half"]);
    return entry;
}

size_t writeTree(Writer& writer, nb::dict entry, nb::bytes metadata, nb::bytes transform, nb::dict arrays) {
    const Entry to = toEntry(entry);
    const std::string meta = fromBytes(metadata), xform = fromBytes(transform);
    size_t number = 0;
    const bool known = withTreeType(to.type, [&](auto* null) {
        using GridT = std::remove_pointer_t<decltype(null)>;
        const auto view = toView<typename GridT::ValueType>(Borrow(arrays));
        const size_t size = bytesOf<typename GridT::ValueType>(view.upper.nodes, view.lower.nodes, view.leaf.nodes);
        nb::gil_scoped_release release;
        returnMemory(size);
        number = writer.writeTree<GridT>(to, meta, xform, view);
        returnMemory(size);
    });
    if (!known) throw nb::value_error(("no arrays for grid type " + to.type).c_str());
    return number;
}

bool writeAgain(Writer& writer, nb::dict entry, nb::bytes metadata, nb::bytes transform, size_t number) {
    const Entry to = toEntry(entry);
    const std::string meta = fromBytes(metadata), xform = fromBytes(transform);
    nb::gil_scoped_release release;
    return writer.writeAgain(to, meta, xform, number);
}

void writeMask(Writer& writer, nb::dict entry, nb::bytes metadata, nb::bytes transform, nb::dict arrays) {
    const Entry to = toEntry(entry);
    const std::string meta = fromBytes(metadata), xform = fromBytes(transform);
    const MaskView view = toMaskView(Borrow(arrays));
    nb::gil_scoped_release release;
    writer.writeMask(to, meta, xform, view);
}

void writeSerial(Writer& writer, nb::dict entry, nb::bytes metadata, nb::bytes transform, nb::bytes blob) {
    const Entry to = toEntry(entry);
    const std::string meta = fromBytes(metadata), xform = fromBytes(transform), bytes = fromBytes(blob);
    nb::gil_scoped_release release;
    writer.writeSerial(to, meta, xform, bytes);
}

void writeInstance(Writer& writer, nb::dict entry, nb::bytes metadata, nb::bytes transform) {
    writer.writeInstance(toEntry(entry), fromBytes(metadata), fromBytes(transform));
}

void writeRaw(Writer& writer, nb::dict entry, nb::bytes bytes, int64_t block_offset) {
    const Entry to = toEntry(entry);
    const std::string content = fromBytes(bytes);
    nb::gil_scoped_release release;
    writer.writeRaw(to, content, block_offset);
}

// {name: (type name, text)} of serialised metadata.
nb::dict describeMetadata(nb::bytes bytes) {
    openvdb::MetaMap map;
    deserialise(fromBytes(bytes), [&](std::istream& in, StreamState&) { readMeta(in, map); });
    nb::dict out;
    for (auto it = map.beginMeta(); it != map.endMeta(); ++it) {
        out[toBytes(it->first)] = nb::make_tuple(toBytes(it->second->typeName()), toBytes(it->second->str()));
    }
    return out;
}

// Serialised metadata from {name: str | bool | int | float}.
nb::bytes makeMetadata(nb::dict items) {
    openvdb::MetaMap map;
    for (auto [key, value] : items) {
        const auto name = nb::cast<std::string>(key);
        if (nb::isinstance<nb::bool_>(value)) map.insertMeta(name, openvdb::BoolMetadata(nb::cast<bool>(value)));
        else if (nb::isinstance<nb::int_>(value)) map.insertMeta(name, openvdb::Int64Metadata(nb::cast<int64_t>(value)));
        else if (nb::isinstance<nb::float_>(value)) map.insertMeta(name, openvdb::DoubleMetadata(nb::cast<double>(value)));
        else map.insertMeta(name, openvdb::StringMetadata(nb::cast<std::string>(value)));
    }
    return toBytes(serialised([&](std::ostream& out, StreamState&) { map.writeMeta(out); }));
}

nb::dict describeTransform(nb::bytes bytes) {
    openvdb::math::Transform transform;
    deserialise(fromBytes(bytes), [&](std::istream& in, StreamState&) { readTransform(in, transform); });
    nb::dict out;
    const auto size = transform.voxelSize();
    out["type"] = transform.mapType();
    out["voxel_size"] = nb::make_tuple(size[0], size[1], size[2]);
    std::ostringstream text;
    transform.print(text);
    out["text"] = text.str();
    nb::list matrix; // by rows, for row vectors; empty where the transform is not linear
    if (transform.isLinear()) {
        const auto map = transform.baseMap()->getAffineMap()->getMat4();
        for (int i = 0; i < 16; ++i) matrix.append(map[i / 4][i % 4]);
    }
    out["matrix"] = nb::tuple(matrix);
    return out;
}

// A serialised transform that scales index space to world space by `voxel_size` world units.
nb::bytes makeTransform(double voxel_size) {
    const auto transform = openvdb::math::Transform::createLinearTransform(voxel_size);
    return toBytes(serialised([&](std::ostream& out, StreamState&) { transform->write(out); }));
}

constexpr size_t kSmallStack = 64 << 10; // bytes; such threads only wait
constexpr uint64_t kMany = 4096;         // threads: who may have so many need not try

// Whether this user or this container may have few threads.
bool mayHaveFewThreads() {
    rlimit ofUser{};
    uint64_t ofContainer = kMany;
    const bool isLow = getrlimit(RLIMIT_NPROC, &ofUser) == 0 && ofUser.rlim_cur < kMany;
    return isLow || (std::ifstream("/sys/fs/cgroup/pids.max") >> ofContainer && ofContainer < kMany);
}

void* waitFor(void* there) {
    static_cast<std::shared_future<void>*>(there)->wait();
    return nullptr;
}

// How many threads, the calling one among them, TBB may have, at most `count`: where it cannot start one it ends the
// process. As many again are left for those that work on grids and for those that code values.
size_t threadsToStart(size_t count) {
    std::promise<void> allThere;
    std::shared_future<void> there = allThere.get_future().share();
    std::vector<pthread_t> threads;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kSmallStack);
    pthread_t thread;
    while (threads.size() < 3 * (count - 1) && pthread_create(&thread, &attributes, waitFor, &there) == 0)
        threads.push_back(thread);
    pthread_attr_destroy(&attributes);
    allThere.set_value();
    for (pthread_t each : threads) pthread_join(each, nullptr);
    return threads.size() / 3 + 1;
}

void setThreads(size_t count) {
    if (count == 0) throw nb::value_error("0 threads do nothing; give 1 or more");
    static std::unique_ptr<tbb::global_control> limit;
    limit.reset(); // the smallest of all living limits holds, so the old one goes first
    if (mayHaveFewThreads()) count = threadsToStart(count);
    limit = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism, count);
}

uint32_t compressionFlags(const std::string& name) {
    using namespace openvdb::io;
    if (name == "none") return COMPRESS_ACTIVE_MASK;
    if (name == "zip") return COMPRESS_ACTIVE_MASK | COMPRESS_ZIP;
    if (name == "blosc") return COMPRESS_ACTIVE_MASK | COMPRESS_BLOSC;
    throw nb::value_error(("unknown compression " + name).c_str());
}

struct Exceptions {
    PyObject *damaged, *unsupported;
};

// Sets a Python error; names from a damaged file in its message need not be UTF-8.
void setError(PyObject* type, const std::string& message) {
    const auto text = nb::steal(PyUnicode_DecodeUTF8(message.data(), Py_ssize_t(message.size()), "backslashreplace"));
    PyErr_SetObject(type, text.ptr());
}

void translate(const std::exception_ptr& error, void* payload) {
    const auto [damaged, unsupported] = *static_cast<Exceptions*>(payload);
    try {
        std::rethrow_exception(error);
    } catch (const SystemFailure& e) {
        PyErr_SetObject(PyExc_OSError, nb::make_tuple(e.code, std::string(e.what())).ptr());
    } catch (const Unsupported& e) {
        setError(unsupported, e.what());
    } catch (const Damaged& e) {
        setError(damaged, e.what());
    } catch (const openvdb::Exception& e) {
        setError(damaged, e.what());
    } catch (const std::ios_base::failure& e) {
        setError(damaged, "it ends early or points outside itself");
    } catch (const std::length_error& e) {
        setError(damaged, "it declares an impossible length");
    }
}

} // namespace
} // namespace nvdb

NB_MODULE(_bridge, m) {
    using namespace nvdb;
    openvdb::initialize();
    // It would be decompressed without a check of its bytes, to be dropped unread.
    openvdb::io::DelayedLoadMetadata::unregisterType();
    keepReserve();
    openvdb::logging::setLevel(openvdb::logging::Level::Fatal);
    static Exceptions exceptions{nb::exception<Damaged>(m, "DamagedError").ptr(),
        nb::exception<Unsupported>(m, "UnsupportedError").ptr()};
    nb::register_exception_translator(translate, &exceptions);
    m.attr("OPENVDB_VERSION") = std::string(openvdb::getLibraryVersionString());
    m.attr("FILE_VERSION") = kWrittenVersion;
    m.attr("NEWEST_VERSION") = kNewestVersion;

    nb::class_<Reader>(m, "Reader")
        .def("__init__", [](Reader* self, nb::str path) { new (self) Reader(toPath(path)); }, nb::arg("path"))
        .def_ro("version", &Reader::version)
        .def_prop_ro("library", [](const Reader& r) { return nb::make_tuple(r.library.first, r.library.second); })
        .def_prop_ro("uuid", [](const Reader& r) { return toBytes(r.uuid); })
        .def_prop_ro("metadata", [](const Reader& r) { return toBytes(r.metadata); })
        .def_prop_ro("size", &Reader::size)
        .def_prop_ro("grids", [](const Reader& r) {
            nb::list out;
            for (const auto& entry : r.grids) out.append(toDict(entry));
            return out;
        })
        .def("read", &readGrid, nb::arg("index"))
        .def("outline", &outlineGrid, nb::arg("index"));

    nb::class_<Writer>(m, "Writer")
        .def("__init__", [](Writer* self, int file, nb::bytes metadata, int32_t grids, nb::bytes uuid,
                             const std::string& compression, uint32_t version) {
            new (self) Writer(file, fromBytes(metadata), grids, fromBytes(uuid), compressionFlags(compression), version);
        }, nb::arg("file"), nb::arg("metadata"), nb::arg("grids"), nb::arg("uuid"), nb::arg("compression"), nb::arg("version"))
        .def("write_tree", &writeTree)
        .def("write_again", &writeAgain)
        .def("write_mask", &writeMask)
        .def("write_serial", &writeSerial)
        .def("write_instance", &writeInstance)
        .def("write_raw", &writeRaw)
        .def("close", &Writer::close);

    m.def("describe_metadata", &describeMetadata);
    m.def("make_metadata", &makeMetadata);
    m.def("describe_transform", &describeTransform);
    m.def("make_transform", &makeTransform);
    definePartial(m);
    m.def("set_threads", &setThreads);
}
