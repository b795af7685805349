# Everything that people and CI run. `make help` lists it.

BUS  ?= embedded# or kafka
SEED ?= 7# of the demo's shop
EVAL ?= ../shared/eval# the labelled scenarios, which are kept outside this repository
SEEDS ?= 1-24# of the scenarios
DATA ?= ../shared/data/changepoints# the public sets, tcpd/ and nab/, likewise
SECONDS ?= 60# of fuzzing
BACKGROUNDS ?= $(wildcard $(EVAL)/../data/backgrounds/*)# recordings that shape the latencies of `make placebo`

TARGET := $(or $(CARGO_TARGET_DIR),target)
DEPLOYLINE := $(TARGET)/debug/deployline

.PHONY: help demo test check kafka kafka-stop bench bench-statsd bench-queries eval peers fuzz placebo

help:
	@echo 'make demo          a synthetic shop, a bad deploy, its alert and the blame; BUS=kafka, SEED=7'
	@echo 'make test          sets up all that the tests need, and runs every check and test'
	@echo 'make check         formatting, lints, documentation, licences and the arrows between the crates'
	@echo 'make bench         hook posts a second, hook to graph, a catalog of a million deploys; each against its bar'
	@echo 'make bench-statsd  what a StatsD metric costs beside the original and collectd, and how many are lost'
	@echo 'make bench-queries  queries and pictures over HTTP, beside the PEERS that are named'
	@echo 'make eval          scores deployline on the labelled scenarios in EVAL and the public sets in DATA; SEEDS=1-24'
	@echo 'make peers         the same scenarios with Apache Otava, a Kayenta-like judge and the usual practice beside us'
	@echo 'make fuzz          mutates real input for SECONDS=60 and holds every parser to no panic and memory in proportion'
	@echo 'make placebo       counts the alarms over deploys that did nothing, on every background; SEEDS=1-21'
	@echo 'make kafka         starts a broker on 127.0.0.1:19092 (or $$KAFKA_PORT) and leaves it running'
	@echo 'make kafka-stop    stops it'

demo:
	@scripts/setup demo $(BUS)
	@cargo build --workspace --locked --bin deployline
ifeq ($(BUS),kafka)
	@scripts/with-kafka sh -c '$(DEPLOYLINE) demo --seed $(SEED) --kafka "$$DEPLOYLINE_TEST_KAFKA"'
else
	@$(DEPLOYLINE) demo --seed $(SEED)
endif

# Lints and documentation share one pass over the dependencies, the tests' build is the other. Each selects the whole
# workspace, so that features come out the same and no dependency is compiled twice for their sake.
check:
	@scripts/setup check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	cargo test --workspace --locked --test dependencies

# The whole-system tests start the built binary, which `cargo test` alone would not build for another crate.
test:
	@scripts/setup test
	@$(MAKE) --no-print-directory check
	cargo build --workspace --bins --tests --locked
	scripts/with-kafka cargo test --workspace --locked --no-fail-fast

# Optimised code, and each figure against its bar: a program that misses one ends with an error, after the others ran.
bench:
	@scripts/setup demo kafka
	cargo build --release --workspace --bins --locked
	scripts/with-kafka sh -c 'failed=0; for one in latency posts rebuild; do $(TARGET)/release/$$one || failed=1; done; exit $$failed'

bench-statsd:
	@scripts/setup test
	cargo build --release --workspace --bins --locked
	$(TARGET)/release/statsd

# With peers: make bench-queries PEERS='carbonapi=127.0.0.1:12313=http://127.0.0.1:12391'
bench-queries:
	@scripts/setup demo
	cargo build --workspace --bins --locked --release
	$(TARGET)/release/queries $(PEERS)

eval:
	@scripts/setup eval
	cargo build --workspace --locked --bin deployline
	@scripts/eval/run $(DEPLOYLINE) $(EVAL) $(SEEDS) $(DATA)

peers:
	@scripts/setup eval
	cargo build --workspace --locked --bin deployline
	@scripts/eval/run $(DEPLOYLINE) $(EVAL) $(SEEDS) peers

# Another seed each time, which it prints; `make test` tries a bounded number of inputs of one seed.
fuzz:
	@scripts/setup demo
	cargo build --workspace --bins --locked
	$(TARGET)/debug/fuzz --seconds $(SECONDS)

placebo:
	@scripts/setup eval
	cargo build --workspace --locked --bin deployline
	@for background in '' $(BACKGROUNDS); do \
	  .cache/venv/bin/python scripts/placebo.py --eval $(EVAL) --seeds $(SEEDS) $${background:+--background $$background} -- $(DEPLOYLINE) replay || exit 1; \
	done

kafka:
	@scripts/setup demo kafka
	@scripts/kafka/kafka.sh start

kafka-stop:
	@scripts/kafka/kafka.sh stop
