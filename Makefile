# Every target installs what it needs first: system packages (scripts/system-packages), .venv/, the compiled core.
# PYTHON=python3.12 chooses the interpreter that .venv/ is made from. J=N sets the number of compilers at a time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
J ?= $(shell nproc 2>/dev/null || echo 2)
VENV := .venv
BIN := $(VENV)/bin
export JOBS := $(J)

SOURCES := $(shell find ext proto -type f \( -name '*.cc' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.proto' \))
CPP := $(shell find ext tests/native benchmarks -type f \( -name '*.cc' -o -name '*.h' \))

# Stamps: what they stand for is done, and done again only when what they depend on changes.
INSTALLED := $(VENV)/.installed
BUILT := build/release/.built

.PHONY: help
help: ## this list
	@echo "Penstock. Usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(BUILT) ## .venv/ with the package built and installed, editable, with the extras demo and dev

.PHONY: demo
demo: $(BUILT) ## trains two versions on real flights, serves them, asks over gRPC, prints the answers; ends by itself
	@$(BIN)/python -m penstock.demo

.PHONY: serve
serve: $(BUILT) ## the same repository, served on port 8001 until Ctrl-C
	@$(BIN)/python -m penstock.demo --serve

.PHONY: test
test: $(BUILT) native-test ## the native tests, then pytest (PYTEST="-k name" narrows it)
	@$(BIN)/python -m pytest $(PYTEST)

.PHONY: native-test
native-test: $(BUILT)
	@$(MAKE) --no-print-directory -s -j$(J) -C tests/native
	@for program in build/release/native/test_*; do echo "== $$program"; $$program; done

.PHONY: lint
lint: $(BUILT) ## ruff, ruff format, mypy --strict, clang-format; changes nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/clang-format --dry-run -Werror $(CPP)

.PHONY: bench
bench: bench-forest bench-server bench-hosting bench-isolation bench-throughput bench-startup bench-reload bench-transforms ## all benchmarks but the peers, against what they must reach (benchmarks/README.md)

.PHONY: bench-throughput
bench-throughput: $(BUILT) ## against a grpcio asyncio server on the same models (BENCH="--rounds 1" shortens it)
	@$(BIN)/python benchmarks/throughput.py $(BENCH)

.PHONY: bench-startup
bench-startup: $(BUILT) ## the time from start to ready with the demo's repository
	@$(BIN)/python benchmarks/startup.py $(BENCH)

.PHONY: bench-reload
bench-reload: $(BUILT) ## 500 reloads under load (BENCH="--reloads 60" shortens it)
	@$(BIN)/python benchmarks/reload.py $(BENCH)

.PHONY: bench-transforms
bench-transforms: $(BUILT) ## feature transforms against ONNX Runtime and scikit-learn (BENCH="--rounds 3" shortens it)
	@$(BIN)/python benchmarks/transforms.py $(BENCH)

.PHONY: bench-forest
bench-forest: $(BUILT) ## forests against LightGBM's C API and ONNX Runtime, one thread (BENCH="--models gbm" shortens it)
	@$(BIN)/python benchmarks/forest.py $(BENCH)

.PHONY: bench-layouts
bench-layouts: $(BUILT) ## what each layout of a compiled forest costs, beside LightGBM (BENCH="--models gbm" shortens it)
	@$(BIN)/python benchmarks/layouts.py $(BENCH)

.PHONY: bench-server
bench-server: $(BUILT) ## the server against a bare nghttp2 loop: throughput, latency, tails (BENCH="--rounds 6" shortens it)
	@$(BIN)/python benchmarks/server.py $(BENCH)

.PHONY: bench-hosting
bench-hosting: $(BUILT) ## memory of 1,000 versions, and a request's cost with 1 to 1,000 models
	@$(BIN)/python benchmarks/hosting.py $(BENCH)

.PHONY: bench-isolation
bench-isolation: $(BUILT) ## a cheap model's p99 beside a dear one
	@$(BIN)/python benchmarks/isolation.py $(BENCH)

.PHONY: bench-peers
bench-peers: $(BUILT) ## against MLServer, KServe, Ray Serve and grpcio, which it installs; writes docs/benchmarks.md unless BENCH says otherwise
	@$(BIN)/python benchmarks/compare.py $(or $(BENCH),--save)

.PHONY: bench-budgets
bench-budgets: $(BUILT) ## the short set that CI runs: measured against benchmarks/budgets.toml
	@$(BIN)/python benchmarks/budgets.py $(BENCH)

.PHONY: sanitize
sanitize: sanitize-address sanitize-thread ## native and conformance tests under ASan with UBSan, then under TSan

# The instrumented core goes to build/<variant>/lib and stands before the installed one in the server's PYTHONPATH; the clients are not
# instrumented. Python itself is not either, so that the sanitizer's runtime is preloaded, and its own leaks are not looked for.
ASAN_SERVER = env LD_PRELOAD=$$(g++ -print-file-name=libasan.so):$$(g++ -print-file-name=libstdc++.so) \
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=build/address-undefined/lib
TSAN_SERVER = setarch -R env LD_PRELOAD=$$(g++ -print-file-name=libtsan.so) \
  TSAN_OPTIONS=ignore_noninstrumented_modules=1 PYTHONPATH=build/thread/lib

.PHONY: sanitize-address
sanitize-address: $(BUILT)
	@$(MAKE) --no-print-directory -s -j$(J) -C tests/native SANITIZE=address,undefined
	@for program in build/address-undefined/native/test_*; do echo "== $$program"; $$program; done
	@SANITIZE=address,undefined $(BIN)/python setup.py -q build --build-base build/address-undefined/python --build-lib build/address-undefined/lib
	@$(ASAN_SERVER) $(BIN)/python -m pytest tests/unit/transforms/test_transforms_kernels.py $(PYTEST)
	@PENSTOCK_SERVER_WRAPPER="$(ASAN_SERVER)" $(BIN)/python -m pytest tests/conformance tests/faults $(PYTEST)

# Fixed addresses (setarch -R): TSan's shadow does not fit every layout that the kernel may pick.
.PHONY: sanitize-thread
sanitize-thread: $(BUILT)
	@$(MAKE) --no-print-directory -s -j$(J) -C tests/native SANITIZE=thread
	@for program in build/thread/native/test_*; do echo "== $$program"; setarch -R $$program; done
	@SANITIZE=thread $(BIN)/python setup.py -q build --build-base build/thread/python --build-lib build/thread/lib
	@PENSTOCK_SERVER_WRAPPER="$(TSAN_SERVER)" $(BIN)/python -m pytest tests/conformance tests/faults $(PYTEST)

.PHONY: wheel
wheel: $(BUILT) ## a wheel for this Python and machine in dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

$(INSTALLED): pyproject.toml scripts/system-packages
	@scripts/system-packages $(PYTHON)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Penstock needs Python 3.11 or later; $(PYTHON) is {sys.version.split()[0]}. Try make PYTHON=python3.12 ...")'
	@echo "installing Python packages into $(VENV)/ (some minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $$($(PYTHON) -c \
	  'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
	@echo "building the compiled core (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[demo,dev]'
	@touch $@

$(BUILT): $(INSTALLED) setup.py $(SOURCES)
	@$(BIN)/python setup.py -q build_ext --inplace
	@mkdir -p $(@D)
	@touch $@
