# `make` alone lists what there is to make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# These empty files mark an install that went through. A newer pyproject.toml installs again.
READY := $(VENV)/installed
# Two files at a time, and each of them in one process: the cells of a notebook belong together.
# The order stays, so that the browser test finds notebook 04's run.
PARALLEL := -n 2 --dist loadscope --no-loadscope-reorder
LINTERS := $(VENV)/linters
# The files of `make test` that try to break something. `make test-hard` runs and counts them too;
# what their tests count as is in tests/hard/hard_record.py.
HARD := $(patsubst %,tests/test_%.py,bad_recipes bad_folders bad_runs bad_indexes bad_paths \
	bad_widgets bad_arguments faults foreign_files run_data divergence disk properties \
	download unpack weight_files store_damage store_failures store_interruptions)

.PHONY: help lab test test-fast test-hard lint format notebooks figures clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Without root_dir JupyterLab would serve notebooks/ alone, and its links to other folders would break.
lab: $(READY)  ## read the course in JupyterLab
	$(BIN)/jupyter-lab --ServerApp.root_dir=. notebooks/00_see_it_work.ipynb

test: $(READY)  ## run all tests and all notebooks (half an hour)
	$(BIN)/python -m pytest --nbval $(PARALLEL)

test-fast: $(READY)  ## run the tests without notebooks and browser (10 minutes)
	$(BIN)/python -m pytest tests $(PARALLEL) \
		--ignore-glob='tests/test_*browser*.py' --ignore-glob='tests/test_own_data*.py' \
		--ignore=tests/test_exercises.py --ignore=tests/test_parity.py

test-hard: $(READY)  ## run the tests that try to break it; write tests/README.md (an hour)
	$(BIN)/python -m pytest --record tests/hard $(HARD)

lint: $(LINTERS)  ## check layout and style of package, tests and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(LINTERS)  ## format package, tests and notebooks
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

notebooks: $(READY)  ## run the notebooks and keep their outputs; NB=04_training for one
	$(BIN)/python notebooks/execute.py $(NB)

figures: $(READY)  ## redraw figures/
	$(BIN)/python figures/draw.py

clean:  ## remove what was drawn, decoded and trained; downloads stay
	rm -rf data/cache

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('clipnb needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

# The linter alone, without PyTorch: it is enough for `make lint`.
$(LINTERS): pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install "$$(sed -n 's/.*"\(ruff==[0-9.]*\)".*/\1/p' pyproject.toml)"
	touch $@
