# Everything is set up in .venv; nothing has to be installed by hand but Python 3.10-3.13.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CLIP ?= sample_videos/day_highway.mp4

.PHONY: demo test check bench clean

demo: $(VENV)/.runtime
	@mkdir -p out
	$(BIN)/perception run $(CLIP) -o out/demo_overlay.mp4 --jsonl out/demo_record.jsonl
	@echo "The overlay is out/demo_overlay.mp4, the record is out/demo_record.jsonl"

test: $(VENV)/.test
	$(BIN)/python -m pytest

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.runtime
	$(BIN)/perception bench $(CLIP)

# The runtime alone: seconds, and no torch.
$(VENV)/.runtime: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.test: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,train,render]"
	# The oracle of the tracking scores; its own needs would bring a second, newer OpenCV over ours.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "trackeval>=1.3,<2"
	touch $@

clean:
	rm -rf $(VENV) out build dist
