// Catch2 2 wants its main in one file; with Catch2 3 the library brings it.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
