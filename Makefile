# Every target works on a fresh machine: python3 (3.11 or later), make and a C library are all that is needed.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
PYTHON ?= python3
#: Made anew when the lock changes.
STAMP := .venv/.installed
#: An interpreter that is asked for by name, and is not that of .venv, gets it made anew.
ifneq ($(origin PYTHON),file)
VERSION := -c "import sys; print(sys.version)"
ifneq ($(shell $(BIN)/python $(VERSION) 2>&1),$(shell $(PYTHON) $(VERSION) 2>&1))
.PHONY: $(STAMP)
endif
endif
PATHS := .
#: A file's tests share what they set up; every process has a stack of its own, so a large machine needs no more of them.
IN_PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile

#: `make up API_PORT=9000`; what is not said is the usual port, or a free one where that is taken.
PORTS := $(if $(API_PORT),--api-port $(API_PORT)) $(if $(TEMPORAL_PORT),--temporal-port $(TEMPORAL_PORT)) \
	$(if $(UI_PORT),--ui-port $(UI_PORT)) $(if $(MODEL_PORT),--model-port $(MODEL_PORT))

.PHONY: help install demo up down test check replay format bench bench-linear bench-map bench-scale bench-fairness chaos pictures migrate-up migrate-down migrate-create

help: ## Show what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

install: $(STAMP) ## Create .venv with the locked dependencies

$(STAMP): pyproject.toml uv.lock scripts/install.sh
	@PYTHON=$(PYTHON) sh scripts/install.sh
	@touch $(STAMP)

demo: install ## Run the document-analysis example on a stack of its own, from start to stop
	@$(BIN)/agentctl demo $(PORTS)

up: install ## Start the embedded stack and leave it running (http://127.0.0.1:8080; API_PORT=… for another port)
	@$(BIN)/agentctl dev --detach $(PORTS)

down: install ## Stop the embedded stack
	@$(BIN)/agentctl dev stop

test: install ## Run the whole test suite; what needs the machine to itself runs last, whatever came before
	@code=0; \
	$(BIN)/pytest -q $(IN_PARALLEL) -m "not alone" || code=$$?; \
	$(BIN)/pytest -q -m alone || code=$$?; \
	exit $$code

check: install ## Format, lint, types, import contracts, and the fast unit tests
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/ruff check $(PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q $(IN_PARALLEL) tests/unit

replay: install ## Check that runs which older code began can be finished by this code
	@$(BIN)/pytest -q tests/replay

format: install ## Format the code and mend what the linter can mend
	$(BIN)/ruff format $(PATHS)
	$(BIN)/ruff check --fix $(PATHS)

bench: install ## Measure the interpreter and the cost of a step; the last line is JSON
	@$(BIN)/python -m bench

bench-linear: install ## Compare the work for a megabyte made to confuse with that for a part of it; the last line is JSON
	@$(BIN)/python -m bench.linear_time

bench-map: install ## Measure map items per second against plain Temporal and LangGraph; the last line is JSON
	@UV_GROUPS="bench" PYTHON=$(PYTHON) sh scripts/install.sh
	@$(BIN)/python -m bench.map_throughput

bench-scale: install ## Run one map over 100,000 items, its worker killed twice; the last line is JSON
	@$(BIN)/python -m bench.map_scale

bench-fairness: install ## Let 10,000 model calls of one organisation wait beside 10 of another; the last line is JSON
	@$(BIN)/python -m bench.fairness

chaos: install ## Kill every process at random points and at every transition, over 500 runs; the last line is JSON
	@$(BIN)/python -m bench.chaos $(CHAOS)

pictures: install ## Draw the pictures of README.md anew, from a run of the example
	@$(BIN)/python scripts/make_pictures.py

migrate-up: install ## Bring the database of DATABASE_URL to the latest schema
	@$(BIN)/python scripts/migrate.py up

migrate-down: install ## Take back the latest migration
	@$(BIN)/python scripts/migrate.py down

migrate-create: install ## Write a migration: make migrate-create name=add_something
	@$(BIN)/python scripts/migrate.py create "$(name)"
	@$(BIN)/ruff check --fix --quiet deploy/migrations
	@$(BIN)/ruff format --quiet deploy/migrations
