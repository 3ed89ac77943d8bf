# The static OpenVDB of the wheels, found with -DCMAKE_FIND_PACKAGE_PREFER_CONFIG=ON and its prefix.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(ZLIB)
find_dependency(Boost)
get_filename_component(prefix ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
add_library(OpenVDB::openvdb INTERFACE IMPORTED)
target_include_directories(OpenVDB::openvdb INTERFACE ${prefix}/include)
target_link_libraries(OpenVDB::openvdb INTERFACE ${prefix}/lib/libopenvdb.a ${prefix}/lib/libblosc.a ${prefix}/lib/libtbb.a
  ZLIB::ZLIB Boost::headers Threads::Threads ${CMAKE_DL_LIBS})
set(OpenVDB_STATIC ON)
