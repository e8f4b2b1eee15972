# `make run` shows the dependencies of this host, `make test` runs all tests it can run. Every target
# installs what it lacks (as root; else it says what to install) and does nothing twice.

PREFIX ?= /usr/local
DESTDIR ?=
NODE ?= node
NPM ?= npm
# PREBUILT=1: install what is in build/ and dist/ as it is, on machines without the build tools.
PREBUILT ?=

TOOLS := node_modules/.bin
TSC := $(TOOLS)/tsc -p tsconfig.json
LIB := $(DESTDIR)$(PREFIX)/lib/transtracer
UNITS := $(DESTDIR)$(PREFIX)/lib/systemd/system
C_SOURCES = $(shell find bpf bench test -name '*.[ch]' -not -path '*/.*')
SCRIPTS = $(shell find scripts test deploy .ci -type f \( -name '*.sh' -o -name run \))

CHECK_NODE = const [major, minor] = process.versions.node.split(".").map(Number); \
	if (major < 20 || (major === 20 && minor < 19)) { \
		console.error(`Node $${process.versions.node} is too old: install 20.19 or newer`); \
		process.exit(1); \
	}

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
# The parts run in order; each knows best how to use both cores.
.NOTPARALLEL:
.PHONY: run test build check fmt test-unit test-db test-kernel test-e2e test-truth \
	test-truth-kernels test-fleet test-kernels bench bench-cmdb bench-profile bench-report fuzz soak \
	clean install setup-build setup-check setup-test setup-postgres setup-fuzz setup-bench \
	setup-profile setup-kernels node-version typescript native test-support

# With a terminal, the shell's job control makes Ctrl-C reach the program but not make, which would
# call it an error.
run: build
	@if [ -t 0 ]; then set -m; $(NODE) scripts/run.mjs; else exec $(NODE) scripts/run.mjs; fi

build: setup-build native typescript

test: setup-build setup-test setup-postgres setup-fuzz setup-kernels build test-support
	$(NODE) dist/test/run.js

test-unit: setup-test typescript
	$(NODE) dist/test/run.js unit

test-db: setup-test setup-postgres typescript
	$(NODE) dist/test/run.js db

test-kernel: setup-test build test-support
	$(NODE) dist/test/run.js kernel

test-e2e: setup-test build test-support
	$(NODE) dist/test/run.js e2e

test-truth: setup-test build test-support
	$(NODE) dist/test/run.js truth

test-fleet: setup-test build test-support
	$(NODE) dist/test/run.js fleet

# Takes most of an hour, so it is not part of make test.
test-truth-kernels: setup-kernels build test-support
	$(NODE) dist/test/run.js truth-kernels

test-kernels: setup-kernels build test-support
	$(NODE) dist/test/run.js kernels

# Longer than within `make test`; FUZZ_SECONDS in all.
fuzz: export FUZZ_SECONDS ?= 300
fuzz: setup-fuzz typescript
	$(NODE) dist/test/run.js fuzz

# Restarts and mixed load for SOAK_SECONDS (600): does anything grow, is every connection counted once?
soak: setup-build setup-test build test-support
	$(NODE) dist/test/soak/soak.js

check: setup-check node_modules/.package-lock.json
	$(TOOLS)/biome check --error-on-warnings .
	$(TSC) --noEmit
	clang-format --dry-run -Werror $(C_SOURCES)
	shellcheck $(SCRIPTS)

fmt: setup-check node_modules/.package-lock.json
	$(TOOLS)/biome check --write .
	clang-format -i $(C_SOURCES)

# What tracing costs, in under 20 minutes; QUICK=1 shows in three that it works. Pinned beside the
# clients: the other core is the server's and the tracer's.
bench: setup-test setup-bench build test-support
	$(MAKE) -C bench/load
	taskset -c 1 $(NODE) dist/bench/overhead/main.js

# Where the time of ours goes, into bench/overhead/profiles.json for bench-report.
bench-profile: setup-test setup-bench setup-profile build test-support
	$(MAKE) -C bench/load
	taskset -c 1 $(NODE) dist/bench/overhead/profile.js

# Loads a synthetic fleet (QUICK=1: a tenth of it) and asks it.
bench-cmdb: setup-test typescript
	$(NODE) dist/bench/cmdb/main.js

# The results that there are, into docs/benchmarks.md.
bench-report: typescript
	$(NODE) dist/bench/report.js

clean:
	rm -rf build dist

# PostgreSQL of another major, for the tests; where there is none (arm64) they run without.
setup-postgres: test/postgres/node_modules/.package-lock.json

test/postgres/node_modules/.package-lock.json: test/postgres/package-lock.json
	@if [ "$$(uname -m)" = x86_64 ]; then \
		cd test/postgres && $(NPM) ci --ignore-scripts --no-audit --no-fund && \
		touch node_modules/.package-lock.json; fi

setup-build setup-check setup-test setup-fuzz setup-bench setup-profile: setup-%:
	@sh scripts/setup.sh $*

# Without root the matrix is skipped, and says why.
setup-kernels:
	@if [ "$$(id -u)" = 0 ] && [ -f test/kernels/setup.sh ]; then sh test/kernels/setup.sh; fi

node-version:
	@$(NODE) -e '$(CHECK_NODE)'

node_modules/.package-lock.json: package-lock.json | node-version
	$(NPM) ci --no-audit --no-fund
	@touch $@

typescript: node_modules/.package-lock.json
	$(TSC)

native: setup-build
	$(MAKE) -C bpf

test-support: setup-build
	$(MAKE) -C test/support

install: $(if $(PREBUILT),node_modules/.package-lock.json,build)
	rm -rf $(LIB)
	install -d $(LIB)/build $(LIB)/bin $(LIB)/dist $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin \
		$(UNITS)
	install -m 755 build/ttracer-helper $(LIB)/build/
	install -m 755 bin/ttracerd bin/ttctl $(LIB)/bin/
	cp -R dist/src $(LIB)/dist/
	cp -R sql node_modules $(LIB)/
	install -m 644 package.json package-lock.json LICENSE $(LIB)/
	cd $(LIB) && $(NPM) prune --omit=dev --ignore-scripts --offline --no-audit --no-fund
	ln -sfn ../lib/transtracer/bin/ttctl $(DESTDIR)$(PREFIX)/bin/ttctl
	ln -sfn ../lib/transtracer/bin/ttracerd $(DESTDIR)$(PREFIX)/sbin/ttracerd
	sed 's|/usr/local|$(PREFIX)|g' deploy/ttracerd.service >$(UNITS)/ttracerd.service
	chmod 644 $(UNITS)/ttracerd.service
