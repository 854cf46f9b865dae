#!/bin/sh
# compile.sh NVCC CXX FILES...: compiles .cu files for the oldest and the newest GPU that dgp is built for, treating
# warnings as errors; writes nothing.
set -eu
nvcc=$1 cxx=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
case $cxx in *clang*) cxx=g++ ;; esac
for file in "$@"; do
  for arch in 75 90; do
    echo "nvcc sm_$arch $file"
    "$nvcc" -std=c++20 -ccbin "$cxx" -arch=sm_$arch -DDGP_CUDA -I"$root" -Werror all-warnings -Xcompiler -Wall,-Wextra \
      -c "$file" -o /dev/null
  done
done
