#!/bin/sh
# compile.sh NVCC CXX FILES...: compiles the kernels of .cu files for the oldest and the newest GPU that dgp is built
# for, two at a time, treating warnings as errors; writes nothing. Optimising takes most of a compiler's time and
# finds no mistakes: left out where nvcc can. The host's half of a file is compiled for the emulator anyway, and by
# nvcc here only where it is the runtime itself, in tensor/.
set -eu
nvcc=$1 cxx=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
case $cxx in *clang*) cxx=g++ ;; esac
fast=
if "$nvcc" --help | grep -q -e --Ofast-compile; then fast=--Ofast-compile=max; fi
for file; do
  for arch in sm_75 sm_90; do printf '%s\0' "-arch=$arch -cubin" "$file"; done
  case $file in */tensor/* | tensor/*) printf '%s\0' "-arch=sm_90 -Xcompiler -Wall,-Wextra -c" "$file" ;; esac
done | xargs -0 -n 2 -P 2 \
  sh -c '"$0" $1 $4 -std=c++20 -ccbin "$2" -DDGP_CUDA -I"$3" -Werror all-warnings -o /dev/null "$5"' \
  "$nvcc" "$fast" "$cxx" "$root"
