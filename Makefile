# Two habits: `make run` and `make test`; `make check` before a commit, `make bench` for figures.
FITS := import sys; sys.exit(sys.version_info < (3, 11))
# asked rather than looked for: of what is found, some only say that they are not installed
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
    "$$python" -c '$(FITS)' 2>/dev/null && { echo "$$python"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
TESTS := $(VENV)/.tests
MANUAL := $(VENV)/.manual
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test check bench simulate docs texts lock agent-package agent-interpreter agent-sources centre-package clean

run: $(RUNS)
	$(BIN)/pantau up

# The same order and the same examples each time; another order: make test SEED=7. pytest by itself takes new ones.
SEED ?= 4242
test: $(TESTS)
	$(BIN)/python -m pytest -n 2 --dist loadfile --randomly-seed=$(SEED) --hypothesis-profile=pantau-steady $(ARGS)

check: $(TESTS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/deptry .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q -p no:randomly tests/guards

bench: $(TESTS)
	$(BIN)/python benchmarks/agent.py
	$(BIN)/python benchmarks/growth.py

# The made city (docs/simulation.md): SEEDS=17, SEEDS=0-10000 or YEARS=3 from the first seed on; ONLY=3,5 leaves out all other events.
SEEDS ?= 0-300
simulate: $(TESTS)
	PYTHONPATH=tests $(BIN)/python -m simulation $(SEEDS) $(if $(HOURS),--hours $(HOURS)) $(if $(YEARS),--years $(YEARS)) $(if $(ONLY),--only $(ONLY))

# The catalogue of English texts: new ones empty, unused ones dropped; the translations are written by hand. A guard is red until they are.
texts: $(TESTS)
	$(BIN)/python tests/guards/texts.py en > alerts/i18n/locale/en/LC_MESSAGES/pantau.po.new
	mv alerts/i18n/locale/en/LC_MESSAGES/pantau.po.new alerts/i18n/locale/en/LC_MESSAGES/pantau.po

# The reference of every setting, from the settings' own classes; a guard is red when it is old.
docs: $(TESTS)
	$(BIN)/python tests/guards/reference.py > docs/settings.md.new
	mv docs/settings.md.new docs/settings.md

# A virtual environment with the versions of requirements.txt (hashes, no addresses); made again when they change.
$(RUNS): requirements.txt pyproject.toml
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || { echo "Pantau needs Python 3.11 or newer, $(if $(PYTHON),which $(PYTHON) is not,and none of python3.11 to python3.14 and python3 is that here):" \
	    "install one (Debian: apt-get install python3 python3-venv), or set PYTHON to its path: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.txt
	$(PIP) --no-deps --editable .
	@touch $(RUNS)

$(TESTS): $(RUNS) requirements-dev.txt
	$(PIP) --require-hashes -r requirements-dev.txt
	@touch $(TESTS)

# The agent as a .deb, an .rpm and a tar.gz for other systems, in dist/; none needs the network or a Python where it is installed.
# MACHINE=aarch64 builds for that one.
agent-package: $(MANUAL)
	sh configs/package/build.sh $(BIN)/python $(MACHINE)

# What makes manual pages and completions.
$(MANUAL): $(RUNS) requirements-package.txt
	$(PIP) --require-hashes -r requirements-package.txt
	@touch $(MANUAL)

# The interpreter that the packages bring, from Debian's sources: some minutes, once, then it is kept in the user's cache.
agent-interpreter: $(RUNS)
	sh configs/package/interpreter/build.sh $(BIN)/python $(MACHINE)

# Which sources those are: the newest that Debian has, after a security update of Python, OpenSSL, SQLite or zlib.
agent-sources: $(RUNS)
	$(BIN)/python configs/package/interpreter/sources.py --renew

# The centre as a .deb and as a bundle for machines without a network, for the minor of the Python here.
centre-package: $(MANUAL)
	sh configs/centre/build.sh $(BIN)/python

# After a change of dependencies in pyproject.toml (needs uv).
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra server --extra snmp --extra postgres pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra server --extra snmp --extra postgres --group dev pyproject.toml -o requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group package -o requirements-package.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
