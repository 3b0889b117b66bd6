# make run    opens the studio (without a display: fits the built-in scene, results in out/)
# make test   lint, format, types and tests
# make bench  measures, beside peers, and appends to benchmarks/history.jsonl
# make gpu-check  all that only a CUDA GPU can show, into out/gpu-check; says so where there is none.
#                 MINUTES=10 ends it in time; run again, it goes on with what is left
# Everything sets itself up in .venv first.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# A machine with STUDIO_ARGS="scene.glb" in its environment opens that.
STUDIO_ARGS ?=
# Processes that share the tests: most tests keep one core busy. A file's tests stay together, and so do
# the fits and pictures that they share.
WORKERS ?= 2

.PHONY: run test lint format bench gpu-check gl clean

run: $(READY)
	@scripts/system_packages.sh run
	@$(BIN)/python main.py $(STUDIO_ARGS)

test: lint
	@scripts/system_packages.sh test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY)
	@$(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e ".[bench]"
	@$(BIN)/python main.py bench

gpu-check: $(READY)
	@scripts/system_packages.sh test
	@$(BIN)/python -m benchmarks.gpu_check $(if $(MINUTES),--minutes $(MINUTES) --left)

$(READY): pyproject.toml constraints.txt
	@scripts/system_packages.sh run
	@$(PYTHON) -c 'import sys; sys.exit("studio needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else 0'
	@echo "setting up .venv (about 1.5 GB, some minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

clean:
	rm -rf .venv out build *.egg-info
