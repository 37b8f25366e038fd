# Perdure: what people type. `make` alone prints the list.
#
#   PYTHON=python3.13 VENV=.venv313 make test    another interpreter, in a virtual environment of its own
#   PYTEST_ARGS="-k crash -x" make engine        anything pytest understands

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest $(PYTEST_ARGS)
# Two processes beside each other: while one waits for servers the other computes. PYTEST_ARGS=-n0 is one, as for --pdb.
BESIDE := $(BIN)/python -m pytest --numprocesses=2 $(PYTEST_ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup lint format types unit store engine simulate simulation mutants awaits e2e argo floors test bench crds chart schema demo run cluster-up cluster-down

help: ## Print this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- the environment -------------------------------------------------------------------------------------------------

$(VENV)/.ready: requirements/dev.txt
	@command -v $(PYTHON) >/dev/null || { echo 'Perdure needs Python 3.11 or newer, and there is no $(PYTHON). Name one: make PYTHON=/path/to/python3.13 setup' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Perdure needs Python 3.11 or newer, but $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.13 setup" % sys.version_info[:2])'
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/.ready ## Make the virtual environment (.venv) from the hashed requirements.

# --- reading the code ------------------------------------------------------------------------------------------------

lint: setup ## Ruff, the formatter, and the arrows between rooms.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@PYTHONPATH=operator:. $(BIN)/lint-imports --no-logo

format: setup ## Let ruff rewrite what it can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## mypy, strict, for the operator, the workflows, the activities and the tests.
	$(BIN)/mypy

# --- running the tests -----------------------------------------------------------------------------------------------

# Cheap ones first; what is not named here (cluster, demo, e2e, ...) comes after in `make test`.
FLOORS := tests/test_tidy.py tests/test_pages.py tests/unit docs/examples/sample-project tests/histories tests/simulation tests/store tests/engine
ABOVE := $(filter-out $(FLOORS) tests/__pycache__ tests/kind,$(patsubst %/,%,$(wildcard tests/*/)))
# Argo CD's own code, which takes minutes to build, has a word of its own.
ABOVE += --ignore=tests/gitops/argo
# What needs Pods that run, and the image: only where kind and a docker engine are.
IN_PODS = $(shell command -v $${KIND_BIN:-kind} >/dev/null && docker info >/dev/null 2>&1 && echo tests/kind)

unit: setup ## The pure core and the tidiness of the tree: no database, no cluster, seconds.
	$(PYTEST) tests/test_tidy.py tests/test_pages.py tests/unit docs/examples/sample-project

store: setup ## Every statement against a real Postgres.
	$(PYTEST) tests/store

engine: setup ## Workers, crashes and recoveries against a real Postgres.
	$(PYTEST) tests/engine

simulate: setup ## One seed of the simulation, step by step: make simulate SEED=92
	@$(BIN)/python -m tests.simulation --seed $(or $(SEED),$(error Say which: make simulate SEED=92))

simulation: setup ## New seeds of the simulation in a row: make simulation SEEDS=1000
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),1000)

mutants: setup ## Break a rule of the engine at a time: the simulation must find each within 100 seeds.
	PERDURE_MUTANTS=1 $(PYTEST) tests/simulation/test_mutants.py

awaits: setup ## Kill the worker at every await of every workflow: make awaits ONLY=create-postgres PLACE=17
	@$(BIN)/python -m tests.awaits $(if $(ONLY),--only $(ONLY)) $(if $(PLACE),--place $(PLACE)) $(if $(EVERY),--every $(EVERY))

e2e: setup ## The test cluster, the demo, the operator against a real API server; where docker and kind are, also in Pods.
	$(PYTEST) $(IN_PODS) $(ABOVE)

argo: setup ## What Argo CD's own code does with our resources; builds that code first, some five minutes.
	$(PYTEST) tests/gitops/argo

floors: setup ## Unit, store and engine tests, histories, the simulation: all that needs no cluster.
	$(BESIDE) $(FLOORS)

# The code is read while the tests wait for servers; what was found comes last, where it is seen.
test: setup ## Everything that needs no more than this machine.
	@$(MAKE) --no-print-directory lint types >$(VENV)/reading.log 2>&1 & reading=$$!; \
	$(BESIDE) $(FLOORS) $(ABOVE); tests=$$?; \
	wait $$reading; reading=$$?; cat $(VENV)/reading.log; \
	[ $$tests -eq 0 ] && [ $$reading -eq 0 ]

bench: setup ## The workloads: make bench ONLY=W1,W6 PEERS=1
	@ONLY="$(ONLY)" PEERS="$(PEERS)" $(BIN)/python -m tests.bench

# --- trying it out ---------------------------------------------------------------------------------------------------

demo: setup ## From nothing to a finished Orchestration, with a worker killed in the middle.
	@$(BIN)/python -m tests.demo

cluster-up: setup ## A real API server, and its .cluster/kubeconfig: yours, kind, or a local control plane.
	@$(BIN)/python -m tests.cluster up

cluster-down: setup ## Remove what cluster-up made.
	@$(BIN)/python -m tests.cluster down

run: setup cluster-up ## The operator on the cluster of .cluster/kubeconfig, with a Postgres of its own.
	@"$$($(BIN)/python -m tests.cluster path kubectl)" --kubeconfig .cluster/kubeconfig apply --server-side -f crds
	@KUBECONFIG=.cluster/kubeconfig $(BIN)/perdure run

# --- the image -------------------------------------------------------------------------------------------------------

.PHONY: image sbom
IMAGE ?= perdure:dev
PLATFORM ?=
BUILD := DOCKER_BUILDKIT=1 docker build $(if $(PLATFORM),--platform $(PLATFORM))

image: ## The container image: make image IMAGE=perdure:dev PLATFORM=linux/arm64
	$(BUILD) --tag $(IMAGE) \
	  --label org.opencontainers.image.version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	  --label org.opencontainers.image.revision=$$(git rev-parse HEAD 2>/dev/null) \
	  --label org.opencontainers.image.created=$$(git log -1 --format=%cI 2>/dev/null) .

sbom: ## What is in the image, as CycloneDX: dist/perdure.cdx.json
	$(BUILD) --target sbom --output dist .

# --- generated files -------------------------------------------------------------------------------------------------

crds: setup ## Write crds/ from the models.
	@$(BIN)/perdure crds --output crds

chart: crds ## Bring charts/perdure up to date with crds/ and its own values.yaml, then lint and render it.
	@$(BIN)/python -m tests.chart
	@helm="$$($(BIN)/python -m tests.cluster path helm)"; for mode in single split; do \
	  "$$helm" lint --quiet --strict charts/perdure --set mode=$$mode && \
	  "$$helm" template perdure charts/perdure --namespace perdure-system --set mode=$$mode >/dev/null || exit 1; done

schema: setup ## Write schema.sql, the page that all migrations make.
	@$(BIN)/python -m perdure._store.snapshot
