"""An interactive bash on a pty of ours, and a job of its that is checkpointed, killed and restarted as another job.

terminal.py BUILD IMAGES
"""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

build, images = sys.argv[1:3]
PROMPT = "P-R-O-M-P-T "
JOB = r"""
trap 'echo "int $((++n))"' INT
trap 'echo winch' WINCH
echo ready $$
while :; do
	if read -r line; then
		[ "$line" = end ] && exit 7
		echo "got $line"
	fi
done
"""


class Terminal:
    def __init__(self):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1=PROMPT, TERM="dumb", HISTFILE="")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])

    def until(self, pattern):
        """Reads until the pattern has come; what was behind it is left for the next."""
        end = time.monotonic() + 30
        while not (found := re.search(pattern, self.text)):
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise SystemExit(f"never came: {pattern!r}; what came: {self.text!r}")
            self.text += os.read(self.fd, 65536).decode(errors="replace")
        self.text = self.text[found.end():]
        return found

    def type(self, text):
        os.write(self.fd, text.encode())

    def command(self, text):
        self.until(re.escape(PROMPT))
        self.type(text + "\n")

    def reads(self):
        """The job sleeps in read(0, ...): a trap that came just before would wait for the line."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                with open(f"/proc/{self.foreground()}/syscall", encoding="ascii") as f:
                    if f.read().startswith("0 0x0 "):
                        return
            except OSError:
                pass

    def foreground(self):
        return os.tcgetpgrp(self.fd)


def job(t, what):
    """The job in the foreground answers as it should."""
    t.type("hello\n")
    t.until("got hello")
    t.reads()
    t.type("\x03")
    number = int(t.until(r"int (\d+)")[1])
    t.type("again\n")
    t.until("got again")
    assert number == job.interrupts + 1, f"{what}: interrupt {number} after {job.interrupts}"
    job.interrupts = number
    t.reads()
    job.columns += 1
    fcntl.ioctl(t.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90 + job.columns, 0, 0))
    t.type("\n")
    t.until("winch")
    t.type("\x1a")
    t.until("Stopped")
    t.command("echo alive $((6*7))")
    t.until("alive 42")
    t.command("fg")
    t.type("after fg\n")
    t.until("got after fg")
    t.type("\x1a")
    t.until("Stopped")
    t.command("bg")
    # it reads from the background, and stops anew
    t.command("")
    t.command("while [ -n \"$(jobs -r)\" ]; do sleep 0.01; done; echo it stopped")
    t.until("\nit stopped")
    t.command("fg")
    t.type("after bg\n")
    t.until("got after bg")
    print(what, "well")


job.interrupts = job.columns = 0
term = Terminal()
with open("job.sh", "w", encoding="ascii") as f:
    f.write(JOB)
term.command(f"LD_PRELOAD={build}/libskshim.so SKSHIM_DIR={images} bash job.sh")
root = int(term.until(r"ready (\d+)")[1])
job(term, "first")
for generation in range(2):
    pid = term.foreground()
    said = subprocess.run([f"{build}/skshim", "checkpoint", str(pid)], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said
    job(term, f"gone on {generation}")
    os.kill(pid, 9)
    job.interrupts -= 1
    term.command(f"{build}/skshim-restart {images}")
    job(term, f"restarted {generation}")
term.type("end\n")
term.command("echo status $?")
term.until("status 7")
term.command(f"(sh -c '{build}/skshim-restart {images}; echo status $?; read x; echo then $x')")
term.type("end\n")
term.until("status 7")
term.type("input\n")
term.until("then input")
term.command(f"{build}/skshim-restart {images} &")
term.until(r"\[1\] \d+")
term.command("while [ -n \"$(jobs -r)\" ]; do sleep 0.01; done; echo it stopped")
term.until("\nit stopped")
term.command("fg")
job.interrupts -= 1
job(term, "from the background")
term.type("end\n")
term.command("echo status $?")
term.until("status 7")
term.command("exit")
os.waitpid(term.pid, 0)
