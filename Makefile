# Everything a developer runs; .ci/run runs the same.
.PHONY: help run lint test fuzz promises conformance soak bench count assets reproduce

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

run: ## the embedded registry, state in ./dockgate-data
	cargo run --release --locked

lint: ## format, clippy, documentation, dependencies
	cargo fmt --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked
	scripts/lint-deny

test: ## all tests, with the real clients and the real registry
	scripts/setup-peers
	cargo test --locked

fuzz: ## every target of fuzz/ for a minute (FUZZ_SECONDS, needs a nightly toolchain)
	scripts/fuzz

promises: ## the figures of the README's table, from the tests that tell them
	scripts/setup-peers
	scripts/promises

conformance: ## the OCI distribution specification's suites, over every backend (needs Go)
	scripts/conformance

soak: ## half an hour of real clients with reloads and restarts, and a table at the end; MINUTES=5 for less
	scripts/setup-peers
	scripts/soak $(or $(MINUTES),30)

bench: ## speed beside nginx, haproxy, caddy and docker-registry; writes docs/benchmarks.md
	scripts/bench

count: ## instructions of a request and of a handshake, by valgrind, against benches/instructions.txt
	scripts/count

reproduce: ## the program of a release, built twice and compared
	scripts/reproduce

assets: ## man pages and completions for packages, in target/assets
	@[ -d $(ASSETS) ] || touch build.rs
	cargo build --release --locked
	@find $(ASSETS) -type f | sort

ASSETS = $(or $(CARGO_TARGET_DIR),target)/assets
