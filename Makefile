# make run · make test: all set-up included, on a machine that has Python 3.11 or later with pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
DEVELOPMENT_STAMP := $(VENV)/.stamp-development
SPARK_STAMP := $(VENV)/.stamp-spark

.PHONY: run test lint bench simulate simulate-books recon-proof campaign campaign-controls drill-restore attack edges database-link pictures docs audit advisories wheel setup spark lock clean

# Installs what runs Hutong, and not what tests it. With kept data no payments are added, unless PAYMENTS=N asks for some.
run: $(STAMP)
	$(BIN)/hutong demo --serve $(if $(PAYMENTS),--payments $(PAYMENTS))

test: setup
	@$(BIN)/python -m pytest $(or $(ARGS),-n 3 --dist loadfile --no-loadscope-reorder)

# The types and the two halves of the house, at the same time.
HALF := tests/house/test_channels.py tests/house/test_house.py tests/house/test_install.py
lint: setup
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy & types=$$!; $(BIN)/python -m pytest $(HALF) & half=$$!; \
		$(BIN)/python -m pytest tests/house $(HALF:%=--ignore=%) || failed=1; \
		wait $$half || failed=1; wait $$types || failed=1; exit $${failed:-0}

bench: setup
	$(BIN)/hutong bench payments

# SEEDS=200 FROM=5000 for many, SEED=5017 for one with all its steps.
simulate: setup
	@$(BIN)/python tests/simulation/simulate.py $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200) --from $(or $(FROM),0))

# Business goes on while something dies or lies, then every log is compared. NAME=kills|links|lies|…; without ROUNDS,
# the counts of a release. ROUNDS=20 RATE=10 SEED=7 BREAK=believe_any_amount, as needed.
campaign: setup
	@ulimit -n 20000; PYTHONPATH=tests $(BIN)/python -m campaigns.campaign $(NAME) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(RATE),--rate $(RATE)) $(if $(SEED),--seed $(SEED)) $(if $(BREAK),--break $(BREAK))

# Each rule broken on purpose must be noticed by a short campaign.
campaign-controls: setup
	@PYTHONPATH=tests $(BIN)/python -m campaigns.prove_controls $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(RATE),--rate $(RATE)) \
		$(if $(SEED),--seed $(SEED)) $(BREAK)

# A database restored while channels, merchants and a consumer go on, again and again: ten instants, many orders.
drill-restore: setup
	@HUTONG_TEST_DRILL_ORDERS=$(or $(ORDERS),60) HUTONG_TEST_DRILLS=$(or $(ROUNDS),10) \
		$(BIN)/python -m pytest --timeout=0 tests/whole/test_restore_by_commands.py

# Sixty days of business in each of four zones, against an independent model. SEEDS=20 FROM=100, as above.
simulate-books: setup
	@$(BIN)/python tests/ledger/simulate_books.py $(if $(BUSINESS),--business $(BUSINESS)) $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10) --from $(or $(FROM),0))

# Generated business with planted differences, reconciled on every engine: exactly those are found. ROWS=20000 KILLS=10
# SEED=7, PART=bookings, as needed.
recon-proof: setup
	@PYTHONPATH=tests:tests/reconciliation $(BIN)/python tests/reconciliation/recon_proof.py $(if $(ROWS),--rows $(ROWS)) \
		$(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(PART),--part $(PART))

# The 99th percentile of a normal client while others hold thousands of connections. CONNECTIONS=10000, as needed.
attack: setup
	@ulimit -n 20000; PYTHONPATH=tests $(BIN)/python tests/front_door/attack.py --connections $(or $(CONNECTIONS),10000)

# All values at the edges for every parameter of the API and the command line, and generated requests at length;
# `make test` takes some of them, by its seed.
edges: setup
	@HUTONG_TEST_EDGES=all $(BIN)/python -m pytest --timeout=0 tests/api/test_api_edge_values.py \
		tests/cli/test_cli_edge_values.py tests/api/test_api_contract.py

# A running platform whose database freezes, falls silent, is killed, or fails over to a standby: when it serves again.
database-link: setup
	@PYTHONPATH=tests $(BIN)/python tests/whole/database_link.py

# The pictures of the cashier in docs/images, as the browser tests see it.
pictures: setup
	@HUTONG_SCREENSHOTS=1 $(BIN)/python -m pytest --timeout=0 tests/browser/test_cashier_steps.py \
		tests/browser/test_cashier.py::test_payer_scans_and_the_page_turns_to_success_without_reload

docs: setup
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# What is locked against the published advisories in dependencies/advisories.json, which the second command fetches anew
# (FILE=all.zip: from a file at hand).
audit: setup
	@$(BIN)/python dependencies/advisories.py

advisories: setup
	@$(BIN)/python dependencies/advisories.py refresh $(FILE)

# The wheel, with its bill of materials inside.
wheel: setup
	$(BIN)/python dependencies/sbom.py
	$(BIN)/uv build -q --no-build-isolation --wheel -o dist

setup: $(DEVELOPMENT_STAMP)

$(STAMP): requirements.lock pyproject.toml dependencies/install.py
	@$(PYTHON) dependencies/install.py $(VENV)
	@touch $(STAMP)

$(DEVELOPMENT_STAMP): requirements.lock requirements-dev.lock pyproject.toml dependencies/install.py
	@$(PYTHON) dependencies/install.py --development $(VENV)
	@touch $(STAMP) $(DEVELOPMENT_STAMP)

# What matches on a Spark cluster, some 600 MB more; the tests of it need Java 17 besides.
spark: $(SPARK_STAMP)

$(SPARK_STAMP): $(DEVELOPMENT_STAMP) requirements-spark.lock
	@$(PYTHON) dependencies/install.py --development --spark $(VENV)
	@touch $(STAMP) $(DEVELOPMENT_STAMP) $(SPARK_STAMP)

COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q

lock: setup
	$(COMPILE) -o requirements.lock
	$(COMPILE) --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) --extra spark -c requirements.lock -c requirements-dev.lock -o requirements-spark.lock
	$(BIN)/python dependencies/locked.py
	@$(MAKE) --no-print-directory setup
	$(BIN)/python dependencies/sbom.py

clean:
	rm -rf $(VENV) dist docs/_build docs/_generated
