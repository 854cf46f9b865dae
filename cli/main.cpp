// The dgp program: parses the command line, runs the subcommand, turns errors into exit statuses.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <new>
#include <unistd.h>

#include "cli/cli.h"
#include "train/ranks.h"

namespace {

constexpr const char* kExitCodes =
    "Exit status: 0 ok, 2 usage or configuration, 3 bad input file, 4 out of memory or past a limit,\n"
    "5 reading or writing failed (disk full), 6 not a number, 75 locked, 129, 130 or 143 interrupted.";

int report(const dgp::Ranks& ranks, const std::string& message, int code) {
  const std::string who = ranks.first() ? "" : "rank " + std::to_string(ranks.rank()) + ": ";
  std::cerr << "dgp: " + who + message + "\n";
  return code;
}

// OpenMP's threads spin while they wait for work, by default for milliseconds: beside any other busy program
// they then take the time of the thread they wait for, and all stands still. A short spin costs nothing on an
// idle machine. The runtime reads its environment before main(), hence the second start.
void spin_briefly(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  setenv("GOMP_SPINCOUNT", "10000", 1);
  execv("/proc/self/exe", argv);  // returns only when it cannot: then the default stays
}

int run(CLI::App& app, const dgp::Ranks& ranks, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(dgp::ErrorCode::invalid);
  } catch (const dgp::Exit& exit) {
    return exit.code;
  } catch (const dgp::Error& error) {
    return report(ranks, error.what(), static_cast<int>(error.code()));
  } catch (const std::bad_alloc&) {
    return report(ranks, "out of memory", static_cast<int>(dgp::ErrorCode::limit));
  } catch (const std::filesystem::filesystem_error& error) {
    return report(ranks, error.what(), static_cast<int>(dgp::ErrorCode::io));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  spin_briefly(argv);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // past the limit on file sizes: an error to report, not the end
  dgp::install_signal_handlers();
  dgp::Ranks ranks;
  CLI::App app("dgp " DGP_VERSION ": train and run DGPNet, image super-resolution written from scratch");
  app.name("dgp");
  app.set_version_flag("--version", "dgp " DGP_VERSION);
  app.require_subcommand(1);
  app.footer(kExitCodes);
  dgp::add_upscale(app, ranks);
  dgp::add_train(app, ranks);
  dgp::add_check(app);
  dgp::add_eval(app, ranks);
  dgp::add_fuse(app);
  dgp::add_info(app);
  dgp::add_inspect(app);
  dgp::add_compare(app);
  dgp::add_degrade(app);
  dgp::add_bench(app);
  int code = run(app, ranks, argc, argv);
  // What could not be written to standard output was not delivered.
  bool flushed = static_cast<bool>(std::cout.flush()) && std::fflush(stdout) == 0;
  if (code == 0 && !flushed) code = report(ranks, "cannot write to standard output", 5);
  ranks.leave(code);
  return code;
}
