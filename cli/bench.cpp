// dgp bench: speed on this machine.
#include "bench/bench.h"

#include "cli/cli.h"

namespace dgp {

void add_bench(CLI::App& app) {
  CLI::App* bench = add_command(app, "bench", "Measure speed against this machine's peak",
                                "dgp bench conv\n  dgp bench model --json");
  bench->require_subcommand(1);
  add_bench_conv(*bench);
  add_bench_model(*bench);
  add_bench_step(*bench);
  add_bench_data(*bench);
}

}  // namespace dgp
