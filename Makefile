# Each target prepares .venv first, by itself; see .ci/bootstrap. Without make: README.md.
.PHONY: demo test lint types bench
.DEFAULT_GOAL := test

# Touched by the bootstrap; older than either file means: install again.
READY := .venv/.ready
RUN := .venv/bin/python -m

$(READY): pyproject.toml constraints.txt .ci/bootstrap
	@PYTHON="$(PYTHON)" .ci/bootstrap

demo: $(READY)  ## the main job: a simulated population against the real service
	.venv/bin/forbear demo

test: $(READY)  ## every test
	$(RUN) pytest

lint: $(READY)  ## style and format, nothing is changed
	$(RUN) ruff check
	$(RUN) ruff format --check

types: $(READY)  ## strict types
	$(RUN) mypy

bench: $(READY)  ## the speed of decisions against its floors
	$(RUN) benchmarks.latency
