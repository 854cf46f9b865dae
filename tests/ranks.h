// Programs as several ranks of one job on this machine.
#pragma once

#include <string>

// What stands before a program to run it as n ranks; ended when it takes a minute. Open MPI's refusals, of
// the user root and of more ranks than cores, are for people, and are told off in its own environment; other
// MPIs know neither.
inline std::string on_ranks(int n) {
  return "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 "
         "OMPI_MCA_hwloc_base_binding_policy=none OMP_WAIT_POLICY=passive ASAN_OPTIONS=detect_leaks=0 "
         "timeout -s KILL 60 " DGP_MPIRUN " -n " +
         std::to_string(n) + " ";
}
