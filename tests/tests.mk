# tests.mk - what is built for tests/, and the targets that run things. Included by the Makefile.
T        := $(B)/tests
TFLAGS   := $(COMMON) -pthread
SCENARIO := $(patsubst tests/%.c,$(T)/%,$(filter-out %/scenario.c,$(wildcard tests/scenario/*.c)))
KERNEL   := $(patsubst tests/%.c,$(T)/%,$(wildcard tests/kernel/*.c))
UNIT     := $(patsubst tests/%.c,$(T)/%,$(wildcard tests/unit/*_test.c))
TOOLS    := $(T)/conduct $(patsubst tests/bench/%.c,$(T)/bench/%,$(wildcard tests/bench/*.c))
# What a unit test may link: everything but the programs' mains; preload_*_test.c also the library's own files.
# The interposers stay out of the others, or a test that calls socket() would get the shim's.
UNIT_OBJ := $(filter-out %/main.o %/norebuild.o %/restorer.blob.o,$(sort $(RES_OBJ) $(CLI_OBJ))) $(B)/restorer.blob.o

# Open bugs that these show only now and then, see docs/LIMITS.md; `tests/run WORD` runs them.
UNSETTLED :=

.PHONY: tests units demo check bench asan
tests: $(SCENARIO) $(KERNEL) $(UNIT) $(TOOLS) $(T)/fault/target $(T)/fault/patch $(T)/fault/clocks
units: $(UNIT) $(T)/conduct

$(T)/scenario.o: tests/scenario/scenario.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(TFLAGS) -c $< -o $@
$(SCENARIO): $(T)/scenario/%: tests/scenario/%.c $(T)/scenario.o
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(TFLAGS) -rdynamic $< $(T)/scenario.o -o $@ -ldl -lrt -lm
$(KERNEL): $(T)/kernel/%: tests/kernel/%.c tests/kernel/fact.h
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(TFLAGS) $< -o $@
$(TOOLS): $(T)/%: tests/%.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(TFLAGS) $< -o $@

$(T)/fault/target: tests/fault/target.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(TFLAGS) $< -o $@
# The library and the restart with system calls that fail on demand.
.PHONY: fault
build/fault/sys_fault.o: tests/fault/sys_fault.c
	@mkdir -p $(@D)
	@rm -f $(@D)/libskshim.so $(@D)/skshim $(@D)/skshim-restart
	@echo "  CC $<"
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -fPIC -fvisibility=hidden -c $< -o $@
fault: build/fault/sys_fault.o
	@$(MAKE) --no-print-directory B=build/fault OPT='-O1 -DSKSHIM_FAULT' LDFLAGS='build/fault/sys_fault.o' \
		build/fault/libskshim.so build/fault/skshim-restart
$(T)/fault/patch $(T)/fault/clocks: $(T)/fault/%: tests/fault/%.c $(T)/units.a
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(TFLAGS) $< -o $@ $(LDFLAGS) $(T)/units.a $(CLI_LIBS)

$(T)/units.a: $(UNIT_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(T)/preload.a: $(call obj,$(filter-out preload/init.c,$(PRELOAD)))
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(filter $(T)/unit/preload_%,$(UNIT)): UNIT_LIBS = $(T)/preload.a
$(filter $(T)/unit/preload_%,$(UNIT)): $(T)/preload.a
# It has a restart of its own; what that lacks is absent, as in the library.
$(T)/unit/kinds_test $(T)/unit/kinds_event_test: UNIT_LIBS = $(call obj,runtime/kinds/norebuild.c)
$(T)/unit/kinds_test $(T)/unit/kinds_event_test: $(call obj,runtime/kinds/norebuild.c)
$(UNIT): $(T)/unit/%: tests/unit/%.c $(T)/units.a
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(TFLAGS) -I. -Wno-missing-prototypes $< -o $@ $(LDFLAGS) $(UNIT_LIBS) $(T)/units.a $(filter %.a,$(UNIT_LIBS)) \
		$$(pkg-config --libs check) $(CLI_LIBS) -ldl

demo:
	@tests/setup demo
	@$(MAKE) --no-print-directory all
	@demo/demo
check:
	@tests/setup check
	@$(MAKE) --no-print-directory all tests fault
	@tests/run $(UNSETTLED)
bench:
	@tests/setup bench
	@$(MAKE) --no-print-directory all tests
	@tests/bench/bench
# The ordinary world and the kinds under the sanitizers; the library itself can't be, it runs before libc is ready
# and stands where the sanitizer stands; a walk of the stack takes too long in a sanitizer's address space.
asan:
	@tests/setup check
	@$(MAKE) --no-print-directory B=build/asan WERROR= OPT='-O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer' \
		LDFLAGS='-fsanitize=address,undefined' units
	@B=build/asan ASAN_OPTIONS=detect_leaks=0 tests/run --not preload_ --not stack_test unit/
include tests/fuzz/fuzz.mk
# Static checks; formatting of the lines that are changed, or of whole files: make format FILES='a.c b.c'
.PHONY: lint format
LINT := --quiet --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr --suppress=missingInclude \
	--suppress=uninitvar --suppress=ctuuninitvar --suppress=legacyUninitvar
lint:
	@tests/setup lint
	cppcheck $(LINT) -Iinclude -D_GNU_SOURCE -D__x86_64__ preload runtime
format:
	@tests/setup lint
	$(if $(FILES),clang-format -i $(FILES),git clang-format HEAD)
# For tests/gates: a list of sources.
show-%:
	@echo $($*)
