#!/usr/bin/env bash
# ssh-agent with a key and a client that stays connected: it signs as before. A copy: the original is set-group-id.
. "$(dirname "$0")/lib.sh"
need ssh-agent ssh-add ssh-keygen
export SSH_AUTH_SOCK=$work/agent
cp "$(command -v ssh-agent)" "$dir/agent" && chmod 755 "$dir/agent"
cat >"$work/stays.py" <<'END'
import os, socket, struct, time
s = socket.socket(socket.AF_UNIX)
s.connect('agent')
f = s.makefile('rb')
n = 0
# open all the time: a file that is renamed over another can't be open at a checkpoint, see docs/LIMITS.md
out = os.open('asked', os.O_WRONLY | os.O_CREAT, 0o666)
while True:
    s.sendall(struct.pack('>IB', 1, 11))
    size, = struct.unpack('>I', f.read(4))
    kind, keys = struct.unpack('>BI', f.read(size)[:5])
    if kind != 12:
        raise SystemExit(f'answer {kind}')
    n += 1
    os.pwrite(out, b'%010d %d' % (n, keys), 0)
    time.sleep(0.01)
END
agent() {
	(exec_as timeout 20 "$@")
}
asked() {
	cut -d ' ' -f 1 "$work/asked"
}
beyond() {
	[ "$(asked)" -gt "$1" ] && [ "$(cut -d ' ' -f 2 "$work/asked")" = 1 ]
}
signs() {
	echo text >"$work/text"
	rm -f "$work/text.sig"
	agent ssh-keygen -q -Y sign -f "$work/key.pub" -n test "$work/text" && [ -s "$work/text.sig" ]
}
agent ssh-keygen -q -t ed25519 -N '' -f "$work/key" -C kept
# shellcheck disable=SC2016
app_start bash -c '"$1" -D -a agent >/dev/null &
	until [ -S agent ]; do sleep 0.02; done
	'"$python"' stays.py & wait' - "$dir/agent"
until_ok agent ssh-add "$work/key"
rm "$work/key"
until_ok beyond 5
until_ok signs
for generation in 1 2 3; do
	say "generation $generation"
	app_checkpoint
	signs || fail "it signs no more after the checkpoint"
	app_checkpoint
	app_kill all
	printf '%010d 1' 0 >"$work/asked"
	app_restart
	until_ok beyond 5
	agent ssh-add -l | grep -q kept || fail "the key is gone"
	signs || fail "it signs no more"
done
say "three generations"
