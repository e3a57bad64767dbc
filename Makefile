# make demo and make test set everything up by themselves, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow lint types format mutate peer-environment tenseal-environment clean

demo: $(STAMP)
	$(BIN)/skfhe demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Whether a room's tests notice single changes of its code, made in a copy of the tree, for example
# make mutate ROOM=skfhe/_trees/cover.py N=20 SEED=1 KINDS="comparison number extreme" TESTS="tests/_trees -k cover"
N ?= 40
SEED ?= 0
MUTATION := $(VENV)/.mutation
mutate: $(MUTATION)
	$(if $(ROOM),,$(error name a file or folder: make mutate ROOM=skfhe/_trees))
	$(BIN)/python -m tools.mutation $(ROOM) --number $(N) --seed $(SEED) \
		$(if $(KINDS),--kinds $(KINDS)) $(if $(TESTS),--tests="$(TESTS)")

$(MUTATION): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[mutation]"
	touch $(MUTATION)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info < (3, 13), 'skfhe needs Python 3.11 or 3.12: make PYTHON=python3.11'"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test,lint]"
	touch $(STAMP)

# The environment that benchmarks.peers.neural_network compares with. Concrete ML 1.9.0 needs Python 3.8 to 3.12.
PEER := .venv-peer
peer-environment: $(PEER)/.installed
	@echo $(abspath $(PEER))/bin/python

$(PEER)/.installed:
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet concrete-ml==1.9.0
	touch $(PEER)/.installed

TENSEAL := .venv-tenseal
tenseal-environment: $(TENSEAL)/.installed
	@echo $(abspath $(TENSEAL))/bin/python

$(TENSEAL)/.installed:
	$(PYTHON) -m venv $(TENSEAL)
	$(TENSEAL)/bin/python -m pip install --quiet tenseal==0.3.18 numpy
	touch $(TENSEAL)/.installed

clean:
	rm -rf $(VENV) $(PEER) $(TENSEAL) build *.egg-info
