#!/usr/bin/env bash
# sqlite3 in the middle of a transaction on a file: the journal, the locks, a cache that has spilled
. "$(dirname "$0")/lib.sh"
mkfifo "$dir/input"
chmod 666 "$dir/input"
# Its input is ours, now and after each restart.
exec 7<>"$dir/input"
restart_input=$dir/input
n=0
# One statement; waits until sqlite3 has done it.
sql() {
	n=$((n + 1))
	printf '%s\n.print done-%s\n' "$1" $n >&7
	until_ok grep -q "done-$n\$" "$dir/out"
}
# The number of rows as it sees them must be $2.
rows() {
	sql "SELECT 'rows', (SELECT count(*) FROM t);"
	same "$1" "$2" "$(grep '^rows|' "$dir/out" | tail -n 1 | cut -d '|' -f 2)"
}
other() {
	(exec_as sqlite3 -cmd '.timeout 0' "$work/data.db" "$1") 2>&1
}
app_start sqlite3 -batch "$work/data.db"
sql "PRAGMA cache_size = 10; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT);"
for generation in 1 2 3; do
	say "generation $generation"
	sql "BEGIN IMMEDIATE;"
	sql "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)
		INSERT INTO t(s) SELECT 'row ' || x || ' of $generation ' || hex(zeroblob(50)) FROM c;"
	rows "rows in the transaction" $((generation * 20000))
	app_checkpoint
	rows "rows in the transaction, going on" $((generation * 20000))
	app_kill
	app_restart
	rows "rows in the transaction, restarted" $((generation * 20000))
	app_same
	case $(other "BEGIN IMMEDIATE; SELECT 'got it';") in
	*locked*) ;;
	*) fail "its lock on the file is gone" ;;
	esac
	sql "COMMIT;"
	same "rows that others see" $((generation * 20000)) "$(other 'SELECT count(*) FROM t')"
	same "integrity" ok "$(other 'PRAGMA integrity_check')"
done
say "three generations"
