# Every command that a person or CI runs. `make` alone lists them.
#
# Set-up hangs on stamp files: it runs when pyproject.toml or constraints.txt changed, else not.

SHELL := /bin/sh
PY    := .venv/bin/python
ARGS  ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do \
	  printf '  make %-10s %s\n' "$$name" "$$what"; done

# ---------------------------------------------------------------- set-up

.venv/.made: tools/setup.sh
	@tools/setup.sh python
	@touch $@

.venv/.demo: .venv/.made pyproject.toml constraints.txt
	@tools/setup.sh install demo
	@touch $@

# After .demo and never beside it: two pips in one environment would meet.
.venv/.all: .venv/.demo
	@tools/setup.sh install demo,field,analysis,test,dev
	@touch $@

.venv/.debian: .venv/.made
	@tools/setup.sh debian
	@touch $@

# Made where this machine reaches Debian's mirror and runs i386; tried again next time if not.
build/micropython32: .venv/.made tools/runtime32.py
	@$(PY) -m tools.runtime32
	@if [ -d $@ ]; then touch $@; fi

# Other people's libraries for the tests; tried again next time where PyPI could not be reached.
build/peers/.made: .venv/.made tools/peers.py
	@$(PY) -m tools.peers

build/stubs/.made: .venv/.all tools/device_stubs.sh
	@tools/device_stubs.sh
	@touch $@

.PHONY: venv
venv: .venv/.all ## set .venv up with everything that tests and checks need

# ---------------------------------------------------------------- what runs

.PHONY: demo
demo: .venv/.demo ## a street, a broker and the gateway, live; ARGS="--headless --seconds 30"
	@$(PY) -m kerbline demo $(ARGS)

.PHONY: test
test: .venv/.all .venv/.debian build/micropython32 build/peers/.made ## every test, on CPython and on MicroPython; ARGS go to pytest
	@$(PY) -m tools.run_tests $(ARGS)

.PHONY: nightly
nightly: .venv/.all .venv/.debian build/micropython32 build/peers/.made ## every test, those that take minutes too
	@KERBLINE_NIGHTLY=1 $(PY) -m tools.run_tests --nightly $(ARGS)

.PHONY: check
check: .venv/.all build/stubs/.made ## format, lint, types, import contracts, device subset, spelling
	@$(PY) -m tools.check $(ARGS)

.PHONY: firmware
firmware: .venv/.all ## a board's node into build/firmware, with its size; BOARD=streetlight-esp32; all without it
	@$(PY) -m kerbline node build $(BOARD)

# A bench-NAME target is a benchmark; each compares with something measured in the same run.
BENCHES := $(shell sed -n 's/^\(bench-[a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))
.PHONY: bench $(BENCHES)
bench: .venv/.all $(filter-out bench-fuzz bench-cycles,$(BENCHES)) ## the benchmarks but those that take hours
	@$(if $(BENCHES),:,echo "no benchmark yet: add a target bench-NAME to the Makefile")

bench-wire: .venv/.all build/micropython32 ## each target of the wire beside its measured figure; ARGS="gateway"
	@$(PY) -m tools.bench_wire $(ARGS)

bench-node: .venv/.all build/micropython32 ## each target of a whole node beside its measured figure
	@PYTHONPATH=firmware $(PY) -m tools.bench_wire whole

bench-cycles: .venv/.all build/micropython32 ## 10^5 telemetry cycles of each node in a chip's heap; takes hours
	@PYTHONPATH=firmware $(PY) -m tools.bench_cycles $(ARGS)

STORE_BENCHES := $(patsubst tests/budgets/bench_%.py,%,$(wildcard \
  tests/budgets/bench_store*.py tests/budgets/bench_north*.py))
bench-store: .venv/.all ## each target of the store and of what goes north beside its figure
	@$(PY) -m tools.bench_wire $(or $(ARGS),$(STORE_BENCHES))

MODBUS_BENCHES := $(patsubst tests/budgets/bench_%.py,%,$(wildcard tests/budgets/bench_modbus*.py))
bench-modbus: .venv/.all .venv/.debian ## each target of the Modbus bridge beside its figure, and other gateways beside it
	@$(PY) -m tools.bench_wire $(or $(ARGS),$(MODBUS_BENCHES))

CITY_BENCHES := $(patsubst tests/budgets/bench_%.py,%,$(wildcard tests/budgets/bench_city*.py))
bench-city: .venv/.all .venv/.debian ## each target of the city's platforms beside its figure
	@$(PY) -m tools.bench_wire $(or $(ARGS),$(CITY_BENCHES))

LEAKS_BENCHES := $(patsubst tests/budgets/bench_%.py,%,$(wildcard \
  tests/budgets/bench_leaks*.py tests/budgets/bench_air*.py))
bench-leaks: .venv/.all ## each target of the leak detectors and of the air's values beside its figure
	@$(PY) -m tools.bench_wire $(or $(ARGS),$(LEAKS_BENCHES))

LIGHT_BENCHES := $(patsubst tests/budgets/bench_%.py,%,$(wildcard tests/budgets/bench_light*.py))
bench-light: .venv/.all ## each target of the light where people are beside its figure; a quarter of an hour
	@PYTHONPATH=firmware $(PY) -m tools.bench_wire $(or $(ARGS),$(LIGHT_BENCHES))

FIELD_BENCHES := $(patsubst tests/budgets/bench_%.py,%,$(wildcard tests/budgets/bench_field*.py))
bench-field: .venv/.all ## each target of flashing, commissioning and updating beside its figure
	@PYTHONPATH=firmware $(PY) -m tools.bench_wire $(or $(ARGS),$(FIELD_BENCHES))

bench-fuzz: .venv/.all ## 10^8 mutated frames, resumed where stopped; ARGS="--blocks 0:100 --jobs 2"
	@$(PY) -m tools.bench_fuzz $(ARGS)

.PHONY: clean
clean: ## remove .venv and everything that was built
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
