#!/usr/bin/env bash
# php-fpm: a master, workers that accept from one socket, a scoreboard in shared memory, requests in the middle
. "$(dirname "$0")/lib.sh"
port=28232
fpm=$(ls /usr/sbin/php-fpm* 2>/dev/null | head -n 1)
[ -n "$fpm" ] || { echo "php-fpm is not installed"; exit 77; }
export FCGI_ROOT=$work
cat >"$work/fpm.conf" <<CONF
[global]
error_log = $work/fpm.log
daemonize = no
[www]
listen = 127.0.0.1:$port
pm = dynamic
pm.max_children = 6
pm.start_servers = 3
pm.min_spare_servers = 2
pm.max_spare_servers = 4
pm.status_path = /status
CONF
cat >"$work/count.php" <<'PHP'
<?php
$f = fopen(__DIR__ . '/counter', 'c+');
flock($f, LOCK_EX);
$n = (int)fread($f, 20) + 1;
rewind($f);
fwrite($f, $n);
echo $n;
PHP
cat >"$work/slow.php" <<'PHP'
<?php
usleep(800000);
echo strrev($_SERVER['QUERY_STRING']);
PHP
options=()
[ "$(id -u)" = 0 ] && [ -z "$user" ] && options=(-R) && printf 'user = root\ngroup = root\n' >>"$work/fpm.conf"
app_start "$fpm" -n -F -p "$work" -y "$work/fpm.conf" "${options[@]}"
until_ok client ask fcgi $port count.php
for generation in 1 2 3; do
	say "generation $generation"
	loop fcgi $port
	hold fcgi $port 'slow.php hello'
	app_checkpoint
	unloop
	wait "$holder"
	same "a slow answer" olleh "$(tail -n 1 "$dir/held")"
	count=$(client ask fcgi $port count.php)
	app_checkpoint
	app_kill all
	app_restart
	until_ok client ask fcgi $port slow.php
	app_same
	same "the counter" $((count + 1)) "$(client ask fcgi $port count.php)"
	same "a slow answer" cba "$(client ask fcgi $port 'slow.php abc')"
done
say "three generations"
