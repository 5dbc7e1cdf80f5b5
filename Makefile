# Every target works as the first command on a machine that has Rust, Java, Go, Node and Python: it sets up what it needs, once.

CARGO ?= cargo
SETUP := tests/servers/setup.sh
BENCH_RECORDS ?= 3000000
MODEL_RECORDS ?= 4

SHELL := bash
.PHONY: help demo test conformance clients model readers differential chaos poison fleet soak lint bench bench-transform bench-job memory runtime fuzz

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: ## build lakehead and watch a million orders become Parquet below ./lake, with nothing else installed
	@$(SETUP) toolchain
	$(CARGO) build --release --bin lakehead
	target/release/lakehead quickstart

test: ## set up every server that the tests need, and run all tests
	@$(SETUP)
	$(CARGO) test --workspace --no-fail-fast

conformance: ## play the storage sinks' vectors (LAKEHEAD_CONFORMANCE_DIR: another folder of them); the last lines count what passed, differs on purpose, failed
	@$(SETUP) toolchain
	@$(CARGO) test --quiet --test conformance -- --nocapture

clients: ## have REST clients that others wrote do their work at Java's worker and at ours; prints a table of calls and of what is different, with the reasons
	@$(SETUP) toolchain kafka connect clients
	@$(CARGO) test --quiet --test cluster clients -- --nocapture

model: ## check every interleaving of owners, crashes and late answers over the commit protocol (MODEL_RECORDS, 4 by default; each one more takes about 15 times as long)
	@$(SETUP) toolchain
	MODEL_RECORDS=$(MODEL_RECORDS) $(CARGO) test --release --test model -- --nocapture --test-threads 1

readers: ## have files of every type read by DuckDB, pyarrow, Polars, fastavro and Java's parquet-cli; the last lines are a table of readers and types
	@$(SETUP) toolchain python java-readers
	@$(CARGO) test --quiet --test readers

differential: ## play DIFFERENTIAL_CASES (100000) random cases through Java's transforms and converters and through ours (DIFFERENTIAL_SEED); prints what differs and why
	@$(SETUP) toolchain connect
	DIFFERENTIAL_SEED=$${DIFFERENTIAL_SEED:-$$(date +%s)} DIFFERENTIAL_CASES=$${DIFFERENTIAL_CASES:-100000} $(CARGO) test --quiet --test differential -- --nocapture

chaos: ## kill, stop, starve and cut off everything there is while records come in; the last lines are the table of docs/reliability.md (CHAOS_KILLS, CHAOS_SEED)
	@$(SETUP) toolchain kafka python stores chaos
	@$(CARGO) test --quiet --release --test chaos -- --full

poison: ## have one record in a hundred thousand, 1 %, 10 % and 50 % of records fail at every stage, and look for each of them and for all others
	@$(SETUP) toolchain kafka python stores
	@$(CARGO) test --quiet --release --test live a_hundred_thousand_records -- --ignored --nocapture

fleet: ## kill, stop and restart three workers with 20 connectors and 100 tasks for FLEET_MINUTES (10), and see that each task runs once and nothing is lost (FLEET_SEED)
	@$(SETUP) toolchain kafka python
	@$(CARGO) test --quiet --release --test fleet -- --full

soak: ## play simulations that nobody has played before for SOAK_MINUTES (10), on all cores; a seed that fails says how to play it again
	@$(SETUP) toolchain
	@$(CARGO) test --quiet --test sim soak -- --ignored --nocapture

fuzz: ## have random bytes decoded by everything that decodes bytes from outside, FUZZ_SECONDS (60) each; FUZZ_TARGETS names some of fuzz/seeds; needs a nightly toolchain
	@$(SETUP) toolchain fuzz
	@. tests/servers/env.sh && PATH="$$LAKEHEAD_TOOLS/bin:$$PATH" fuzz/run.sh $(FUZZ_TARGETS)

lint: ## format, clippy, documentation and dependency rules, as CI checks them
	@$(SETUP) toolchain deny
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	@. tests/servers/env.sh && "$$LAKEHEAD_TOOLS/bin/cargo-deny" check bans licenses sources

bench: ## measure each stage by itself
	@$(SETUP) toolchain
	$(CARGO) bench --workspace

bench-transform: ## measure each transform and a chain of five beside Kafka Connect's own in Java (BENCH_JAVA=no: ours alone)
	@$(SETUP) toolchain connect
	$(CARGO) bench --bench transform

bench-job: ## measure the whole job against a real broker and a real S3 server (BENCH_RECORDS, 3000000 by default)
	@$(SETUP) toolchain kafka registry python stores
	benches/job.sh $(BENCH_RECORDS)

memory: ## measure the peak resident memory of thousands of open files (MEMORY_CASES, MEMORY_ROWS, MEMORY_FOLDER: see benches/memory/main.rs)
	@$(SETUP) toolchain
	$(CARGO) bench --bench memory

runtime: ## measure how soon workers start and take over, how fast they read their config topic and what idle ones hold, beside Kafka Connect's Java worker
	@$(SETUP) toolchain kafka connect
	$(CARGO) bench --bench runtime
