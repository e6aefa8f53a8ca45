# Celeriac: the one makefile. `make help` lists what it can do.
# Sources are found by room, so a new file needs no entry here.
VERSION := 0.1.0

# --- what is built -----------------------------------------------------------------------------------------------
COMMON_SRC   := $(wildcard common/*.c common/*/*.c)
WORKER_SRC   := $(wildcard worker/*.c)
TASK_SRC     := $(wildcard tasks/*.c)
BEAT_SRC     := $(wildcard beat/*.c)
AGENT_SRC    := $(wildcard common/sandbox/agent/*.c)
# What both ends of the agent's stream speak is compiled for each.
AGENT_SHARED := $(wildcard common/sandbox/frame*.c)
AGENT_PYTHON := $(sort $(wildcard common/sandbox/agent/*.py))
MIGRATIONS   := $(sort $(wildcard deploy/sql/[0-9]*.sql))
SCRIPTS      := $(sort $(wildcard common/sandbox/*.cjs tasks/*.py common/*/*.lua common/*/*/*.lua beat/*.lua))
TEST_SRC     := $(sort $(shell find tests/unit -name 'test_*.c' 2>/dev/null))
FUZZ_ENTRIES := $(addprefix tests/fuzz/,libfuzzer.c replay.c once.c scarce.c)
FUZZ_SRC     := $(filter-out $(FUZZ_ENTRIES),$(wildcard tests/fuzz/*.c))
FAKE_SRC     := $(wildcard tests/fake/*.c tests/unit/*_fixture.c)
PKGS         := hiredis jansson libpq libcurl openssl libmicrohttpd librabbitmq zlib liblzma libzstd libbrotlidec libbrotlienc yaml-0.1 glib-2.0 libseccomp
DEB_hiredis := libhiredis-dev
DEB_jansson := libjansson-dev
DEB_libpq := libpq-dev
DEB_libcurl := libcurl4-openssl-dev
DEB_libarchive := libarchive-dev
DEB_openssl := libssl-dev
DEB_libmicrohttpd := libmicrohttpd-dev
DEB_librabbitmq := librabbitmq-dev
DEB_zlib := zlib1g-dev
DEB_liblzma := liblzma-dev
DEB_libzstd := libzstd-dev
DEB_libbrotlidec := libbrotli-dev
DEB_libbrotlienc := libbrotli-dev
DEB_yaml-0.1 := libyaml-dev
DEB_glib-2.0 := libglib2.0-dev
DEB_libseccomp := libseccomp-dev
DEB_check := check

# --- where it goes -----------------------------------------------------------------------------------------------
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
DATADIR    ?= $(PREFIX)/share
MANDIR     ?= $(DATADIR)/man
SYSCONFDIR ?= $(PREFIX)/etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
INCLUDEDIR ?= $(PREFIX)/include
RUN_DIR    ?= .run
PYTHON     ?= .run/venv/bin/python

# --- how it is built: SANITIZE=address,undefined|thread COVERAGE=1 WERROR=0 V=1 FAULT=1 ----------------------------------
ifeq ($(origin CC),default)
CC := gcc
endif
WERROR ?= 1
comma := ,
MODE := $(or $(subst $(comma),-,$(SANITIZE)),plain)$(if $(COVERAGE),-cov)
O    := build/$(MODE)
BIN  := $(if $(filter plain,$(MODE)),build,$O)
ifndef V
.SILENT:
endif
.DEFAULT_GOAL := all
say = printf '  %-8s %s\n' $(1) $(2)

WARN := -Wall -Wextra -Wformat=2 -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wwrite-strings -Wcast-qual -Wpointer-arith -Wundef -Wvla -Walloca -Wimplicit-fallthrough -Wswitch-enum \
	-Wnull-dereference -Wdouble-promotion -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wtrampolines
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fno-delete-null-pointer-checks \
	-fno-strict-overflow -ftrivial-auto-var-init=zero -fstrict-flex-arrays=3 -fzero-call-used-regs=used-gpr
FORTIFY := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3

# Compilers differ in what they know, so every flag is tried once; the answer is kept until this file changes.
PROBED := build/.probed-$(notdir $(CC))
KNOWN = $(eval KNOWN := $$(shell mkdir -p build; [ $(PROBED) -nt Makefile ] || { for f in $(WARN) $(HARDEN); do \
	$(CC) -Werror $$$$f -x c -c -o /dev/null /dev/null 2>/dev/null && printf '%s ' $$$$f; done >$(PROBED); }; \
	cat $(PROBED)))$(KNOWN)
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS) 2>/dev/null))$(PKG_CFLAGS)
# Debian 12's bzip2 is unknown to pkg-config.
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS) 2>/dev/null) -lbz2 -lm)$(PKG_LIBS)

BASE_CFLAGS = -std=gnu17 -D_GNU_SOURCE -DCELERIAC_VERSION='"$(VERSION)"' -iquote include $(PKG_CFLAGS)
STRICT = $(KNOWN) $(if $(filter 0,$(WERROR)),,-Werror)
ifeq ($(SANITIZE),)
TUNE    = -g -O2 $(FORTIFY) -ffunction-sections -fdata-sections $(if $(COVERAGE),--coverage -O0 -U_FORTIFY_SOURCE)
# Unoptimised, a test that stands in for a room draws in some of it as well.
LDTUNE  = -Wl,--gc-sections $(if $(COVERAGE),--coverage -Wl$(comma)--allow-multiple-definition)
else
# -Wnull-dereference and friends guess badly about instrumented code; the plain build keeps them.
TUNE    = -g -O1 -fno-omit-frame-pointer -U_FORTIFY_SOURCE -fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
	-Wno-null-dereference -Wno-maybe-uninitialized $(if $(COVERAGE),--coverage)
LDTUNE  = -fsanitize=$(SANITIZE) $(if $(COVERAGE),--coverage)
endif
ALL_CFLAGS  = $(BASE_CFLAGS) $(STRICT) $(TUNE) -fPIE -pthread $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen -Wl,--as-needed $(LDTUNE) -pthread $(LDFLAGS)
# Private headers are open to tests, and Check's macros compare through intmax_t.
TEST_CFLAGS = -iquote . -Wno-conversion -Wno-sign-conversion $(shell pkg-config --cflags check 2>/dev/null)
TEST_LIBS   = $(shell pkg-config --libs check 2>/dev/null)

obj = $(patsubst %.c,$O/%.o,$(1))
GEN_OBJ := $(if $(wildcard common/store/migrations.h),$O/gen/migrations.o) $(if $(SCRIPTS),$O/gen/scripts.o) \
	$(if $(AGENT_SRC),$O/gen/agent.o)
LIB        := $O/libceleriac.a
LIB_WORKER := $O/libworker.a
LIB_BEAT   := $O/libbeat.a
LIB_FAKE   := $(if $(FAKE_SRC),$O/libfake.a)
PROGRAMS   := $(if $(WORKER_SRC),$(BIN)/celeriac-worker) $(if $(BEAT_SRC),$(BIN)/celeriac-beat)
TESTS      := $(patsubst %.c,$O/%,$(TEST_SRC))
ALL_SRC    := $(COMMON_SRC) $(WORKER_SRC) $(TASK_SRC) $(BEAT_SRC)
HEADERS    := $(wildcard include/*.h)
# What a module of tasks is written against.
MODULE_HEADERS := $(addprefix include/,base.h err.h task.h task_module.h)
MODULE_EXAMPLES := $(wildcard tasks/modules/*.c)
C_FILES    := $(ALL_SRC) $(AGENT_SRC) $(HEADERS) $(TEST_SRC) $(FAKE_SRC) $(wildcard tests/fuzz/*.[ch]) $(wildcard common/*/*.h common/*/*/*.h worker/*.h \
	beat/*.h tasks/*.h tests/fake/*.h tests/unit/*.h) $(MODULE_EXAMPLES) $(wildcard tests/bench/*.c tests/integration/modules/*.c tests/integration/mcp/*.c tests/integration/amqp/*.c tests/integration/beat/*.c)

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all analyze check-address check-thread check-valgrind coverage coverage-run cppcheck setup image check check-unit check-fuzz check-integration check-long check-podman check-rabbitmq check-runsc check-role check-direct demo up down fuzz lint bench soak format format-check hdr-check \
	tidy install uninstall deb clean help tests FORCE
all: $(if $(FAULT),build/fault/celeriac-worker,$(PROGRAMS))   ## build the programs into build/ (the default; FAULT=1: a worker to be killed)

# --- rules -------------------------------------------------------------------------------------------------------
# Everything compiled depends on this stamp: it names each missing library once, and changes when a flag does.
$O/.flags: FORCE
	mkdir -p $(@D)
	missing=; $(foreach p,$(PKGS),pkg-config --exists $p || { missing=1; \
		echo "missing library $p: run deploy/setup (or apt-get install $(DEB_$p))" >&2; };) \
	echo '#include <bzlib.h>' | $(CC) -E -x c -o /dev/null - 2>/dev/null || { missing=1; \
		echo 'missing library bzip2: run deploy/setup (or apt-get install libbz2-dev)' >&2; }; test -z "$$missing"
	printf '%s\n' '$(CC) $(subst ','\'',$(ALL_CFLAGS)) / $(ALL_LDFLAGS) $(PKG_LIBS)' | cmp -s - $@ || \
		printf '%s\n' '$(CC) $(subst ','\'',$(ALL_CFLAGS)) / $(ALL_LDFLAGS) $(PKG_LIBS)' >$@

$O/%.o: %.c $O/.flags
	mkdir -p $(@D); $(call say,CC,$<)
	$(CC) $(ALL_CFLAGS) $(if $(filter tests/%,$<),$(TEST_CFLAGS)) -MMD -MP -c -o $@ $<
$O/gen/%.o: $O/gen/%.c $O/.flags
	$(CC) $(ALL_CFLAGS) -iquote . -MMD -MP -c -o $@ $<

# The schema, the Lua scripts and the sandbox agent travel inside the programs.
$O/gen/migrations.c: $(MIGRATIONS) deploy/embed
	mkdir -p $(@D); $(call say,EMBED,deploy/sql); deploy/embed migrations $(MIGRATIONS) >$@
$O/gen/scripts.c: $(SCRIPTS) deploy/embed
	mkdir -p $(@D); $(call say,EMBED,'$(notdir $(SCRIPTS))'); deploy/embed scripts $(SCRIPTS) >$@
build/gen/agent_python.c: $(AGENT_PYTHON) deploy/embed
	mkdir -p $(@D); $(call say,EMBED,'$(notdir $(AGENT_PYTHON))'); deploy/embed scripts $(AGENT_PYTHON) >$@
# build/behind: one that speaks the frames one version behind, for a test.
AGENT_VERSION := $(shell sed -n 's/^\#define FRAME_VERSION //p' common/sandbox/frame.h)
build/behind/celeriac-agent: BEHIND := -DFRAME_VERSION=$(shell echo $$(($(AGENT_VERSION) - 1)))
build/celeriac-agent build/behind/celeriac-agent: $(AGENT_SRC) $(AGENT_SHARED) build/gen/agent_python.c $(HEADERS) $(wildcard common/sandbox/agent/*.h common/sandbox/*.h) Makefile
	mkdir -p $(@D); $(call say,CC,'$@ (static)')
	$(CC) -std=gnu17 -D_GNU_SOURCE -DCELERIAC_VERSION='"$(VERSION)"' $(BEHIND) -iquote include $(STRICT) -Os $(FORTIFY) -ffunction-sections -fdata-sections \
		-static -s -Wl,--gc-sections,-z,noexecstack,-z,relro -o $@ $(AGENT_SRC) $(AGENT_SHARED) build/gen/agent_python.c
build/behind/agent.o: build/behind/celeriac-agent
$O/gen/agent.o: build/celeriac-agent
$O/gen/agent.o build/behind/agent.o:
	mkdir -p $(@D)
	printf '.section .rodata\n.globl celeriac_agent_start, celeriac_agent_end\n.balign 16\nceleriac_agent_start:\n.incbin "%s"\nceleriac_agent_end:\n.byte 0\n.section .note.GNU-stack,"",@progbits\n' $< | $(CC) -x assembler -c -o $@ -

# An archive, so that a program carries only what it calls: beat holds no sandbox code.
$(LIB): $(call obj,$(COMMON_SRC)) $(GEN_OBJ)
$(LIB_WORKER): $(filter-out %/main.o,$(call obj,$(WORKER_SRC) $(TASK_SRC)))
$(LIB_BEAT): $(filter-out %/main.o,$(call obj,$(BEAT_SRC)))
$O/libfake.a: $(call obj,$(FAKE_SRC))
$O/lib%.a:
	$(call say,AR,$@); rm -f $@; ar rcs $@ $^

$(BIN)/celeriac-worker: $(call obj,$(WORKER_SRC) $(TASK_SRC)) $(LIB) worker/module.list
$(BIN)/celeriac-worker: EXPORTS := -Wl,--dynamic-list=worker/module.list
$(BIN)/celeriac-beat: $(call obj,$(BEAT_SRC)) $(LIB)
$(BIN)/celeriac-worker $(BIN)/celeriac-beat:
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) $(EXPORTS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS)

# A worker with crash points (include/fault.h): what has any is compiled anew, all else is the plain build's.
FAULT_SRC := $(sort common/base/fault.c $(shell grep -l FAULT_POINT $(filter-out beat/%,$(ALL_SRC))))
build/fault/%.o: %.c $O/.flags
	mkdir -p $(@D); $(call say,CC,$@)
	$(CC) $(ALL_CFLAGS) -DCELERIAC_FAULT_BUILD -MMD -MP -c -o $@ $<
build/fault/celeriac-worker: EXPORTS := -Wl,--dynamic-list=worker/module.list
build/fault/celeriac-worker: $(FAULT_SRC:%.c=build/fault/%.o) $(call obj,$(filter-out $(FAULT_SRC),$(WORKER_SRC) $(TASK_SRC))) $(LIB) worker/module.list
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) $(EXPORTS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS)

# A worker whose sandboxes have the agent one behind.
build/behind/celeriac-worker: EXPORTS := -Wl,--dynamic-list=worker/module.list
build/behind/celeriac-worker: $(call obj,$(WORKER_SRC) $(TASK_SRC)) build/behind/agent.o $(LIB) worker/module.list
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) $(EXPORTS) -o $@ $(filter %.o %.a,$^) $(PKG_LIBS)

# The worker as it was before the newest migration, from the history of this repository: what runs while a new one is rolled out.
build/previous/celeriac-worker: $(lastword $(MIGRATIONS))
	rm -rf $(@D) && mkdir -p $(@D)/src
	git archive "$$(git log -1 --diff-filter=A --format=%H -- $<)~1" | tar -x -C $(@D)/src
	$(MAKE) --no-print-directory -C $(@D)/src WERROR=0 build/celeriac-worker
	cp $(@D)/src/build/celeriac-worker $@

# A unit test sees the library, and the objects of the room it lies under.
room_lib = $(if $(findstring /unit/worker/,$(1))$(findstring /unit/tasks/,$(1)),$(LIB_WORKER))$(if $(findstring /unit/beat/,$(1)),$(LIB_BEAT))
.SECONDEXPANSION:
$O/tests/unit/%: $O/tests/unit/%.o $(LIB_FAKE) $$(call room_lib,$$@) $(LIB)
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(TEST_LIBS)

# The agent is no part of the library.
$O/tests/unit/common/sandbox/test_measure: $O/common/sandbox/agent/measure.o

# Memory that input asks for (tests/unit/memory_fixture.h): what aborts without is not meant.
MEMORY_WRAPPED := $(addprefix -Wl$(comma)--wrap=,calloc realloc xcalloc xrealloc json_text)
$O/tests/unit/common/test_no_memory $O/tests/unit/common/client/test_redis_link_memory: private LDFLAGS += $(MEMORY_WRAPPED)

# The MCP client as a program, for real servers and the referee of tests/integration/test_mcp_client.py.
build/mcp-client: $O/tests/integration/mcp/client.o $(LIB)
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The gate's own functions as a program, for tests/bench/gate.py.
build/bench-gate: $O/tests/bench/gate.o $(LIB_WORKER) $(LIB)
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# What tests/bench/tasks.py measures beside: hiredis alone.
build/bench-redis: $O/tests/bench/redis_loop.o
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# Its loop beside rabbitmq-c's own, for tests/bench/amqp_beside.py.
build/bench-amqp: $O/tests/bench/amqp_loop.o $(LIB)
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The AMQP client as a program, for the real server of tests/integration/test_amqp_client.py.
$O/amqp-client: $O/tests/integration/amqp/client.o $(LIB)
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
build/amqp-client: $O/amqp-client
	cp $< $@

# Beat's schedules as a program, for the oracle of tests/integration/test_crontab.py.
build/beat-next: $O/tests/integration/beat/next.o $(LIB_BEAT) $(LIB)
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The targets of tests/fuzz: with the reader of their corpora, plainly or without memory (scarce), or with libFuzzer, which is clang's.
$O/fuzz-replay: $(call obj,tests/fuzz/replay.c tests/fuzz/once.c)
$O/fuzz-scarce: $(call obj,tests/fuzz/replay.c tests/fuzz/scarce.c) $(LIB_FAKE)
$O/fuzz-scarce: private LDFLAGS += $(MEMORY_WRAPPED)
$O/celeriac-fuzz: $(call obj,tests/fuzz/libfuzzer.c)
$O/celeriac-fuzz: private LDFLAGS += -fsanitize=fuzzer
$O/fuzz-replay $O/fuzz-scarce $O/celeriac-fuzz: $(call obj,$(FUZZ_SRC)) $(LIB_WORKER) $(LIB_BEAT) $(LIB)
	$(call say,LD,$@); $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# --- tests -------------------------------------------------------------------------------------------------------
tests: $(TESTS)
check-unit: $(TESTS)   ## build and run the unit tests (also with SANITIZE=)
	tests/run unit $(TESTS)
# Apart from make check, since they are slow, or judge what its sanitizers judge as well.
# What valgrind cannot run: in a cage it gets no memory, it knows no execveat of a file without a name, by which the agents of tests are
# started (programs of their own, at which it would not look), and what starts itself again is valgrind there.
NOT_VALGRIND := $(addprefix %/common/,cage/test_sockets $(addprefix sandbox/test_,agent agent_attach agent_files bounds python sandbox_life))
check-valgrind: $(TESTS)   ## the unit tests under valgrind
	UNIT_WRAPPER='valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite' \
		UNIT_TIMEOUT=1800 UNIT_JOBS=2 CK_TIMEOUT_MULTIPLIER=20 tests/run unit $(filter-out $(NOT_VALGRIND),$(TESTS))
# Off is what needs to know that a function of another file sets its outputs when it answers 0, that uthash keeps what it is given and
# that an array has an end: gcc 12 does not, and all it said of these was wrong. The sanitizers and valgrind see those faults.
ANALYZER_OFF := $(addprefix -Wno-analyzer-,malloc-leak use-of-uninitialized-value null-dereference null-argument)
analyze: $O/.flags   ## gcc's own analyser over every source
	printf '%s\n' $(ALL_SRC) $(AGENT_SRC) | xargs -P "$$(nproc)" -n 1 $(CC) $(BASE_CFLAGS) -O1 -fanalyzer -Werror $(ANALYZER_OFF) -pthread -c -o /dev/null
# A worker under ThreadSanitizer, loaded by tests but for one that measures memory; whatever it says is printed at the end. Of threads that
# were not joined it says nothing: who is made to end by force waits for none.
THREAD_TESTS ?= $(addprefix tests/integration/,test_echo.py test_task_life.py test_canvas.py test_control.py test_events.py test_revoke.py test_shutdown.py \
	test_execute_code.py test_http_tools.py)
check-thread: build/celeriac-beat   ## ThreadSanitizer over a loaded worker (THREAD_TESTS="tests/integration/test_echo.py …")
	+$(MAKE) --no-print-directory SANITIZE=thread build/thread/celeriac-worker
	rm -f build/thread/race.*
	TSAN_OPTIONS='log_path=$(CURDIR)/build/thread/race exitcode=0 report_thread_leaks=0 suppressions=$(CURDIR)/tests/lint/thread.suppress' CELERIAC_CAGE_PATHS='$(CURDIR)/build/thread:rw' \
		CELERIAC_TEST_PROGRAM=$(CURDIR)/build/thread/celeriac-worker \
		tests/run pytest $(PYTHON) -m 'not long' -k 'not chord_of_a_thousand' $(THREAD_TESTS)
	if cat build/thread/race.* 2>/dev/null; then exit 1; fi
# Programs under AddressSanitizer and UBSan, but for tests that measure memory or a claim's time, or load a clock of their own before all
# else. Leaks are test_leak.py's.
ADDRESS_TESTS ?= $(addprefix tests/integration/test_,$(addsuffix .py,echo task_life canvas canvas_bad bad_messages wrong_keys control events revoke \
	shutdown execute_code http_tools mcp_client policy beat_schedule full_disk full_machine))
check-address:   ## programs of integration tests under ASan and UBSan (ADDRESS_TESTS="tests/integration/test_echo.py …")
	+$(MAKE) --no-print-directory SANITIZE=address,undefined all
	rm -f build/address-undefined/fault.*
	ASAN_OPTIONS='log_path=$(CURDIR)/build/address-undefined/fault detect_leaks=0' CELERIAC_CAGE_PATHS='$(CURDIR)/build/address-undefined:rw' \
		CELERIAC_TEST_PROGRAM=$(CURDIR)/build/address-undefined/celeriac-worker CELERIAC_TEST_BEAT=$(CURDIR)/build/address-undefined/celeriac-beat \
		tests/run pytest $(PYTHON) -m 'not long' -k 'not chord_of_a_thousand and not memory and not too_large and not payloads_stay and not the_clock_of_a_worker and not (clocks and not lamports)' $(ADDRESS_TESTS)
	if cat build/address-undefined/fault.* 2>/dev/null; then exit 1; fi
# Of what the unit tests, the corpora (plainly and without memory) and the integration tests of `make check` reach, but for one that measures
# memory: a program without optimisation has more. A program that a test kills writes no counts, so most are asked to end.
COVERAGE_TESTS ?= tests/integration
coverage:   ## lines and branches that the tests reach, by room (COVERAGE_TESTS=: of unit tests and corpora alone)
	deploy/setup --long
	+$(MAKE) --no-print-directory all
	+$(MAKE) --no-print-directory COVERAGE=1 WERROR=0 coverage-run
coverage-run: $(TESTS) $O/fuzz-replay $O/fuzz-scarce $(PROGRAMS) build/mcp-client build/amqp-client build/beat-next build/fault/celeriac-worker
	find $O -name '*.gcda' -delete
	-CK_TIMEOUT_MULTIPLIER=5 tests/run unit $(TESTS)
	$O/fuzz-replay tests/fuzz/corpus >/dev/null
	$O/fuzz-scarce tests/fuzz/corpus >/dev/null
	-$(if $(COVERAGE_TESTS),CELERIAC_TEST_PROGRAM=$(CURDIR)/$(BIN)/celeriac-worker CELERIAC_TEST_BEAT=$(CURDIR)/$(BIN)/celeriac-beat \
		CELERIAC_TEST_COUNTED=1 CELERIAC_CAGE_PATHS='$(CURDIR)/$O:rw' env -u COVERAGE -u WERROR \
		tests/run pytest $(PYTHON) -n $(TEST_JOBS) --dist loadfile -m 'not long' -k 'not payloads_stay' $(COVERAGE_TESTS))
	tests/coverage $O
check-fuzz: $O/fuzz-replay $O/fuzz-scarce   ## what the fuzzers found and began with, once more, and with each request for memory refused
	tests/run step 'corpora of the fuzz targets' $O/fuzz-replay tests/fuzz/corpus
	tests/run step 'the same where memory is refused, request by request' $O/fuzz-scarce tests/fuzz/corpus
# FUZZ="url yaml" FUZZ_SECONDS=600: these, for so long each. FUZZ_KEEP=1: what was found since goes into the corpora.
FUZZ_MAKE = $(MAKE) --no-print-directory CC='$(or $(FUZZ_CC),clang)' CFLAGS=-w WERROR=0 SANITIZE=fuzzer-no-link,address,undefined
FUZZ_DIR := build/fuzzer-no-link-address-undefined
fuzz:   ## every fuzz target for FUZZ_SECONDS (60) each, or those of FUZZ='url yaml'
	deploy/setup --long
	+$(FUZZ_MAKE) $(FUZZ_DIR)/celeriac-fuzz
	tests/fuzz/run $(if $(FUZZ_KEEP),--keep,$(FUZZ_DIR)/celeriac-fuzz) $(FUZZ)
# Files of tests run beside each other, since most of a test is waiting; everything of one file runs in one process, in its order.
TEST_JOBS ?= 2
check-integration: all build/mcp-client build/amqp-client build/beat-next build/fault/celeriac-worker   ## integration tests against real servers
	tests/run pytest $(PYTHON) -n $(TEST_JOBS) --dist loadfile -m 'not long' --durations=25 --durations-min=5 tests/integration
check-long: all build/mcp-client build/amqp-client build/beat-next build/fault/celeriac-worker build/behind/celeriac-worker build/previous/celeriac-worker   ## the slow ones, and the oracle suite with Debian's Celery
	deploy/setup --long
	tests/run pytest $(PYTHON) -m long tests/integration
	tests/run pytest /usr/bin/python3 tests/integration/oracle
# An engine of its own is started for the suite, and removed with all it has (tests/integration/engines.py).
SANDBOX_SUITE := attacks $(addprefix test_,$(addsuffix .py,engines execute_code sandbox_life sandbox_limits sandbox_meddling \
	sandbox_takeover pool reap live_output egress redelivery python plugins languages egress_languages))
ROLE_SUITE := $(addprefix test_,$(addsuffix .py,engine_role mcp mcp_image mcp_packages mcp_servers mcp_http_managed http_sandbox \
	sandbox_settings scale_engines outage))
check-runsc: all   ## the sandbox suite under gVisor
check-podman: all   ## the sandbox suite on Podman's service
check-runsc check-podman:
	deploy/setup --long
	deploy/images/sandbox/build python full
	CELERIAC_TEST_ENGINE=$(@:check-%=%) tests/run pytest $(PYTHON) -m 'not long' $(addprefix tests/integration/,$(SANDBOX_SUITE))
check-role: all   ## the sandbox, MCP and plugin suites with workers that connect to an engine role
check-direct: all   ## the same with workers that have Docker themselves
check-role check-direct:
	CELERIAC_TEST_ENGINE=$(@:check-%=%) tests/run pytest $(PYTHON) -m 'not long' $(addprefix tests/integration/,$(SANDBOX_SUITE) \
		$(ROLE_SUITE))
# The oracle suite with each backend, and what else asks for no Redis as its broker (tests/integration/places.py).
check-rabbitmq: all   ## the oracle suite with RabbitMQ as the broker, and results in Redis, by rpc:// and in PostgreSQL
	CELERIAC_TEST_BROKER=rabbitmq tests/run pytest $(PYTHON) -m 'not long' tests/integration/oracle $(RABBITMQ_SUITE)
	CELERIAC_TEST_BROKER=rabbitmq+rpc tests/run pytest $(PYTHON) -m 'not long' tests/integration/oracle
	CELERIAC_TEST_BROKER=rabbitmq+database tests/run pytest $(PYTHON) -m 'not long' tests/integration/oracle
RABBITMQ_SUITE := $(addprefix tests/integration/test_,rabbitmq_worker.py task_life.py)
check:   ## everything, from a machine with nothing installed; ends with one line of counts
	+tests/run all '$(MAKE)'
# Apart from make check: it takes its time. SOAK_MINUTES=5: less of it.
SOAK_MINUTES ?= 30
soak: all   ## every kind of task for SOAK_MINUTES (30) while workers, servers and connections die; build/soak/soak.txt and soak.svg
	deploy/images/sandbox/build
	$(PYTHON) tests/soak/soak --minutes $(SOAK_MINUTES)
bench: all build/bench-gate build/bench-amqp build/bench-redis
	test -x tests/bench/bench || { echo 'no benchmarks yet (tests/bench/bench)' >&2; exit 1; }
	$(PYTHON) tests/bench/bench

# --- the local stack ---------------------------------------------------------------------------------------------
setup:   ## install what is missing (deploy/setup)
	deploy/setup
image:   ## build the sandbox image that SANDBOX_IMAGE names, unless it is current (celeriac-sandbox:latest or :full)
	deploy/images/sandbox/build
up:   ## start the private local stack; writes $(RUN_DIR)/env
	deploy/setup && $(MAKE) --no-print-directory all && deploy/docker-daemon start make-up && deploy/images/sandbox/build && \
		RUN_DIR='$(RUN_DIR)' BROKER='$(BROKER)' WORKER_ARGS='$(WORKER_ARGS)' deploy/stack start; \
		status=$$?; deploy/docker-daemon stop make-up >/dev/null; exit $$status
down:   ## stop it
	RUN_DIR='$(RUN_DIR)' deploy/stack stop
demo:   ## the main job on a fresh machine, shown from end to end
	+RUN_DIR='$(RUN_DIR)' deploy/demo/run '$(MAKE)'

# --- code care ---------------------------------------------------------------------------------------------------
lint: all   ## format, static analysis and structure checks
	+tests/lint/run '$(MAKE)'
format:   ## rewrite the sources in house style
	clang-format -i $(C_FILES)
format-check:
	clang-format --dry-run -Werror $(C_FILES)
hdr-check: $(O)/.flags   ## each header compiles alone
	rc=0; for h in $(HEADERS) $(wildcard common/*/*.h worker/*.h beat/*.h tasks/*.h); do \
		printf '#include "%s"\n' "$$h" | $(CC) $(BASE_CFLAGS) -iquote . -Wall -Werror -fsyntax-only -x c - || rc=1; done; exit $$rc
tidy: compile_commands.json
	tests/lint/tidy $(ALL_SRC)
cppcheck:
	mkdir -p build/cppcheck; cppcheck -q -j2 --std=c11 --language=c --enable=warning,portability,performance --inline-suppr \
		--suppressions-list=tests/lint/cppcheck.suppress --cppcheck-build-dir=build/cppcheck --error-exitcode=1 -Iinclude \
		-D_GNU_SOURCE -DCELERIAC_VERSION='"$(VERSION)"' --include=tests/lint/cppcheck.h \
		$(ALL_SRC) $(AGENT_SRC)
compile_commands.json: FORCE   ## for editors and clang-tidy
	{ echo '['; sep=; for f in $(ALL_SRC) $(AGENT_SRC) $(TEST_SRC); do \
		printf '%s{"directory": "%s", "file": "%s", "command": "%s"}' "$$sep" "$(CURDIR)" "$$f" \
		"$$(printf '%s' "$(CC) $(subst ",\",$(BASE_CFLAGS)) -iquote . -c $$f" | sed 's/["\\]/\\&/g')"; sep=",$$(printf '\n_')"; sep="$${sep%_}"; done; \
		echo; echo ']'; } >$@.new; if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# --- install -----------------------------------------------------------------------------------------------------
MAN5 := $(wildcard worker/*.5 beat/*.5)
MAN7 := $(wildcard worker/*.7)
MAN8 := $(wildcard worker/*.8 beat/*.8)
CONF := $(wildcard deploy/conf/*.conf)
UNITS := $(wildcard deploy/systemd/*.service)
install: all   ## install programs, manuals, units, headers of modules, roles.sql and the sample settings (DESTDIR PREFIX BINDIR …)
	install -d $(DESTDIR)$(BINDIR) $(addprefix $(DESTDIR)$(MANDIR)/man,5 7 8) $(DESTDIR)$(SYSCONFDIR)/celeriac $(DESTDIR)$(DATADIR)/celeriac
	install -m 755 $(PROGRAMS) $(DESTDIR)$(BINDIR)
	install -m 644 deploy/sql/roles.sql $(DESTDIR)$(DATADIR)/celeriac
	$(if $(MAN5),install -m 644 $(MAN5) $(DESTDIR)$(MANDIR)/man5)
	$(if $(MAN7),install -m 644 $(MAN7) $(DESTDIR)$(MANDIR)/man7)
	$(if $(MAN8),install -m 644 $(MAN8) $(DESTDIR)$(MANDIR)/man8)
	install -d $(DESTDIR)$(INCLUDEDIR)/celeriac $(DESTDIR)$(DATADIR)/pkgconfig $(DESTDIR)$(DATADIR)/celeriac/modules
	install -m 644 $(MODULE_HEADERS) $(DESTDIR)$(INCLUDEDIR)/celeriac
	install -m 644 $(MODULE_EXAMPLES) $(DESTDIR)$(DATADIR)/celeriac/modules
	sed 's|@PREFIX@|$(PREFIX)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' deploy/celeriac.pc.in \
		>$(DESTDIR)$(DATADIR)/pkgconfig/celeriac.pc
	install -d $(DESTDIR)$(DATADIR)/bash-completion/completions
	for p in $(notdir $(PROGRAMS)); do install -m 644 deploy/completion/celeriac.bash $(DESTDIR)$(DATADIR)/bash-completion/completions/$$p; done
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(TMPFILESDIR)
	for f in $(UNITS); do sed 's|/usr/bin/|$(BINDIR)/|; s|/etc/celeriac|$(SYSCONFDIR)/celeriac|' $$f >$(DESTDIR)$(UNITDIR)/$${f##*/}; done
	install -m 644 deploy/systemd/celeriac.sysusers $(DESTDIR)$(SYSUSERSDIR)/celeriac.conf
	sed 's|/etc/celeriac|$(SYSCONFDIR)/celeriac|' deploy/systemd/celeriac.tmpfiles >$(DESTDIR)$(TMPFILESDIR)/celeriac.conf
	for f in $(CONF); do t=$(DESTDIR)$(SYSCONFDIR)/celeriac/$${f##*/}; [ -e $$t ] || install -m 644 $$f $$t; done
deb: all   ## build/celeriac_VERSION_ARCH.deb, for the Debian it is built on
	deploy/deb/build $(VERSION) $(MAKE)
uninstall:   ## remove them again (settings stay)
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(notdir $(PROGRAMS))) $(addprefix $(DESTDIR)$(MANDIR)/man5/,$(notdir $(MAN5))) \
		$(addprefix $(DESTDIR)$(MANDIR)/man7/,$(notdir $(MAN7))) \
		$(addprefix $(DESTDIR)$(MANDIR)/man8/,$(notdir $(MAN8))) $(DESTDIR)$(DATADIR)/celeriac/roles.sql
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/celeriac/,$(notdir $(MODULE_HEADERS))) $(DESTDIR)$(DATADIR)/pkgconfig/celeriac.pc \
		$(addprefix $(DESTDIR)$(DATADIR)/celeriac/modules/,$(notdir $(MODULE_EXAMPLES)))
	rm -f $(addprefix $(DESTDIR)$(DATADIR)/bash-completion/completions/,$(notdir $(PROGRAMS)))
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(notdir $(UNITS))) $(DESTDIR)$(SYSUSERSDIR)/celeriac.conf $(DESTDIR)$(TMPFILESDIR)/celeriac.conf
	rmdir $(DESTDIR)$(INCLUDEDIR)/celeriac $(DESTDIR)$(DATADIR)/celeriac/modules $(DESTDIR)$(DATADIR)/celeriac 2>/dev/null || :
clean:   ## remove build/ (the stack's state in .run/ stays)
	rm -rf build compile_commands.json
help:   ## this list
	awk -F ':[^#]*##' '/^[a-z-]+(\.json)?:.*##/ {printf "  make %-22s %s\n", $$1, $$2}' Makefile
	echo '  options: V=1 WERROR=0 SANITIZE=address,undefined|thread COVERAGE=1 RUN_DIR=.run WORKER_ARGS="-c 8"'

-include $(shell find $O build/fault -name '*.d' 2>/dev/null)
