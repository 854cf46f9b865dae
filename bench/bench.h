// Benchmarks: each file adds one subcommand to `dgp bench`. Times are medians of interleaved runs.
#pragma once

#include <CLI/CLI.hpp>

#include "models/dgpnet.h"

namespace dgp {

void add_bench_conv(CLI::App& bench);   // one convolution at a time
void add_bench_model(CLI::App& bench);  // whole networks
void add_bench_step(CLI::App& bench);   // training steps
void add_bench_data(CLI::App& bench);   // making patches to train on

// A DGPNet: a preset's name (tiny, small, base, large), untrained; or a model, bundled or a file.
DGPNet bench_network(const std::string& name, int64_t scale, int64_t unshuffle);

}  // namespace dgp
