#!/usr/bin/env bash
# An interactive shell restarts a program that was its job: Ctrl-C, Ctrl-Z, fg, bg, input, window size, exit status
. "$(dirname "$0")/lib.sh"
[ "${SHIM:-}" = no ] && exit 77
(exec_as "$python" "$here/terminal.py" "$B" "$images") || fail "terminal.py"
