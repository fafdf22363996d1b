# fuzz.mk - make fuzz: every harness for FUZZ_SECONDS, from seeds and what earlier runs found. Included by tests.mk.
FUZZ_SECONDS ?= 60
FUZZ_CC      ?= clang
FZ       := $(B)/fuzz
FUZZ     := $(patsubst tests/fuzz/%.c,$(FZ)/%,$(wildcard tests/fuzz/*_fuzz.c))
FZ_FLAGS := -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARN) -MMD -MP -Iinclude -I. -fsanitize=address,undefined -fno-sanitize-recover=all
# Kinds stay out: the harnesses bring their own.
FZ_OBJ   := $(patsubst %.c,$(FZ)/%.o,$(BASE) $(ENCODE) $(DECODE))

.PHONY: fuzz fuzz-run
$(FZ)/runtime/image/hash.o: FZ_FLAGS += -mavx2
$(FZ_OBJ): $(FZ)/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FZ_FLAGS) -fsanitize=fuzzer-no-link -c $< -o $@
$(FZ)/code.a: $(FZ_OBJ)
	@rm -f $@
	ar rcs $@ $^
$(FUZZ): $(FZ)/%: tests/fuzz/%.c $(FZ)/code.a
	$(FUZZ_CC) $(FZ_FLAGS) -fsanitize=fuzzer $< $(FZ)/code.a -o $@
$(FZ)/seeds: tests/fuzz/seeds.c $(FZ)/code.a
	$(FUZZ_CC) $(FZ_FLAGS) -fsanitize=fuzzer-no-link $< $(FZ)/code.a -o $@
fuzz:
	@tests/setup fuzz
	@$(MAKE) --no-print-directory fuzz-run
fuzz-run: $(FUZZ) $(FZ)/seeds
	@$(FZ)/seeds $(FZ)/corpus
	@for f in $(FUZZ); do \
		name=$$(basename $$f _fuzz); mkdir -p $(FZ)/corpus/$$name; echo "fuzz: $$name, $(FUZZ_SECONDS) s"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -rss_limit_mb=2048 -verbosity=0 -artifact_prefix=$(FZ)/$$name- \
			$(FZ)/corpus/$$name >$(FZ)/$$name.log 2>&1 || { tail -n 40 $(FZ)/$$name.log; exit 1; }; \
	done
