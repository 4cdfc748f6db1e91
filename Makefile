# make test: lint, types and tests.  make check: the same with the quick tests alone.  make demo: the main job on embedded data, in minutes.
# make test-faults: what a sweep survives, in about 20 minutes.
# make docs: the documentation as a site in site/, without a network.
# All set themselves up: a virtual environment in .venv, made anew only when it is not current.

VENV := .venv
PYTHON := $(VENV)/bin/python
OMASGAN := $(VENV)/bin/omasgan
STAMP := $(VENV)/.installed
DEMO := out/demo
DEMO_FOLDS := 1,8
YARDSTICKS := knn lof pca gmm isolation-forest

# -P: the package must be found through the environment, not because we stand beside it.
CURRENT := [ -f $(STAMP) ] && [ ! pyproject.toml -nt $(STAMP) ] && $(PYTHON) -P -c \
	"import omasgan, pathlib; assert pathlib.Path(omasgan.__file__).samefile('omasgan/__init__.py')" \
	2>/dev/null

# In the order of their names: xdist would begin with the files that hold most tests, and so end
# with those whose few tests take longest. Three processes for two cores, since tests on Ray mostly
# wait.
SPREAD := -n 3 --dist loadfile --no-loadscope-reorder
QUICK := tests/data tests/nn tests/study tests/checks tests/test_*.py

# The tests start a hundred processes; without bytecode each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test check test-faults demo docs lint types tests setup

test: lint types tests

# What it leaves out starts Ray, servers, browsers or trainings; make test runs everything.
check: lint types
	$(PYTHON) -m pytest -q $(SPREAD) $(QUICK)

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: setup
	$(PYTHON) -m mypy

tests: setup
	$(PYTHON) -m pytest -q $(SPREAD)

test-faults: setup
	$(PYTHON) -m pytest -q -m "" tests/faults

demo: setup
	$(OMASGAN) sweep digits-loo omasgan --folds $(DEMO_FOLDS) --trials 4 \
		--backend ray --out $(DEMO)
	for detector in $(YARDSTICKS); do \
		$(OMASGAN) run digits-loo $$detector --folds $(DEMO_FOLDS) --out $(DEMO) || exit; \
	done
	$(OMASGAN) report $(DEMO)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet --strict
	@echo "The documentation is site/index.html; its search works at the address that this prints:"
	@echo "$(PYTHON) -m http.server --bind 127.0.0.1 --directory site"

setup:
	@if ! { $(CURRENT); }; then \
		$(PYTHON) -c "" 2>/dev/null || python3 -m venv --clear $(VENV); \
		$(PYTHON) -m pip install --quiet --editable ".[dev]" && touch $(STAMP); \
	fi
