#!/usr/bin/env bash
# erlang: schedulers, its child's helper process, timers, gen_tcp
. "$(dirname "$0")/lib.sh"
need erl erlc
erlc -o "$work" "$here/languages/server.erl" || fail "erlc"
app_start erl -noinput -noshell -pa . -run server main 28270
generations 28270
