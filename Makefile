# `make run` and `make test` install what they need: into the active virtual environment, else into .venv.
# `make test PYTHON=python3` uses that interpreter as it is and installs nothing.

ifeq ($(origin PYTHON),undefined)
VENV := $(or $(VIRTUAL_ENV),.venv)
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.tst-fast-installed
else
export PYTHONPATH := $(CURDIR):$(CURDIR)/kernels:$(CURDIR)/pipelines:$(PYTHONPATH)
endif

# Given in full, so that Accelerate has no defaults to warn of.
LAUNCH := $(PYTHON) -m accelerate.commands.launch --quiet \
	--num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no

.PHONY: run test test-long test-oldest mutants fuzz kills lint install bench bench-gpu compile-report compile-matrix sanitize

run: install
	$(LAUNCH) tst_fast/train.py $(ARGS)

test: install lint
	$(PYTHON) -m pytest -n 2 --dist worksteal $(ARGS)

# Tests of many minutes each, which `make test` leaves out.
test-long: install
	$(PYTHON) -m pytest -m long $(ARGS)

# Faults made on purpose, each of which a test must see; `make mutants ARGS=WORD` makes those that WORD is in.
mutants: install
	$(PYTHON) -m tests.mutate $(ARGS)

# Runs killed at random and continued, 50 times: each must end as one that nothing stopped. A quarter of an hour.
kills: install
	$(PYTHON) -m tests.kills $(ARGS)

# Twenty times as many odd configurations as the suite reads: none may end in a traceback.
fuzz: install
	TST_FAST_FUZZ_CASES=5000 $(PYTHON) -m pytest tests/tst_fast/config/test_any_input.py $(ARGS)

# The report in a real browser, Debian's, which this installs; needs root. Elsewhere: any Chromium with its chromedriver.
.PHONY: report-test
report-test: install
	command -v chromium && command -v chromedriver || { apt-get update && apt-get install -y --no-install-recommends chromium chromium-driver; }
	$(PYTHON) -m pytest tests/tst_fast/report/html -rs $(ARGS)

# The site, into build/docs: a warning fails, such as a link to a page or a heading that is not there.
.PHONY: docs docs-links
docs: install
ifdef INSTALLED
	$(PYTHON) -m pip install --quiet --editable ".[docs]"
endif
	$(PYTHON) -m sphinx --fail-on-warning --keep-going -b html docs build/docs $(ARGS)

# Whether the pages that they link to elsewhere answer; needs the Internet.
docs-links: docs
	$(PYTHON) -m sphinx --fail-on-warning --keep-going -b linkcheck docs build/links $(ARGS)

# The suite with the oldest supported versions, those that setup.py begins at, in an environment of its own.
test-oldest:
	test -x .venv-oldest/bin/python || python3 -m venv .venv-oldest
	grep -ohE '"[a-z0-9-]+(\[[a-z]+\])?>=[0-9.]+' setup.py kernels/pyproject.toml \
		| sed -E 's/"|\[.*\]//g; s/>=(.*)/==\1.*/' > .venv-oldest/oldest.txt
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/oldest.txt \
		--editable ./kernels --editable ".[cuda13,test]"
	.venv-oldest/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: install
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright --pythonpath "$$(command -v $(PYTHON))"

install: $(INSTALLED)

$(VENV)/.tst-fast-installed: setup.py pyproject.toml kernels/pyproject.toml
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --editable ./kernels --editable ".[cuda13,test]"
	touch $@

# What it costs on a CPU: JSON under benchmarks/results/, Markdown beside it, and the tables of docs/. Ten minutes.
# `make bench IMAGES=FOLDER CIFAR=FOLDER PAIRS=FOLDER COCO=FOLDER` loads these images; else they are made from scikit-learn's two
# photographs.
bench: install
ifdef INSTALLED
	$(PYTHON) -m pip install --quiet --editable ".[benchmark]"
endif
	$(PYTHON) -m benchmarks.kernels --json benchmarks/results/kernels-cpu.json
	$(PYTHON) -m benchmarks.loaders --json benchmarks/results/loaders-cpu.json \
		$(if $(IMAGES),--images $(IMAGES)) $(if $(CIFAR),--cifar $(CIFAR))
	$(PYTHON) -m benchmarks.training --json benchmarks/results/training-cpu.json \
		$(if $(IMAGES),--images $(IMAGES)) $(if $(CIFAR),--cifar $(CIFAR))
	$(PYTHON) -m benchmarks.scaling --json benchmarks/results/scaling-cpu.json
	$(PYTHON) -m benchmarks.segmentation --json benchmarks/results/segmentation-cpu.json $(if $(PAIRS),--pairs $(PAIRS))
	$(PYTHON) -m benchmarks.detection --json benchmarks/results/detection-cpu.json $(if $(COCO),--coco $(COCO))
	$(PYTHON) -m benchmarks.report

# These three need a CUDA GPU; the first ends within eight minutes. `make bench-gpu PYTHON=python3` installs nothing, and
# says in its rows what is missing; RESULTS=FOLDER writes there.
RESULTS ?= benchmarks/results
bench-gpu: install
	$(PYTHON) -m benchmarks.gpu --json $(RESULTS)/gpu.json $(ARGS)

# DALI decoding on the GPU; where it is missing, its rows say so.
.PHONY: bench-loaders-gpu
bench-loaders-gpu: install
	$(PYTHON) -m benchmarks.loaders --json $(RESULTS)/loaders-gpu.json $(ARGS)

# How images/s of a step change with batch, size, operations, and over all GPUs of the machine.
.PHONY: bench-scaling-gpu
bench-scaling-gpu: install
	$(PYTHON) -m benchmarks.scaling --device cuda --pair resnet34-resnet18 --json $(RESULTS)/scaling-gpu.json $(ARGS)

sanitize: install
	PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck --error-exitcode 1 \
		$(PYTHON) -m pytest tests/kernels/test_triton_cuda.py -k "not cuda_graph"

# Registers, spills, instructions and bounds of the Triton kernels; no GPU needed.
compile-report: install
	$(PYTHON) -m benchmarks.compile_report
	$(PYTHON) -m benchmarks.bounds --json benchmarks/results/bounds.json

# The same with the oldest supported Triton, in an environment of its own.
compile-matrix: compile-report
	test -x .venv-oldest/bin/python || python3 -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet "torch==2.11.*" "triton==3.6.*" numpy
	PYTHONPATH=$(CURDIR):$(CURDIR)/kernels .venv-oldest/bin/python -m benchmarks.compile_report
