# The commands of the project. Needs make and Python >= 3.11, nothing else: the first command sets
# up .venv, and does so again only when setup.cfg or pyproject.toml changed. `make help` lists them.

VENV   := .venv
RUN    := $(VENV)/bin/python
MODEL  ?= variational.vae_conv
ARGS   ?=
JOBS   ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# The first of these that runs, is at least 3.11, and can make a virtual environment.
# Say `make PYTHON=/path/to/python ...` to choose another.
PYTHON ?=
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python

# The processes of a test run share the cores; BLAS threads on top would fight over them.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 VECLIB_MAXIMUM_THREADS=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train test tutorials bench lint clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

train: $(VENV)/.models  ## train a model: make train [MODEL=supervised.cnn] [ARGS="--quick"]
	@$(RUN) -m models.$(MODEL) $(ARGS)

test: $(VENV)/.test  ## run the tests: make test [ARGS="-k conv"] [JOBS=4]
	@$(ONE_THREAD) $(RUN) -m pytest -n $(JOBS) --dist worksteal $(ARGS)

tutorials: $(VENV)/.tutorials  ## run the tutorials and render their notebooks
	@$(RUN) -m tutorials $(ARGS)

bench: $(VENV)/.bench  ## time training steps here and in other frameworks (downloads PyTorch)
	@$(RUN) -m benchmarks $(ARGS)

lint: $(VENV)/.dev  ## check style, format and types
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

clean:  ## remove the environment and all caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: $(VENV)/.NAME says that minigrad[NAME] is installed.
$(VENV)/.models $(VENV)/.test $(VENV)/.bench $(VENV)/.dev: $(VENV)/.%: $(VENV)/.created setup.cfg pyproject.toml
	@echo "installing minigrad[$*] into $(VENV) ..."
	@$(RUN) -m pip install -qq --disable-pip-version-check -e '.[$*]'
	@touch $@

# Tutorials train models, so they need both.
$(VENV)/.tutorials: $(VENV)/.created setup.cfg pyproject.toml
	@echo "installing minigrad[models,tutorials] into $(VENV) ..."
	@$(RUN) -m pip install -qq --disable-pip-version-check -e '.[models,tutorials]'
	@touch $@

$(VENV)/.created:
	@python=""; \
	for candidate in $(or $(PYTHON),$(CANDIDATES)); do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	        >/dev/null 2>&1; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "minigrad needs Python 3.11 or newer with its venv module; found none of: $(or $(PYTHON),$(CANDIDATES))" >&2; \
	    exit 1; \
	fi; \
	echo "creating $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV)
	@touch $@
