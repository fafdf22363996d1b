#!/usr/bin/env bash
# an ssh session from outside, with a shell and a file transfer in it, goes on while the server is stopped and restarted
. "$(dirname "$0")/lib.sh"
[ -z "$user" ] && [ "$(id -u)" = 0 ] || { echo "connections to outside go on only with CAP_NET_ADMIN"; exit 77; }
[ "${SHIM:-}" = no ] && exit 77
PATH=$PATH:/usr/sbin
need sshd ssh ssh-keygen
client='' copy=''
trap 'kill -9 $client $copy 2>/dev/null; app_cleanup' EXIT
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
ssh-keygen -q -t ed25519 -N '' -f "$dir/key"
cat >"$dir/sshd_config" <<C
Port 7522
ListenAddress 127.0.0.1
HostKey $dir/host
PidFile none
AuthorizedKeysFile $dir/key.pub
StrictModes no
UsePAM no
PermitRootLogin yes
LogLevel VERBOSE
C
ssh_to() {
	ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile="$dir/known" -o LogLevel=ERROR -i "$dir/key" -p 7522 "$@"
}
answers() {
	grep -q "$1" "$dir/session"
}
runs() {
	"$B/skshim" ps | grep -qw "$root"
}

app_start /usr/sbin/sshd -D -e -f "$dir/sshd_config"
until_ok grep -q listening "$dir/out"
mkfifo "$dir/words"
ssh_to -tt root@127.0.0.1 <"$dir/words" >"$dir/session" 2>&1 &
client=$!
exec 8>"$dir/words"
# shellcheck disable=SC2016
echo 'PS1=; HISTFILE=; n=40; echo value $((n + 2))' >&8
until_ok answers 'value 42'
head -c 100000000 /dev/zero | ssh_to root@127.0.0.1 'sha256sum' >"$dir/sum" 2>&1 8>&- &
copy=$!
two_sessions() {
	[ "$(grep -c "Starting session" "$dir/out")" = 2 ]
}
until_ok two_sessions # one that nobody had accepted would be reset
for generation in 1 2; do
	said=$("$B/skshim" checkpoint --stop "$root" 2>&1) || fail "skshim checkpoint --stop: $said"
	{ wait "${launcher:-$root}"; } 2>/dev/null
	say "stopped"
	# shellcheck disable=SC2016
	echo 'n=$((n + 1)); echo still $n' >&8 # meanwhile
	app_restart
	until_ok runs
	until_ok answers "still $((40 + generation))"
	say "the session goes on"
done
wait $copy || fail "the transfer: $? $(cat "$dir/sum")"
copy=''
say "transferred"
same "what was transferred" "$(head -c 100000000 /dev/zero | sha256sum)" "$(cat "$dir/sum")"
echo 'exit 7' >&8
wait $client
same "how the session ended" 7 $?
client=''
kill "$root"
{ wait "$launcher"; } 2>/dev/null
launcher=''
"$B/skshim" check | grep 'skshim_[0-9]' && fail "a table is left"
exit 0
