# pitpulse: `make demo` and `make test` need Python 3.11 or newer and nothing else.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
COMPILE = $(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header

.PHONY: demo test lint bench lock clean

demo: $(VENV)/run.stamp  ## environment, then the main job on a simulated mine: everything under build/demo
	$(BIN)/pitpulse demo

test: $(VENV)/test.stamp  ## environment, then every test
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/test.stamp  ## prints ratios, never fails by the clock
	$(BIN)/python bench/mine_year.py
	$(BIN)/python bench/full_burst.py
	$(BIN)/python bench/activity.py
	$(BIN)/python bench/many_mines.py
	$(BIN)/python bench/store.py

lock: $(VENV)/run.stamp  ## pin what pyproject.toml asks for; the files name no registry
	$(COMPILE) pyproject.toml --extra test -o requirements-test.lock
	$(COMPILE) pyproject.toml --extra serve -c requirements-test.lock -o requirements.lock

clean:
	rm -rf $(VENV) build

$(VENV)/bin/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer not found: install it, or name it with make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# uv is ten times faster, and compiles to bytecode so that the first command starts at once; pip does the rest where uv
# can't reach the registry that pip is configured for
define install
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r $(1) \
		|| $(BIN)/python -m pip install --quiet --require-hashes -r $(1)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e . \
		|| $(BIN)/python -m pip install --quiet --no-deps -e .
endef

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(VENV)/bin/uv
	@echo "installing into $(VENV) (once, about half a minute)"
	$(call install,requirements.lock)
	@touch $@

$(VENV)/test.stamp: requirements-test.lock pyproject.toml | $(VENV)/bin/uv
	@echo "installing into $(VENV) with what the tests need (once, about a minute)"
	$(call install,requirements-test.lock)
	@touch $@ $(VENV)/run.stamp
