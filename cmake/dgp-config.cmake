# find_package(dgp): the target dgp::dgp.
include(CMakeFindDependencyMacro)
find_dependency(OpenMP)
find_dependency(Threads)
find_dependency(ZLIB)
find_dependency(nlohmann_json)
find_dependency(yaml-cpp)
include(${CMAKE_CURRENT_LIST_DIR}/dgp-targets.cmake)
