#!/usr/bin/env bash
# a D-Bus daemon with a service and a monitor in the tree: names stay owned, calls are answered, signals are seen
. "$(dirname "$0")/lib.sh"
need dbus-daemon dbus-send dbus-monitor dbus-test-tool
export DBUS_SESSION_BUS_ADDRESS=unix:path=$work/bus
send() {
	(exec_as timeout 20 dbus-send --session "$@")
}
call() { # a method of the service's
	send --print-reply --dest=com.example.Echo / com.example.Ping string:"$1"
}
bus() {
	send --print-reply --dest=org.freedesktop.DBus / "org.freedesktop.DBus.$1" "${@:2}" | tail -n 1
}
seen() {
	grep -q "string \"$1\"" "$work/seen"
}
# shellcheck disable=SC2016
app_start bash -c '
	dbus-daemon --session --nofork --nopidfile --address="$DBUS_SESSION_BUS_ADDRESS" &
	until [ -S bus ]; do sleep 0.02; done
	dbus-test-tool echo --session --name=com.example.Echo &
	dbus-monitor --session "interface=com.example.Signals" >>seen &
	wait'
until_ok call first
until_ok send --type=signal / com.example.Signals.Said string:before
until_ok sh -c "grep -q NameAcquired $work/seen || sleep 0.2"
id=$(bus GetId)
owner=$(bus GetNameOwner string:com.example.Echo)
says() { # the monitor may not have registered yet when the first signal is sent
	send --type=signal / com.example.Signals.Said string:"$1"
	sleep 0.05
	seen "$1"
}
until_ok says begun
for generation in 1 2 3; do
	say "generation $generation"
	app_checkpoint
	call "on $generation" >/dev/null || fail "no answer after the checkpoint"
	app_checkpoint
	app_kill all
	app_restart
	until_ok call "back $generation"
	same "the bus" "$id" "$(bus GetId)"
	same "owner of the name" "$owner" "$(bus GetNameOwner string:com.example.Echo)"
	send --type=signal / com.example.Signals.Said "string:gen$generation"
	until_ok seen "gen$generation"
done
say "three generations"
