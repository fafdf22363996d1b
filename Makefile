# skshim: one Makefile, one set of flags per world. See docs/HACKING.md.
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
WERROR  ?= -Werror
OPT     ?= -O2 -g
B       := build
VERSION := 0.1.0

Q       := $(if $(V),,@)
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith $(WERROR)
COMMON  := -std=gnu11 -D_GNU_SOURCE $(OPT) $(WARN) -MMD -MP -Iinclude -DSKSHIM_VERSION='"$(VERSION)"'
# frozen: runs in signal handlers and in a stopped world; position independent, since it is linked into the library too
FROZEN  := $(COMMON) -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-stack-protector -fcf-protection=none
ORDINARY:= $(COMMON) -fPIE
# restorer: no libc, no relocations, no static data, tiny stack
RESTORER:= $(COMMON) -fPIC -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	   -fvisibility=hidden -fno-jump-tables -fno-tree-loop-distribute-patterns -mno-sse -mno-mmx -mno-avx -g0 -fno-sanitize=all

obj      = $(patsubst %.c,$(B)/%.o,$(patsubst %.S,$(B)/%.o,$(1)))
BASE    := $(wildcard runtime/base/*.c)
ENCODE  := runtime/image/tables.c runtime/image/encode.c
DECODE  := $(filter-out $(ENCODE),$(wildcard runtime/image/*.c))
KINDS   := $(wildcard runtime/kinds/*.c)
PRELOAD := $(wildcard preload/*.c preload/*.S)
RESTART := $(wildcard runtime/restart/*.c)
CLI     := $(wildcard runtime/cli/*.c)

FROZEN_SRC := $(BASE) $(ENCODE) $(KINDS) $(filter-out preload/init.c preload/real.c,$(PRELOAD))
INIT_SRC   := preload/init.c preload/real.c
ORD_SRC    := $(DECODE) $(RESTART) $(CLI)

LIB_OBJ := $(call obj,$(BASE) $(ENCODE) $(KINDS) $(PRELOAD))
RES_OBJ := $(call obj,$(BASE) $(ENCODE) $(DECODE) $(KINDS) $(RESTART)) $(B)/restorer.blob.o
CLI_OBJ := $(call obj,$(BASE) $(ENCODE) $(DECODE) $(KINDS) $(CLI))
CLI_LIBS := -lunwind-x86_64 -lunwind -lelf

.PHONY: all deps demo check bench install asan fuzz lint format clean
all: $(B)/libskshim.so $(B)/skshim $(B)/skshim-restart

$(call obj,$(filter %.c,$(FROZEN_SRC))): $(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(FROZEN) -c $< -o $@
$(call obj,$(INIT_SRC)): $(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(FROZEN) -c $< -o $@
$(call obj,$(filter %.S,$(PRELOAD))): $(B)/%.o: %.S
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(FROZEN) -c $< -o $@
$(B)/runtime/image/hash.o: ORDINARY += -mavx2
$(call obj,$(ORD_SRC)): $(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(ORDINARY) -c $< -o $@

# The restorer is linked alone, checked to be free of relocations, and embedded as bytes.
$(B)/restorer.elf: runtime/restorer/restorer.c runtime/restorer/restorer.lds include/skshim/script.h
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(RESTORER) -c $< -o $(B)/restorer.o
	@! readelf -rW $(B)/restorer.o | grep R_X86 | grep -v R_X86_64_PC32 || { echo "restorer.c: has absolute relocations"; exit 1; }
	$(Q)$(LD) -static --no-undefined -e restorer -T runtime/restorer/restorer.lds $(B)/restorer.o -o $@
$(B)/restorer.blob.o: $(B)/restorer.elf
	$(Q)objcopy -O binary -j .restorer $< $(B)/restorer.bin
	$(Q)cd $(B) && $(LD) -r -b binary -z noexecstack restorer.bin -o restorer.blob.o

$(B)/libskshim.so: $(LIB_OBJ) preload/skshim.map
	@echo "  LD $@"
	$(Q)$(CC) -shared -o $@ $(LIB_OBJ) -Wl,-z,now -Wl,-z,defs -Wl,--version-script=preload/skshim.map -Wl,-soname,libskshim.so $(LDFLAGS) -ldl
$(B)/skshim-restart: $(RES_OBJ)
	@echo "  LD $@"
	$(Q)$(CC) -pie -o $@ $(RES_OBJ) $(LDFLAGS)
$(B)/skshim: $(CLI_OBJ)
	@echo "  LD $@"
	$(Q)$(CC) -pie -o $@ $(CLI_OBJ) $(LDFLAGS) $(CLI_LIBS)

INSTALL ?= install
install: all
	$(INSTALL) -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/pkgconfig include share/man/man1 share/man/man7 \
		share/bash-completion/completions)
	$(INSTALL) -m 755 $(B)/libskshim.so $(DESTDIR)$(PREFIX)/lib/
	$(INSTALL) -m 755 $(B)/skshim $(B)/skshim-restart $(DESTDIR)$(PREFIX)/bin/
	$(INSTALL) -m 644 include/skshim.h $(DESTDIR)$(PREFIX)/include/
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' docs/skshim.pc.in >$(B)/skshim.pc
	$(INSTALL) -m 644 $(B)/skshim.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	$(INSTALL) -m 644 docs/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	$(INSTALL) -m 644 docs/man/*.7 $(DESTDIR)$(PREFIX)/share/man/man7/
	$(INSTALL) -m 644 docs/completion/skshim.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/skshim
	ln -sf skshim $(DESTDIR)$(PREFIX)/share/bash-completion/completions/skshim-restart
	@test -n "$(DESTDIR)" || ldconfig 2>/dev/null || true

clean:
	rm -rf $(B)

-include tests/tests.mk
-include $(shell find $(B) -name '*.d' 2>/dev/null)
