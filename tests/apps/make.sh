#!/usr/bin/env bash
# make -j4 of a C project: stopped half-way with a checkpoint and restarted, three times over; the result is byte-identical
. "$(dirname "$0")/lib.sh"
need gcc make
mkdir "$work/src"
export CCACHE_DISABLE=1 # the compilers shall have work for the whole test
for ((i = 0; i < 40; i++)); do
	{
		echo "#include <stdio.h>"
		echo "#include <stdlib.h>"
		echo "#include <string.h>"
		for ((k = 0; k < 50; k++)); do
			echo "static int f${i}_$k(const char *s, int n) { int x = $k, j; for (j = 0; j < n; j++) x = x * 31 + s[j % (int)strlen(s)];" \
				"switch (x % 7) { case 0: return x; case 1: return printf(\"%d\", x); case 2: return abs(x); default: return n; } }"
		done
		echo "int unit$i(const char *s, int n) { int x = n;"
		for ((k = 0; k < 50; k++)); do
			echo "x += f${i}_$k(s, x & 15);"
		done
		echo "return x; }"
	} >"$work/src/unit$i.c"
done
{
	for ((i = 0; i < 40; i++)); do
		echo "int unit$i(const char *, int);"
	done
	echo "int main(int argc, char **argv) { int x = argc;"
	for ((i = 0; i < 40; i++)); do
		echo "x += unit$i(argv[0], x & 7);"
	done
	echo "return x & 1; }"
} >"$work/src/main.c"
cat >"$work/src/Makefile" <<'END'
OBJ := $(patsubst %.c,$(O)/%.o,$(wildcard *.c))
$(O)/program: $(O)/libunits.a $(O)/main.o
	gcc -o $@ $(O)/main.o $(O)/libunits.a
$(O)/libunits.a: $(filter-out $(O)/main.o,$(OBJ))
	ar rcsD $@ $(sort $^)
$(O)/%.o: %.c
	@mkdir -p $(@D)
	gcc -O2 -g0 -c $< -o $@
END
[ -z "$user" ] || chown -R "$user" "$work"
(exec_as make -s -C "$work/src" -j4 O=../alone) >>"$dir/out" 2>&1 || fail "the build alone"
app_start make -C "$work/src" -j4 O=../shim
done_objects() {
	find "$work/shim" -name '*.o' 2>/dev/null | wc -l
}
# The compilers remove their files in /tmp: nothing may run between the checkpoint and the end.
stop() {
	local said
	[ "${SHIM:-}" = no ] && return
	said=$( (exec_as timeout 60 "$B/skshim" checkpoint --stop "$outer") 2>&1) || fail "skshim checkpoint --stop: $said"
	wait "${launcher:-$outer}"
	outer='' launcher=''
}
for at in 5 12 20; do
	until_ok eval "[ \$(done_objects) -ge $at ]"
	stop
	say "$(done_objects) objects"
	app_restart
done
wait "${launcher:-$root}"
same "status of make" 0 $?
outer='' launcher=''
[ "${SHIM:-}" = no ] || [ "$(done_objects)" = 41 ] || fail "$(done_objects) objects"
cmp "$work/alone/program" "$work/shim/program" || fail "the programs differ"
cmp "$work/alone/libunits.a" "$work/shim/libunits.a" || fail "the libraries differ"
say "byte-identical"
