# The thin front that people type. The build itself is CMake's: see CMakeLists.txt and CMakePresets.json.
#   make         build/release/fwtrace
#   make demo    install what is missing, build, and trace a port forward that does not work
#   make test    install what is missing, build and run all tests
# More: dev asan check format rebase tidy fuzz bench bench-live qemu clean install

.DEFAULT_GOAL := all
.PHONY: all release demo test dev asan check format layers tidy rebase fuzz bench bench-live qemu install clean help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CTEST = ctest -j $(JOBS)
ifdef V
BUILD_FLAGS = --verbose
endif
# Two makes at once would both run cmake in the same folder.
.NOTPARALLEL:

# Configured once; ninja runs cmake again by itself when a CMake file changes, but not when the presets do.
build/%/build.ninja: CMakePresets.json
	@cmake --preset $* >build/$*.configure.log 2>&1 || { cat build/$*.configure.log; rm -f $@; exit 1; }
	@touch $@

define build
@cmake --build --preset $(1) $(BUILD_FLAGS)
endef

$(shell mkdir -p build)

all: build/release/build.ninja
	$(call build,release)
	@echo build/release/fwtrace

release: all

dev: build/dev/build.ninja
	$(call build,dev)

test:
	@scripts/setup test
	@$(MAKE) dev
	@$(CTEST) --preset dev

# Without the tools of the live demo it shows the recorded log.
demo:
	@scripts/setup demo || scripts/setup build
	@$(MAKE) all
	@scripts/demo

asan: build/asan/build.ninja
	$(call build,asan)
	@$(CTEST) --preset asan

# Writes what the program prints now into the cases; look at the difference before you commit it.
# CASE=explain/seed picks some: it is a part of the case's name.
rebase: dev
	@FWTRACE_REBASE=1 build/dev/tests/fwtrace_tests --gtest_brief=1 --gtest_filter='Case.*$(subst -,_,$(CASE))*'
	@git --no-pager diff --stat -- tests/cases

check: layers
	@scripts/check_format
	@$(MAKE) tidy

layers:
	@scripts/check_layers

format:
	@scripts/check_format --fix

tidy: dev
	@scripts/tidy_changed

# FUZZ=name picks one target, FUZZ_TIME is seconds for each.
FUZZ ?= $(patsubst fuzz/%.cpp,%,$(filter-out fuzz/replay_main.cpp,$(wildcard fuzz/*.cpp)))
FUZZ_TIME ?= 60
fuzz: build/fuzz/build.ninja
	$(call build,fuzz)
	@for name in $(FUZZ); do \
	  mkdir -p build/fuzz/corpus/$$name build/fuzz/crash/$$name; \
	  seeds=; if [ -d fuzz/corpus/$$name ]; then seeds=fuzz/corpus/$$name; fi; \
	  dict=; if [ -f fuzz/$$name.dict ]; then dict=-dict=fuzz/$$name.dict; fi; \
	  echo "fuzz: $$name for $(FUZZ_TIME) s"; \
	  build/fuzz/fuzz/fuzz_$$name -max_total_time=$(FUZZ_TIME) -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 $$dict \
	    -artifact_prefix=build/fuzz/crash/$$name/ build/fuzz/corpus/$$name $$seeds >build/fuzz/$$name.log 2>&1 \
	    || { tail -n 60 build/fuzz/$$name.log; exit 1; }; \
	  grep -E 'stat::(number_of_executed_units|peak_rss_mb)' build/fuzz/$$name.log || :; \
	done

bench: all
	@bench/run

# As root: live tracing beside its rivals, in a throwaway network namespace.
bench-live: all
	@bench/live

# The lower rungs of live tracing, on an old kernel in a virtual machine. Not a part of `make test`: it fetches the kernel.
qemu: dev
	@scripts/setup qemu
	@cmake --build --preset dev --target fwtrace_qemu_tests
	@tests/qemu/run build/dev

PREFIX ?= /usr/local
install: all
	@cmake --install build/release --prefix '$(DESTDIR)$(PREFIX)'

clean:
	@rm -rf build

help:
	@sed -n '2,5s/^# \{0,2\}//p' Makefile
