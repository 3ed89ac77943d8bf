// Trees between C++ and NumPy. All arrays are C-contiguous and copied once.
#pragma once

#include "tree_arrays.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

namespace nvdb {

namespace nb = nanobind;

inline nb::bytes toBytes(const std::string& text) { return nb::bytes(text.data(), text.size()); }
inline std::string fromBytes(const nb::bytes& bytes) { return std::string(bytes.c_str(), bytes.size()); }

template<typename T> using Part = typename openvdb::VecTraits<T>::ElementType;

// Hands a buffer to NumPy; a vector type becomes a last axis of its components.
template<typename T>
nb::object toArray(Buffer<T>& buffer, std::initializer_list<size_t> dims) {
    std::vector<size_t> shape(dims);
    if constexpr (openvdb::VecTraits<T>::IsVec) shape.push_back(size_t(openvdb::VecTraits<T>::Size));
    T* data = buffer.data.release();
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, Part<T>>(data, shape.size(), shape.data(), owner));
}

template<typename T>
nb::dict toDict(TreeArrays<T>& tree) {
    nb::dict out;
    Buffer<T> background;
    background.resize(1);
    background.data[0] = tree.background;
    const size_t U = tree.upper.nodes, L = tree.lower.nodes, N = tree.leaf.nodes;
    const size_t tiles = tree.tile_active.count;
    out["background"] = toArray(background, {1});
    out["child_origins"] = toArray(tree.child_origins, {U, 3});
    out["tile_origins"] = toArray(tree.tile_origins, {tiles, 3});
    out["tile_active"] = toArray(tree.tile_active, {tiles});
    out["tile_values"] = toArray(tree.tile_values, {tiles});
    out["upper_child"] = toArray(tree.upper.child, {U, 4096});
    out["upper_active"] = toArray(tree.upper.active, {U, 4096});
    out["upper_values"] = toArray(tree.upper_values, {U, 32768});
    out["lower_child"] = toArray(tree.lower.child, {L, 512});
    out["lower_active"] = toArray(tree.lower.active, {L, 512});
    out["lower_values"] = toArray(tree.lower_values, {L, 4096});
    out["leaf_active"] = toArray(tree.leaf.active, {N, 64});
    out["leaf_values"] = toArray(tree.leaf_values, {N, 512});
    return out;
}

// Borrows arrays from a dict of the shape that toDict() makes; wrong shapes and types are ValueError.
class Borrow {
public:
    explicit Borrow(nb::dict arrays) : arrays_(arrays) {}

    template<typename T>
    const T* get(const char* name, std::vector<size_t> shape) {
        if constexpr (openvdb::VecTraits<T>::IsVec) shape.push_back(size_t(openvdb::VecTraits<T>::Size));
        nb::ndarray<const Part<T>, nb::c_contig, nb::device::cpu> array;
        take(name, array);
        if (array.ndim() != shape.size()) refuse(name, "has another number of axes");
        for (size_t i = 0; i < shape.size(); ++i) if (array.shape(i) != shape[i]) refuse(name, "has another shape");
        return reinterpret_cast<const T*>(array.data());
    }
    size_t rows(const char* name) {
        nb::ndarray<nb::ro> array;
        take(name, array);
        if (array.ndim() == 0) refuse(name, "has no axes");
        return array.shape(0);
    }

private:
    template<typename ArrayT>
    void take(const char* name, ArrayT& array) { // a key that is not there would end the process inside of try_cast()
        if (!arrays_.contains(name)) refuse(name, "is missing");
        if (!nb::try_cast<ArrayT>(nb::object(arrays_[name]), array, /*convert=*/false)) {
            refuse(name, "is no array of the right type in C order");
        }
    }
    [[noreturn]] static void refuse(const char* name, const char* why) {
        throw nb::value_error((std::string("array '") + name + "' " + why).c_str());
    }

    nb::dict arrays_;
};

template<typename T>
TreeView<T> toView(Borrow from) {
    TreeView<T> view;
    view.background = *from.get<T>("background", {1});
    view.children = from.rows("child_origins");
    view.tiles = from.rows("tile_origins");
    view.child_origins = from.get<int32_t>("child_origins", {view.children, 3});
    view.tile_origins = from.get<int32_t>("tile_origins", {view.tiles, 3});
    view.tile_active = from.get<uint8_t>("tile_active", {view.tiles});
    view.tile_values = from.get<T>("tile_values", {view.tiles});
    const size_t U = view.children, L = from.rows("lower_child"), N = from.rows("leaf_active");
    view.upper = {U, from.get<uint8_t>("upper_child", {U, 4096}), from.get<uint8_t>("upper_active", {U, 4096}),
        from.get<T>("upper_values", {U, 32768})};
    view.lower = {L, from.get<uint8_t>("lower_child", {L, 512}), from.get<uint8_t>("lower_active", {L, 512}),
        from.get<T>("lower_values", {L, 4096})};
    view.leaf = {N, nullptr, from.get<uint8_t>("leaf_active", {N, 64}), from.get<T>("leaf_values", {N, 512})};
    return view;
}

} // namespace nvdb
