.DEFAULT_GOAL := help
.PHONY: help venv demo test hunt lint format benchmarks clean

BIN := .venv/bin
DEMO := resnet50-pi4-wifi-nx-wan-t4

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

# .venv is built from pyproject.toml alone. .venv/made-from holds the tree's place and the pyproject.toml it was built from, and
# is written last: where it differs (a copied tree, a new dependency, an attempt that failed), .venv is built again.
define BUILD_VENV
wanted=$$(echo "$$PWD"; cat pyproject.toml)
[ "$$wanted" = "$$(cat .venv/made-from 2>/dev/null)" ] && $(BIN)/python -c '' && exit 0
for python in python3.11 python3 python3.12 python3.13 python3.14 none; do
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
done
if [ $$python = none ]; then
  echo "dnnopt needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1)" >&2
  exit 1
fi
set -e
echo "building .venv with $$($$python --version)"
rm -rf .venv
$$python -m venv .venv
$(BIN)/python -m pip install --quiet -e '.[all,dev]'
printf '%s\n' "$$wanted" > .venv/made-from
endef
export BUILD_VENV

# Of two makes at once, the second waits for the first and then finds .venv done.
venv: ## build .venv where it is not up to date
	@$(if $(shell command -v flock),flock Makefile) sh -c "$$BUILD_VENV"

demo: venv ## solve a problem of the library, and compare methods on it
	$(BIN)/dnnopt solve $(DEMO)
	$(BIN)/dnnopt compare $(DEMO)

test: lint ## everything that a change must pass
	$(BIN)/pytest -n auto

# HUNT_MINUTES=30, HUNT_SEED (the time) and HUNT_JOBS (the number of cores) may be set.
hunt: venv ## draw new problems and examples for HUNT_MINUTES=30; report what any part answers wrongly
	$(BIN)/python tests/hunt.py run

lint: venv ## format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: venv ## put right what can be put right automatically
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

benchmarks: venv ## run every script in benchmarks/
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean: ## remove .venv, builds and caches
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
