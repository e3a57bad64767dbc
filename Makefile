# make demo and make test set everything up by themselves, in .venv; make test-oldest in .venv-oldest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow test-oldest test-newest lint types docs format mutate dist-check
.PHONY: peer-environment tenseal-environment clean

demo: $(STAMP)
	$(BIN)/skfhe demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

# Some files of them take far longer than others, so that tests are handed out one by one.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

# The fast tests that meet scikit-learn, torch, Brevitas and the boosting libraries, on the oldest releases of them that
# setup.cfg allows. Rooms that know NumPy and the engine alone are left out, as are the server, the client, the encrypted runs of
# programs that other tests compare in the clear, and all but one of the networks that pass scikit-learn's checks: nothing there is older.
OLDEST := .venv-oldest
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest $(MEETING_OTHERS)

NUMPY_ROOMS := circuit cost encryption passes program
MACHINES := async_client client key_ remote serving workers
MEETING_OTHERS := -n 2 --dist loadfile -m "not slow" tests $(NUMPY_ROOMS:%=--ignore=tests/%) \
	$(MACHINES:%=--ignore-glob=tests/deployment/test_%*) --ignore-glob='*/test_encrypted*' \
	-k "not (scikit_learn_contract and (bounded or NeuralNetRegressor))"

# On Linux a torch this old comes with CUDA's libraries, 3 GB to download and 7 GB on disk. Its makers have an index of
# builds for the CPU, a tenth of that: name it in PIP_EXTRA_INDEX_URL.
$(OLDEST)/.installed: setup.cfg pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(OLDEST)/bin/python -m pip install --quiet -c constraints-oldest.txt -e ".[test]"
	touch $@

# The same tests on whatever is newest today within setup.cfg, which the resolver says: constraints.txt follows once they pass.
# CI leaves it out, since what it finds is not what a change did.
NEWEST := .venv-newest
test-newest:
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade pip
	$(NEWEST)/bin/python -m pip install --quiet -e ".[test]"
	$(NEWEST)/bin/python -m pip freeze --exclude-editable
	$(NEWEST)/bin/python -m pytest $(MEETING_OTHERS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pages of docs/ and the examples, which run, to docs/_build/html/index.html. Warnings are errors.
DOCS := $(VENV)/.docs
docs: $(DOCS)
	$(BIN)/python -m sphinx -b html -W --keep-going -q -j 2 docs docs/_build/html

$(DOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $(DOCS)

# Builds what would be published to dist/, compares it with the tree, and tries it in an empty environment.
RELEASE := .venv-release
dist-check: $(RELEASE)/.installed
	$(RELEASE)/bin/python -m tools.dist_check $(DIST_OPTIONS)

$(RELEASE)/.installed: constraints.txt
	$(PYTHON) -m venv --clear $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet -c constraints.txt build twine
	touch $@

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

# Whatever .gitignore names.
clean:
	rm -rf $(VENV) $(OLDEST) $(NEWEST) $(RELEASE) $(PEER) $(TENSEAL) build dist *.egg-info docs/_build docs/auto_examples \
		docs/reference/generated docs/sg_execution_times.rst .mypy_cache .ruff_cache .hypothesis .artifacts catboost_info
	find . -name __pycache__ -prune -exec rm -rf {} +
