# make demo   a whole tuning run on a simulated cluster, from nothing
# make test   everything CI checks: format, lints, licences, tests
# make lint   the fast half of that
# make plugin the shared object NCCL loads, target/release/libnccl-ccl-agent.so
# make reference  the generated pages of doc/reference (graph-derivation needs recorded data)
# make bench  the simulator's speed and the loop's own overhead per trial

CARGO ?= cargo
DEMO_ARTIFACTS ?= artifacts

.PHONY: demo test lint deny valgrind bench plugin reference

demo:
	$(CARGO) build --release --locked --bin ccl-agent
	./target/release/ccl-agent tune --workload workload/autoccl/phi2-2b.json \
		--cluster a40-pcie-8gpu --dry-run --oracle --seed 1 --artifacts $(DEMO_ARTIFACTS)

test: lint deny valgrind
	$(CARGO) test --workspace --locked

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

plugin:
	$(CARGO) build --release --locked -p ccl-plugin
	cp target/release/libnccl_ccl_agent.so target/release/libnccl-ccl-agent.so

bench:
	$(CARGO) bench --workspace --locked

reference:
	$(CARGO) build --locked --bin ccl-agent
	./target/debug/ccl-agent knobs list --markdown > doc/reference/knobs.md
	for of in workload cluster trace observe; do \
		./target/debug/ccl-agent schema $$of > doc/reference/schema/$$of.json; done
	CCL_BLESS=1 $(CARGO) test --locked -p ccl-sim --test graph_derivation
