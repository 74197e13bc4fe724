# `make` lists the targets. Each sets up what it needs in .tools/, which git ignores, and changes nothing else on the
# machine. A second call finds everything in place.

PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
ifndef PYTHON
PYTHON := $(shell for python in $(PYTHONS); do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
endif
SETUP = $(or $(PYTHON),$(error Python 3.11 or newer is needed, as one of: $(PYTHONS))) .ci/setup.py

DEV := .tools/dev/bin
# Two workers, whatever the machine: each may run an Alertmanager, an AWS emulator or a Lambda runtime.
PYTEST := $(DEV)/pytest --numprocesses=2
COVERAGE := --cov --cov-report= --cov-fail-under=0
FAST_TESTS := --dist=worksteal tests/unit tests/contract
# In a process of their own and without coverage: which histories are tried depends on what else is loaded.
MODEL_TESTS := tests/model
# The longest first, and each file on one worker: what a file sets up for all its tests is set up once.
SLOW_TESTS := --dist=loadfile --no-loadscope-reorder tests/deploy tests/e2e tests/template tests/integration
LINTED := $(wildcard src tests benchmarks examples .ci/setup.py)
OPTIONAL_TOOLS := sam ministack lambda-3.13 alertmanager

# For `sam build`: the interpreter of the Lambda runtime compiles the bundle, uv installs its packages.
SAM := SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.tools/sam/bin:$(CURDIR)/.tools/uv/bin:$(CURDIR)/.tools/lambda-3.13/bin:$$PATH" sam
MODULES := PYTHONPATH="$(CURDIR)/src:$(CURDIR)"

.DEFAULT_GOAL := help
.PHONY: help reconcile test lint unit bench build deploy lock clean dev
MAKEFLAGS += --no-print-directory

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

reconcile: dev ## one reconciliation: of the systems named by the environment, or else of an embedded scenario
	@env -u CI $(SETUP) --if-possible alertmanager
	@$(MODULES) $(DEV)/python examples/reconcile_once.py

test: dev ## format, lint, types, import rules and all tests, the fast ones first; branch coverage of src
	@$(MAKE) lint
	$(PYTEST) $(COVERAGE) $(FAST_TESTS)
	$(DEV)/pytest $(MODEL_TESTS)
	@$(SETUP) --if-possible $(OPTIONAL_TOOLS)
	$(PYTEST) $(COVERAGE) --cov-append $(SLOW_TESTS)
	$(DEV)/coverage report --show-missing --skip-covered
	@$(SETUP) --missing

lint: dev ## format, lint, types and import rules only
	$(DEV)/ruff format --check $(LINTED)
	$(DEV)/ruff check $(LINTED)
	$(DEV)/mypy $(LINTED)
	PYTHONPATH=src $(DEV)/lint-imports

unit: dev ## the fast tests only
	$(PYTEST) $(FAST_TESTS)
	$(DEV)/pytest $(MODEL_TESTS)

bench: dev ## measure cold start, request economy, memory and scale; prints tables
	@$(SETUP) sam lambda-3.13 ministack
	@$(MODULES) $(DEV)/python -m benchmarks

build: ## sam build
	@$(SETUP) sam lambda-3.13
	$(SAM) build

deploy: build ## sam deploy to AWS, with your own credentials, asking before it changes anything
	$(SAM) deploy --guided

lock: dev ## choose the versions in requirements-*.txt anew from requirements-*.in
	@for name in dev sam ministack runtime; do .tools/uv/bin/uv pip compile --quiet --universal --upgrade \
		--python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" \
		requirements-$$name.in --output-file requirements-$$name.txt || exit; done

clean: ## remove everything that make has made
	rm -rf .tools .aws-sam .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

dev:
	@$(SETUP) dev
