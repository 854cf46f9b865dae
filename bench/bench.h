// Benchmarks: each file adds one subcommand to `dgp bench`. Times are medians of interleaved runs.
#pragma once

#include <CLI/CLI.hpp>

namespace dgp {

void add_bench_conv(CLI::App& bench);   // one convolution at a time
void add_bench_model(CLI::App& bench);  // whole networks

}  // namespace dgp
