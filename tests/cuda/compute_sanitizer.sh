#!/bin/sh
# compute_sanitizer.sh PROGRAM...: NVIDIA's compute-sanitizer over test programs, each of its four tools in turn.
# Ends with 0 when all are clean, with 1 when one is not, with 2 when something is missing to run it. Memcheck's leak
# check would wait for a cudaDeviceReset() that never comes: the tests count what they leave allocated themselves.
set -eu
PATH=$PATH:/usr/local/cuda/bin
missing() {
  echo "compute-sanitizer cannot run: $1" >&2
  exit 2
}
[ $# -gt 0 ] || missing "no test program was named"
for program in "$@"; do
  [ -x "$program" ] || missing "$program is not there; build it with \`make CUDA=1\`"
done
command -v compute-sanitizer >/dev/null ||
  missing "it is not installed; it comes with the CUDA toolkit (package cuda-sanitizer-13-0)"
command -v nvidia-smi >/dev/null || missing "there is no NVIDIA driver here (nvidia-smi was not found)"
nvidia-smi -L 2>/dev/null | grep -q GPU || missing "the driver finds no GPU (nvidia-smi -L)"

failed=""
for program in "$@"; do
  for tool in memcheck racecheck initcheck synccheck; do
    echo "== $tool: $program"
    compute-sanitizer --tool $tool --error-exitcode 1 "$program" ||
      failed="$failed
  $tool: $program"
  done
done
[ -z "$failed" ] || {
  echo "compute-sanitizer found errors:$failed" >&2
  exit 1
}
echo "compute-sanitizer: clean"
