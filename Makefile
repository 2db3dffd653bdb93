# make lab: read the course · make test: check it · make notebooks [NB=04_training]: run the notebooks and keep their outputs
# make figures: redraw figures/ · make clean: forget what was drawn, decoded and trained (downloads stay)
PYTHON ?= python3
BIN := .venv/bin
# The empty file marks an install that went through; a newer requirements.txt installs again.
READY := .venv/installed

.PHONY: lab test notebooks figures clean

# Without root_dir JupyterLab would serve notebooks/ alone, and links out of it (images, modules) would break.
lab: $(READY)
	$(BIN)/jupyter-lab --ServerApp.root_dir=. notebooks/01_data_exploration.ipynb

test: $(READY)
	$(BIN)/python -m pytest --nbval

notebooks: $(READY)
	$(BIN)/python notebooks/execute.py $(NB)

figures: $(READY)
	$(BIN)/python figures/draw.py

clean:
	rm -rf data/cache

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('clipnb needs Python 3.11 or newer: make PYTHON=python3.11 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -r requirements.txt
	touch $@
