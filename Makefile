# Everything a person does with a checkout. Each target installs what it needs into .venv on first use.

# The system's own Python first: distributions build it with profile-guided optimisation, and one built without is up to
# half as slow again. Whichever it is must be able to make a virtual environment.
PYTHON ?= $(shell for python in /usr/bin/python3.11 python3.11 python3.12 python3.13 python3; do \
	$$python -c "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo $$python && break; done)
VENV := .venv
RUN := $(VENV)/bin
EXTRAS := demo,test,check,postgres

.PHONY: install demo serve test check crash fuzz bench clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $@

demo: install  ## Real events in, invoices out, checked by an independent calculation
	$(RUN)/tallybook demo --invoices demo-invoices

serve: install  ## Everything in one go, on ./tallybook-data
	$(RUN)/tallybook serve

test: install  ## Everything, as many files at once as there are cores
	$(RUN)/pytest -n auto --dist loadfile

check: install
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

crash: install  ## 500 times kill -9 under load; SEED=n repeats a run
	PYTHONPATH=tests $(RUN)/python -m crash.run --kills 500 $(if $(SEED),--seed $(SEED))

fuzz: install  ## 100,000 request bodies
	FUZZ_EXAMPLES=100000 $(RUN)/pytest tests/api -k fuzz

bench: install  ## One table: speeds, and the ratios they are judged by
	bench/install-postgresql
	$(RUN)/python -m bench

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
