# One virtual environment, .venv, made from hashed locks. Each target installs what it needs, once. The tests use
# another one too, .venv-clients, for clients whose requirements exclude ours.
#
#   PYTHON   the interpreter that .venv is made with, 3.11 or newer
#   ARGS     handed on to the command of the target: make test ARGS="tests/store -x"

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
CHECK_INSTALLED = broken=$$($(BIN)/python -m pip --disable-pip-version-check check) || { echo "$$broken" >&2; exit 1; }
UV_VERSION := 0.13.9
MIN_COVERAGE := 95

LOCK := .venv-lock/bin/uv pip compile --no-config --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --custom-compile-command "make lock" --quiet

# What `make bench` compares foretell with, each in an environment of its own.
BENCH_ENVIRONMENTS := bentoml fastapi-joblib fastapi-onnx kserve litserve mlflow mlserver mosec

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve convert test lint fmt store assets lock bench bench-quick loadtest soak image-test clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: .venv/.serve ## start the server (installs foretell and what serving needs into .venv, and no more)
	@exec $(BIN)/foretell serve $(ARGS)

convert: .venv/.convert ## install what publishing needs besides: scikit-learn, pandas and the converters
	@echo "foretell can publish now: source .venv/bin/activate" >&2

# All of them are shared out between one process more than there are CPUs: many of them wait for servers.
ALL_TESTS := --numprocesses=$(shell expr $$(nproc) + 1) --dist=worksteal --cov-fail-under=$(MIN_COVERAGE)

test: .venv/.dev .venv-clients/.done ## run the tests with branch coverage; with ARGS, those tests and no coverage floor
	OMP_NUM_THREADS=1 $(BIN)/pytest --cov --cov-report=term-missing:skip-covered $(or $(ARGS),$(ALL_TESTS))

lint: .venv/.dev ## check style, format, types, the direction of imports and the Containerfile; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/hadolint Containerfile

fmt: .venv/.dev ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

store: .venv/.dev ## build the models of model_store/ anew
	$(BIN)/python scripts/build_store.py $(ARGS)

bench: .venv/.dev ## measure foretell beside other servers (an hour and a half; ARGS=--help tells how to choose; needs wrk)
	@exec $(BIN)/python -m loadtests.bench $(ARGS)

bench-quick: .venv/.dev .venv-bench/fastapi-onnx/.done ## the same within a minute: the floors, foretell, and FastAPI on ONNX Runtime
	@exec $(BIN)/python -m loadtests.bench --quick $(ARGS)

loadtest: .venv/.dev ## find the sample store's knee, and hold half of it against loadtests/targets.toml; a few minutes
	@exec $(BIN)/foretell loadtest --profile half-knee --targets loadtests/targets.toml --out build/loadtest $(ARGS)

soak: .venv/.dev ## five million questions to the sample store while its models are rolled out; an hour
	@exec $(BIN)/python loadtests/soak.py $(ARGS)

image-test: .venv/.dev ## build the container image and try it, with no registry (needs root, buildah, podman, runc, debootstrap)
	@exec $(BIN)/python -m scripts.image_test $(ARGS)

assets: ## fetch the vendored OpenAPI page anew and check its digests (needs npm)
	$(PYTHON) scripts/fetch_assets.py $(ARGS)

lock: .venv-lock/.uv-$(UV_VERSION) ## resolve the locks anew from pyproject.toml; ARGS=--upgrade takes newer releases
	$(LOCK) $(ARGS) --extra dev --output-file requirements/dev.txt pyproject.toml
	$(LOCK) $(ARGS) --constraints requirements/dev.txt --output-file requirements/serve.txt pyproject.toml
	$(LOCK) $(ARGS) --constraints requirements/dev.txt --extra grpc --extra redis --output-file requirements/image.txt pyproject.toml
	$(LOCK) $(ARGS) --constraints requirements/dev.txt --extra convert --output-file requirements/convert.txt pyproject.toml
	$(LOCK) $(ARGS) --constraints requirements/dev.txt --output-file requirements/build.txt requirements/build.in
	$(LOCK) $(ARGS) --output-file requirements/clients.txt requirements/clients.in
	@grep --only-matching -E '^(httptools|numpy|onnxruntime|scikit-learn|uvicorn|uvloop)==[^ ]+' requirements/dev.txt \
		> .venv-lock/shared.txt
	for name in $(BENCH_ENVIRONMENTS); do \
		$(LOCK) $(ARGS) --constraints .venv-lock/shared.txt --no-annotate \
			--output-file requirements/bench-$$name.txt requirements/bench-$$name.in || exit 1; \
	done

clean: ## remove .venv, caches and build output
	rm -rf .venv .venv-bench .venv-clients .venv-lock build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find service plugins scripts tests loadtests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The locks hold every release with its hashes, so pip resolves nothing (--no-deps): left to resolve, it asks for
# the newest release of what is required with an extra, and refuses it as not locked. `pip check` sees to the rest.
# dev.txt holds all of the other locks in the same releases, so that .venv can serve all.

.venv/.serve: .venv/pyvenv.cfg requirements/serve.txt requirements/build.txt pyproject.toml
	@echo "installing what serving needs into .venv; the first time takes half a minute" >&2
	$(PIP) install --no-deps --require-hashes -r requirements/serve.txt -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@$(CHECK_INSTALLED)
	@touch $@

.venv/.convert: .venv/.serve requirements/convert.txt
	@echo "installing what publishing needs into .venv; the first time takes half a minute" >&2
	$(PIP) install --no-deps --require-hashes -r requirements/convert.txt
	@$(CHECK_INSTALLED)
	@touch $@

.venv/.dev: .venv/pyvenv.cfg requirements/dev.txt pyproject.toml
	@echo "installing what development needs into .venv; the first time takes a minute" >&2
	$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@$(CHECK_INSTALLED)
	@touch .venv/.serve .venv/.convert $@

.venv-clients/.done: .venv/pyvenv.cfg requirements/clients.txt
	@echo "installing other servers' clients into .venv-clients, for tests" >&2
	$(BIN)/python -m venv --clear .venv-clients
	.venv-clients/bin/python -m pip --disable-pip-version-check -qq install --no-compile --no-deps --require-hashes -r requirements/clients.txt
	@touch $@

.venv-bench/%/.done: requirements/bench-%.txt | .venv/pyvenv.cfg
	@echo "installing what the bench compares with into .venv-bench/$*; the first time takes up to two minutes" >&2
	$(BIN)/python -m venv --clear .venv-bench/$*
	.venv-bench/$*/bin/python -m pip --disable-pip-version-check -qq install --no-deps --require-hashes -r $<
	@touch $@

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "foretell needs Python 3.11 or newer, and $(PYTHON) is not: say which, as in make PYTHON=python3.12" >&2; \
		exit 1; }
	$(PYTHON) -m venv .venv

.venv-lock/.uv-$(UV_VERSION):
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip --disable-pip-version-check -qq install uv==$(UV_VERSION)
	@touch $@
