# The front door: `make demo` shows what dgp does, `make test` that it is right. CMake does the building.
# `make CUDA=1` builds for NVIDIA GPUs as well, in build-cuda; it needs the CUDA toolkit.
CUDA ?=
BUILD ?= $(if $(CUDA),build-cuda,build)
JOBS ?= $(shell nproc)
CMAKE_FLAGS ?= $(if $(CUDA),-DDGP_CUDA=ON)
PACKAGES = cmake g++ make catch2 libcli11-dev libyaml-cpp-dev nlohmann-json3-dev zlib1g-dev

# A build folder keeps the generator it was configured with; a new one takes Ninja where there is one.
GENERATOR = $(if $(wildcard $(BUILD)/CMakeCache.txt),,$(if $(shell command -v ninja 2>/dev/null),-G Ninja))
RUN_TESTS = ctest --test-dir $(BUILD) --output-on-failure --parallel 2
DGP = $(BUILD)/dgp

.PHONY: all program configure deps test test-large kills demo bench bench-peers bench-cuda study asan ubsan tsan \
  compute-sanitizer fuzz install format clean

all: configure
	cmake --build $(BUILD) --parallel $(JOBS)

program: configure
	cmake --build $(BUILD) --parallel $(JOBS) --target dgp_program

configure: deps
	cmake -S . -B $(BUILD) $(GENERATOR) $(CMAKE_FLAGS)

# Debian and Ubuntu: install what is missing, or say the one command that does.
deps:
	@command -v dpkg-query >/dev/null || exit 0; \
	missing=$$(for p in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done | xargs); \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root=sudo; else \
	  echo "dgp needs a few packages. Run this, then make again:"; \
	  echo "  sudo apt-get update && sudo apt-get install -y $$missing"; exit 1; fi; \
	echo "Installing $$missing"; \
	$$as_root apt-get update -qq && \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing

test: all
	$(RUN_TESTS)

# Pictures of 16384 x 16384 pixels within a limit of memory: a minute, and 2 GB of disk.
test-large: all
	$(BUILD)/tests/test_cli "[.large]"

# Two hundred times killed at a random moment and resumed: the same bits as a run left alone. About two minutes.
kills: all
	$(BUILD)/tests/test_cli "[kills]"

demo: program
	@mkdir -p demo
	$(DGP) upscale docs/demo.png -o demo/upscaled.png
	$(DGP) compare docs/demo.png demo/upscaled.png -o demo/compare.html
	$(DGP) compare docs/demo.png demo/upscaled.png --crop 540,320,240,240 -o demo/strip.png
	@echo
	@echo "Upscaled photograph:           demo/upscaled.png"
	@echo "Side by side, bicubic and dgp: demo/strip.png"
	@echo "With a slider, in a browser:   demo/compare.html"

bench: program
	$(DGP) bench conv
	$(DGP) bench model
	$(DGP) bench step
	$(DGP) bench data

# Against PyTorch, ONNX Runtime, OpenVINO and ncnn, which are installed from PyPI into $(BUILD)/peers-venv:
# bench/peers/README.md. PEERS=--smoke: do the scripts work?
PEERS ?=
bench-peers: program
	python3 bench/peers/run.py --dgp $(DGP) --venv $(BUILD)/peers-venv --json $(BUILD)/peers.json $(PEERS)

# Beside PyTorch on an NVIDIA GPU, in ten minutes: builds for this GPU, tests, measures, prints the tables
# (bench/cuda/README.md). It wants a Python with torch and numpy. CUDA_BENCH=--smoke: does the script work?
CUDA_BENCH ?=
bench-cuda:
	python3 bench/cuda/run.py $(CUDA_BENCH)

# What each ingredient of the network is worth, trained with and without it: docs/study.md. It may be stopped and
# goes on when started again. STUDY: options of bench/study.py, as --seeds 1 2 3, --set data.train.0.lr=DIR.
STUDY ?=
study: program
	python3 bench/study.py --dgp $(DGP) --config configs/study.yml --out runs/study $(STUDY)

# The tests again, under sanitizers, each in a build folder of its own. ThreadSanitizer knows the OpenMP of clang
# alone: it needs the packages clang and libomp-dev.
asan:
	$(MAKE) test BUILD=build-asan CMAKE_FLAGS="-DDGP_SANITIZE=address,undefined"
ubsan:
	$(MAKE) test BUILD=build-ubsan CMAKE_FLAGS="-DDGP_SANITIZE=undefined"
tsan:
	TSAN_OPTIONS="ignore_noninstrumented_modules=1 halt_on_error=1" \
	$(MAKE) test BUILD=build-tsan CMAKE_FLAGS="-DDGP_SANITIZE=thread -DCMAKE_CXX_COMPILER=clang++"

# NVIDIA's memcheck, racecheck, initcheck and synccheck over the tests that run on the GPU.
compute-sanitizer:
	$(MAKE) CUDA=1
	tests/cuda/compute_sanitizer.sh build-cuda/tests/test_ops build-cuda/tests/test_gpu

# The program, the library and its headers; in CMake then: find_package(dgp), target dgp::dgp.
PREFIX ?= /usr/local
install: all
	cmake --install $(BUILD) --prefix $(PREFIX)

# A minute of libFuzzer on each parser of untrusted files. Needs clang.
FUZZ_SECONDS ?= 60
fuzz: deps
	cmake -S . -B build-fuzz -DDGP_FUZZ=ON -DDGP_CLI=OFF -DDGP_TESTS=OFF -DCMAKE_CXX_COMPILER=clang++
	cmake --build build-fuzz --parallel $(JOBS)
	@set -e; for f in build-fuzz/tests/fuzz/*_fuzz; do mkdir -p $$f.corpus; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=512 -timeout=5 -close_fd_mask=1 $$f.corpus; done

format:
	clang-format -i $$(git ls-files '*.h' '*.cpp' '*.cu')

clean:
	rm -rf build build-cuda build-asan build-ubsan build-tsan build-fuzz demo
