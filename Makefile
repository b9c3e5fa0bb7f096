# `make run` and `make test` install what they need: into the active virtual environment, else into .venv.
# `make test PYTHON=python3` uses that interpreter as it is and installs nothing.

ifeq ($(origin PYTHON),undefined)
VENV := $(or $(VIRTUAL_ENV),.venv)
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.tst-fast-installed
else
export PYTHONPATH := $(CURDIR):$(CURDIR)/kernels:$(CURDIR)/pipelines:$(PYTHONPATH)
endif

# Told in full, so that Accelerate has no defaults to warn of.
LAUNCH := $(PYTHON) -m accelerate.commands.launch --quiet \
	--num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no

.PHONY: run test test-long mutants lint install bench bench-gpu compile-report compile-matrix sanitize

run: install
	$(LAUNCH) tst_fast/train.py $(ARGS)

test: install lint
	$(PYTHON) -m pytest -n 2 --dist loadscope $(ARGS)

# Tests of many minutes each, which `make test` leaves out.
test-long: install
	$(PYTHON) -m pytest -m long $(ARGS)

# Faults made on purpose, each of which a test must see; `make mutants ARGS=WORD` makes those that WORD is in.
mutants: install
	$(PYTHON) -m tests.mutate $(ARGS)

lint: install
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

install: $(INSTALLED)

$(VENV)/.tst-fast-installed: setup.py pyproject.toml kernels/pyproject.toml
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --editable ./kernels --editable ".[cuda13,test]"
	touch $@

# Each writes JSON and a table under benchmarks/results/.
bench: install
	$(PYTHON) -m pip install --quiet --editable ".[benchmark]"
	$(PYTHON) -m benchmarks.augment --json benchmarks/results/augment-cpu.json
	$(PYTHON) -m benchmarks.kernels --json benchmarks/results/kernels-cpu.json --markdown benchmarks/results/kernels-cpu.md
	$(PYTHON) -m benchmarks.loaders --json benchmarks/results/loaders-cpu.json --markdown benchmarks/results/loaders-cpu.md

# These two need a CUDA GPU; the first takes eight minutes at most.
bench-gpu: install
	$(PYTHON) -m pytest tests/kernels/test_triton_cuda.py tests/pipelines/loaders/test_dali_cuda.py
	$(PYTHON) -m benchmarks.kernels --json benchmarks/results/kernels-gpu.json --markdown benchmarks/results/kernels-gpu.md
	$(PYTHON) -m benchmarks.loaders --threads 16 --rounds 3 --json benchmarks/results/loaders-gpu.json --markdown benchmarks/results/loaders-gpu.md

sanitize: install
	PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck --error-exitcode 1 \
		$(PYTHON) -m pytest tests/kernels/test_triton_cuda.py -k "not cuda_graph"

# Registers, spills, instructions and bounds of the Triton kernels; no GPU needed.
compile-report: install
	$(PYTHON) -m benchmarks.compile_report

# The same with the oldest supported Triton, in an environment of its own.
compile-matrix: compile-report
	test -x .venv-oldest/bin/python || python3 -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet "torch==2.11.*" "triton==3.6.*" numpy
	PYTHONPATH=$(CURDIR):$(CURDIR)/kernels .venv-oldest/bin/python -m benchmarks.compile_report
