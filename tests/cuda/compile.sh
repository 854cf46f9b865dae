#!/bin/sh
# compile.sh NVCC CXX FILES...: compiles .cu files for the oldest and the newest GPU that dgp is built for, both in
# one call and two files at a time, treating warnings as errors; writes nothing. Optimising takes most of a
# compiler's time and finds no mistakes: left out where nvcc can.
set -eu
nvcc=$1 cxx=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
case $cxx in *clang*) cxx=g++ ;; esac
fast=
if "$nvcc" --help | grep -q -e --Ofast-compile; then fast=--Ofast-compile=max; fi
printf '%s\0' "$@" | xargs -0 -n 1 -P 2 "$nvcc" $fast -std=c++20 -ccbin "$cxx" \
  -gencode arch=compute_75,code=sm_75 -gencode arch=compute_90,code=sm_90 -DDGP_CUDA -I"$root" -Werror all-warnings \
  -Xcompiler -Wall,-Wextra -o /dev/null -c
