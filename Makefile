# One command each, from a bare clone with python3, make and git.
PYTHON ?= python3
CONFIG ?= configs/dogfight_1v1.yaml
RUN ?= dogfight_1v1
SOAK ?= 4
BIN := .venv/bin

.PHONY: help install install-dev train test lint types unit bench faults clean

help:
	@echo "make train   set up .venv, train $(CONFIG) into runs/$(RUN), print what every head did"
	@echo "make test    set up .venv with the dev extra, then ruff, pyright and pytest"
	@echo "make bench   engine and training speed of this machine"
	@echo "make faults  kills, damaged files, full disks, NaN, bad configurations, soak: 15 minutes (SOAK=20 for the long soak)"
	@echo "make clean   remove .venv and caches (runs/ stays)"

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ .venv/.installed

install: .venv/.installed

install-dev: .venv/.installed-dev

train: install
	$(BIN)/headctl train $(CONFIG) --name $(RUN)

test: install-dev lint types unit

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-dev
	$(BIN)/pyright

unit: install-dev
	$(BIN)/python -m pytest --numprocesses 2

bench: install
	$(BIN)/headctl bench

faults: install-dev
	$(BIN)/python -m tests.faults --soak-minutes $(SOAK)

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
