#!/usr/bin/env bash
# servers that are nobody's special case, those of them that are here: three generations each, asked before, between and after
. "$(dirname "$0")/lib.sh"
chmod 1777 "$work" "$images" # some give up root
asroot() {
	[ -z "$user" ] && [ "$(id -u)" = 0 ]
}
get() { # PORT
	curl -sf -m 10 "http://127.0.0.1:$1/"
}
# Three times: it answers before and after a checkpoint that goes on, and after a restart from one.
serve() { # QUESTION COMMAND...
	local question=$1 generation
	shift
	: >"$dir/out"
	app_start setsid "$@" # at their end some signal their whole group
	until_ok "$question"
	for generation in 1 2 3; do
		say "generation $generation"
		app_checkpoint
		"$question" || fail "no answer while it goes on"
		app_checkpoint
		app_kill all
		app_restart
		until_ok "$question"
		find_outer || fail "it is gone"
	done
	kill -"${ended_by:-TERM}" "$outer"
	{ wait "${launcher:-$root}"; } 2>/dev/null
	launcher='' outer=''
	rm -rf "${images:?}"/*
}
seen=''
some() { # PROGRAM: it is here
	local path
	path=$(PATH=$PATH:/usr/sbin command -v "$1") || return 1
	seen="$seen $1"
	say "$path"
}
mkdir "$work/html"
chmod 755 "$work/html"
echo hi >"$work/html/index.html"
cat >"$work/counter.py" <<'END'
import threading
n, lock = 0, threading.Lock()
def application(env, start):
    global n
    with lock:
        n += 1
        body = b'%d' % n
    start('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]
END
echo '$n, $l = 0, Mutex.new
run lambda { |env| b = $l.synchronize { ($n += 1).to_s }; [200, {"content-type" => "text/plain"}, [b]] }' >"$work/config.ru"
last=0
counted() { # PORT: an answer that is more than the last
	local n
	n=$(get "$1") && [ "$n" -gt "$last" ] && last=$n
}
page() {
	[ "$(get $port)" = hi ]
}
counts() {
	counted $port
}
if some lighttpd; then
	port=28301
	printf '%s\n' "server.document-root=\"$work/html\"" "server.port=$port" 'server.bind="127.0.0.1"' 'index-file.names=("index.html")' \
		"server.errorlog=\"$work/lighttpd.log\"" >"$work/lighttpd.conf"
	serve page lighttpd -D -f "$work/lighttpd.conf"
fi
if some apache2; then
	for mpm in prefork event; do
		port=$((28302 + ${#mpm}))
		mkdir -p "$work/run"
		[ -z "$user" ] || chown "$user" "$work/run"
		{
			echo "ServerRoot $work"
			echo "ServerName localhost"
			echo "Listen 127.0.0.1:$port"
			for module in mpm_$mpm authz_core dir mime; do
				echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
			done
			printf '%s\n' "PidFile $work/run/pid" "DefaultRuntimeDir $work/run" "Mutex default:$work/run" "TypesConfig /etc/mime.types" \
				"ErrorLog $work/apache.log" "DocumentRoot $work/html" "DirectoryIndex index.html"
			asroot && printf '%s\n' "User nobody" "Group nogroup"
		} >"$work/apache.conf"
		serve page apache2 -f "$work/apache.conf" -DFOREGROUND
	done
fi
if some gunicorn; then
	port=28312 last=0
	serve counts gunicorn -b 127.0.0.1:$port -w 1 --threads 4 --chdir "$work" counter:application
fi
if some uwsgi; then
	port=28313 last=0
	ended_by=INT serve counts uwsgi --plugin python3 --http-socket 127.0.0.1:$port --master --threads 4 --wsgi-file "$work/counter.py" --need-app
fi
if some puma; then
	port=28314 last=0
	serve counts puma -b tcp://127.0.0.1:$port -t 4:4 config.ru
fi
# These two ask another server.
if some varnishd || some squid; then
	(cd "$work/html" && exec "$python" -m http.server 28320 --bind 127.0.0.1) >/dev/null 2>&1 &
	holder=$!
fi
if some varnishd; then # its threads share an alternate stack
	port=28315
	serve page varnishd -F -a 127.0.0.1:$port -b 127.0.0.1:28320 -n "$work/varnish" -j none -s malloc,20M
fi
if some squid; then
	fetched() {
		[ "$(curl -sf -m 10 -x http://127.0.0.1:28316 http://127.0.0.1:28320/)" = hi ]
	}
	mkdir "$work/squid"
	chmod 777 "$work/squid"
	{
		printf '%s\n' "http_port 127.0.0.1:28316" "http_access allow all" "pid_filename $work/squid/pid" "cache_log $work/squid/log" \
			"access_log $work/squid/access" "coredump_dir $work/squid" "pinger_enable off" "memory_cache_shared off" \
			"shutdown_lifetime 1 second"
		asroot && echo "cache_effective_user proxy"
	} >"$work/squid.conf"
	serve fetched squid -n "one$$" -N -f "$work/squid.conf"
fi
if some mosquitto && command -v mosquitto_pub >/dev/null; then
	retained() {
		last=$((last + 1))
		timeout 5 mosquitto_pub -p 28317 -t topic -r -m "message $last" &&
			[ "$(timeout 5 mosquitto_sub -p 28317 -t topic -C 1)" = "message $last" ]
	}
	printf '%s\n' "listener 28317 127.0.0.1" "allow_anonymous true" "persistence false" >"$work/mosquitto.conf"
	asroot && echo "user root" >>"$work/mosquitto.conf"
	serve retained mosquitto -c "$work/mosquitto.conf"
fi
[ -n "$seen" ] || { echo "none of them is installed"; exit 77; }
say "three generations each:$seen"
