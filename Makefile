# Everything runs in the project's own environment, made on first use from the pinned constraints.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test test-gpu test-slurm lint format zoo benchmark chaos clean

demo: $(STAMP)            ## run the first example: images, CLIP score and FID for each guidance scale
	$(BIN)/flowgen run graphs/01_text_to_image.yaml

test: $(STAMP)            ## lint, types and the whole test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy flowgen nodes
	OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES= $(BIN)/pytest --numprocesses auto --dist worksteal

test-gpu: $(STAMP)        ## what only a machine with a GPU shows
	$(BIN)/pytest tests/gpu/on_gpu.py

test-slurm: $(STAMP)      ## a graph as jobs of a real SLURM on loopback; docs/clusters.md says what it needs
	$(BIN)/pytest tests/slurm/on_slurm.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

zoo: $(STAMP)             ## retrain the shipped model from real handwriting (hours on two cores)
	$(BIN)/python -m flowgen_nodes.zoo.digits --out nodes/zoo/weights

benchmark: $(STAMP)
	$(BIN)/python benchmarks/graph01.py
	$(BIN)/python benchmarks/experiment.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/scaling.py

# torch first and pinned: the other packages then find it installed and leave it alone
$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

chaos: $(STAMP)           ## kill two hundred workers and fifty schedulers at random, and compare what runs answer
	OMP_NUM_THREADS=1 $(BIN)/python tests/chaos/kills.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/chaos/schedulers.py
	KILLS=200 OMP_NUM_THREADS=1 $(BIN)/pytest tests/execute/test_deaths.py -k random

clean:
	rm -rf .venv runs .flowgen
