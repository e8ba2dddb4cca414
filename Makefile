# SPDX-License-Identifier: MIT
# The front door. Meson builds; `make help` says what there is.

BUILD ?= build
PREFIX ?= /usr/local
OPS ?= 100000000
SEED ?= 1
SECONDS ?= 60

.PHONY: help test docs check-full proofs mutants coverage fuzz soak bench run run-sim run-bare run-bare-aarch64 install clean deps-%

help:
	@echo 'make test          build with gcc and clang, run all tests: ends with "N passed, N failed"'
	@echo 'make check-full    that, and everything that takes longer, in parts; PARTS="asan guests" runs some'
	@echo 'make proofs        models of the protocols (Spin) and arithmetic with every input, with and without planted faults'
	@echo 'make mutants       plant faults one at a time: which of them the tests notice (hours)'
	@echo 'make coverage      branches that the tests take, by file: core and the Linux parts'
	@echo 'make fuzz          parsers under libFuzzer, SECONDS=$(SECONDS) each'
	@echo 'make soak          one long seeded simulation: OPS=$(OPS) SEED=$(SEED)'
	@echo 'make bench         cost of pages, blocks, moves and forks, each beside what it compares to'
	@echo 'make run           an example: the memory of a busy program leaves from under it'
	@echo 'make run-sim       the engine alone, on simulated memory, which any user can run'
	@echo 'make run-bare      the same on bare metal: DIMMs come and go under QEMU, with pictures'
	@echo 'make run-bare-aarch64  the same on bare AArch64'
	@echo 'make docs          the reference of the headers as HTML, below $(BUILD)/reference'
	@echo 'make install       libraries, headers, the command and its manual below PREFIX=$(PREFIX);'
	@echo '                   with CROSS=scripts/aarch64.ini for that machine'
	@echo 'make clean         remove $(BUILD)/'
	@echo
	@echo 'Each installs the packages that it needs with apt-get when you are root (scripts/install-deps).'
	@echo 'make install needs a C compiler and meson only, and no root; it says what it left out.'

deps-%:
	@scripts/install-deps $*

test: deps-test
	@scripts/build $(BUILD)/gcc gcc -Dwerror=true
	@scripts/build $(BUILD)/clang clang -Dwerror=true -Dshort=true -Ddebug=false
	@scripts/run-tests scripts/check-style $(BUILD)/gcc --quick $(BUILD)/clang

proofs: deps-proofs
	@scripts/check-proofs

mutants: deps-test
	@scripts/mutants

check-full: deps-full deps-proofs
	@BUILD=$(BUILD) scripts/check-full $(PARTS)

coverage: deps-test
	@scripts/coverage $(BUILD)/coverage

fuzz: deps-test
	@scripts/fuzz '' $(SECONDS)

soak: deps-test
	@scripts/build $(BUILD)/gcc gcc -Dwerror=true
	@scripts/run-tests --ops $(OPS) --seed $(SEED) --only 'soak-*' $(BUILD)/gcc

bench: deps-bench
	@scripts/build $(BUILD)/release gcc -Dbuildtype=release -Dtests=false
	@bench/run $(BUILD)/release

run: deps-run
	@TARGETS='cli/memplug heap/libmemplug-heap.so examples/kv' \
		scripts/build $(BUILD)/release gcc -Dbuildtype=release -Dtests=false
	@scripts/run-example $(BUILD)/release

run-sim: deps-build
	@TARGETS=examples/plug scripts/build $(BUILD)/release gcc -Dbuildtype=release -Dtests=false
	@$(BUILD)/release/examples/plug

run-bare: deps-bare
	@TARGETS='ports/x86_64/memplug.elf tests/bare/bare' \
		scripts/build $(BUILD)/bare gcc -Dbench=false -Dexamples=false
	@$(BUILD)/bare/tests/bare/bare --show --image $(BUILD)/bare/ports/x86_64/memplug.elf tests/bare/tour.bare

run-bare-aarch64: deps-bare-aarch64
	@TARGETS='ports/aarch64/memplug-aarch64-4k.bin tests/bare/bare' \
		scripts/build $(BUILD)/bare gcc -Dbench=false -Dexamples=false
	@$(BUILD)/bare/tests/bare/bare --show --machine virt --image $(BUILD)/bare/ports/aarch64/memplug-aarch64-4k.bin \
		tests/bare/virt_tour.bare

docs:
	@scripts/api-html $(BUILD)/reference

install: deps-build $(CROSS:%=deps-cross)
	@scripts/install $(BUILD)/install $(abspath $(PREFIX)) $(CROSS)

clean:
	rm -rf $(BUILD)
