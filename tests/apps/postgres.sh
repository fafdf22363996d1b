#!/usr/bin/env bash
# PostgreSQL and eight connections of pgbench in one tree: a checkpoint that goes on, then three that stop it and restart
. "$(dirname "$0")/lib.sh"
programs=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tail -n 1)")
[ -x "$programs/postgres" ] || { echo "PostgreSQL is not installed"; exit 77; }
[ "$(id -u)" = 0 ] && [ -z "$user" ] && { echo "PostgreSQL doesn't run as root"; exit 77; }
export PATH="$programs:$PATH" PGHOST=$work PGUSER=postgres PGDATABASE=bench LC_ALL=C.UTF-8
ask() {
	psql -Atqc "$1"
}
(exec_as initdb -D "$work/data" -A trust -U postgres -k) >"$dir/out" 2>&1 || fail initdb
cat >"$work/tree.sh" <<'TREE'
postgres -D data -k "$PWD" -c listen_addresses= -c max_wal_size=4GB >postgres.log 2>&1 &
until psql -d postgres -c 'select 1'; do sleep 0.1; done
createdb bench && pgbench -i -s 3 -q
touch ready
pgbench -c 8 -j 2 -T 1000 -P 1 >bench.log 2>&1
echo "pgbench ended with $?" >>bench.log
wait
TREE
# A transaction after now.
goes_on() {
	local before
	before=$(ask 'select count(*) from pgbench_history') || fail "no answer"
	until_ok eval "[ \$(psql -Atqc 'select count(*) from pgbench_history') -gt $before ]"
	say "transactions: $before and more"
}
# pgbench keeps these four sums equal.
sums() {
	same "what pgbench moved" 1 "$(ask 'select count(distinct s) from (select sum(abalance) s from pgbench_accounts
		union all select sum(bbalance) from pgbench_branches union all select sum(tbalance) from pgbench_tellers
		union all select sum(delta) from pgbench_history) t')"
}
# What PostgreSQL itself finds: each index against its table, each table's rows, and the checksum of each page as it is on disk.
amcheck() {
	pg_amcheck --heapallindexed --parent-check bench >"$dir/amcheck" 2>&1 || fail "pg_amcheck: $(cat "$dir/amcheck")"
	rm -rf "$dir/copy"
	pg_basebackup -D "$dir/copy" -c fast >"$dir/backup" 2>&1 || fail "checksums: $(cat "$dir/backup")"
}
app_start bash "$work/tree.sh"
until_ok test -e "$work/ready"
ask 'create extension amcheck' || fail "amcheck"
goes_on
app_checkpoint
goes_on
for generation in 1 2 3; do
	[ "${SHIM:-}" = no ] && break
	said=$( (exec_as timeout 60 "$B/skshim" checkpoint --stop "$outer") 2>&1) || fail "skshim checkpoint --stop: $said"
	wait "${launcher:-$outer}"
	say "generation $generation: stopped, $(du -sh "$images/latest/" | cut -f 1)"
	rm -rf "$dir/snapshot" && cp -a "$work/data" "$dir/snapshot"
	launcher='' outer=''
	app_restart
	until_ok psql -Atqc 'select 1'
	goes_on
	sums
	amcheck
done
if [ "${SHIM:-}" != no ]; then
	say "killed after it went on, and the snapshot of its files put back"
	# nobody shall see another end
	# shellcheck disable=SC2046
	kill -STOP $(below "$outer")
	app_kill all
	rm -rf "$work/data" && cp -a "$dir/snapshot" "$work/data"
	app_restart
	until_ok psql -Atqc 'select 1'
	goes_on
	sums
	amcheck
fi
grep -E 'ended|aborted' "$work/bench.log" && fail "pgbench met an error"
# on a slow machine it was asked before it was ready
grep -E 'FATAL|PANIC|ERROR|WARNING' "$work/postgres.log" | grep -v 'is starting up' && fail "PostgreSQL met an error"
ask checkpoint
kill -INT "$(pgrep -x -P "$outer" postgres)"
{ wait "${launcher:-$outer}"; } 2>/dev/null
launcher='' outer=''
(exec_as pg_checksums -c -D "$work/data") >"$dir/sums" 2>&1 || { cat "$dir/sums"; fail "checksums"; }
say "$(grep Bad "$dir/sums")"
