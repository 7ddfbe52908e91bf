# Two commands matter: `make demo` and `make test`. Both set themselves up in .venv; only make and Python are assumed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
AML := $(CURDIR)/.venv/bin/aml
READY := .venv/.ready
# The tests of the one real Airflow mostly wait for it; meanwhile a second process does others.
SIDE_BY_SIDE := --numprocesses 3 --no-loadscope-reorder

# The demo works on a copy of the samples, because it changes a line. What it keeps is beside that copy, as
# dags/workspace.yaml says; the rest tells which MLflow run is the latest.
DEMO := .aml/demo
TRACKING := sqlite:///$(CURDIR)/$(DEMO)/.aml/mlflow.db
define LATEST_RUN
import mlflow
(run,) = mlflow.search_runs(experiment_names=['digits'], filter_string='tags.sample = \"digits\"', max_results=1, output_format='list')
print('MLflow run', run.info.run_id, 'in experiment digits:', run.info.status)
endef
export LATEST_RUN

.PHONY: help setup demo test lint format bench constraints clean
.DEFAULT_GOAL := help

help:
	@echo "make demo         run the sample pipeline three times: computed, reused, and after a change"
	@echo "make test         lint, types, import rules, tests"
	@echo "make lint         only the checks that run nothing"
	@echo "make bench        what a parse, a step and its reuse cost here, beside Airflow and DVC"
	@echo "make constraints  pin the newest versions that fit"
	@echo "make clean        remove what the above made"

setup: $(READY)

# uv comes from the virtual environment's own pip, so that nothing has to be installed on the machine first.
$(READY): pyproject.toml constraints.txt packaging/aml_provider_azureml.pth
	@if [ ! -x $(BIN)/python ]; then \
	    '$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
	        { echo "Python 3.10 or newer is needed (say which: make PYTHON=/path/to/python3.11)." >&2; exit 1; }; \
	    '$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || \
	        { echo "$(PYTHON) cannot make virtual environments: on Debian, run 'apt-get install python3-venv' first." >&2; exit 1; }; \
	    echo "setting up .venv (once, a minute or two)"; \
	    '$(PYTHON)' -m venv .venv || { rm -rf .venv; exit 1; }; \
	fi
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)
	@rm -rf $(DEMO) && mkdir -p $(DEMO) && cp -r dags $(DEMO)/dags
	@echo "== run 1: a pipeline that nobody has run before"
	@cd $(DEMO) && $(AML) run dags/digits_pipeline.py
	@printf '\n== run 2: nothing has changed\n'
	@cd $(DEMO) && $(AML) run dags/digits_pipeline.py
	@printf '\n== run 3: one line of digits/train.py is another: SVC(C=10 ...) has become SVC(C=0.1 ...)\n'
	@sed -i 's/SVC(C=10,/SVC(C=0.1,/' $(DEMO)/dags/digits/train.py
	@cd $(DEMO) && $(AML) plan dags/digits_pipeline.py && $(AML) run dags/digits_pipeline.py
	@MLFLOW_TRACKING_URI=$(TRACKING) $(BIN)/python -c "$$LATEST_RUN"
	@echo "to look at it: $(BIN)/mlflow ui --backend-store-uri $(TRACKING)"

test: lint
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE)

lint: $(READY)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports > .venv/import-rules.txt 2>&1 || { cat .venv/import-rules.txt; exit 1; }

format: $(READY)
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

bench: $(READY)
	@$(BIN)/python -m benchmarks

constraints: $(READY)
	@$(BIN)/uv pip compile pyproject.toml --quiet --extra dev --python-version 3.11 --upgrade \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt

clean:
	rm -rf .venv .aml downloads dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
