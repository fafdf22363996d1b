"""Uses SIGUSR2 in every way Python has; prints what it sees. With "serve": does what its input says."""

import os
import signal
import subprocess
import sys
import threading
import time

USR2 = signal.SIGUSR2
taken = []


def note(number, _frame):
    taken.append(number)


def later(action=lambda: os.kill(os.getppid(), USR2)):
    """A child that sends SIGUSR2 in a moment."""
    pid = os.fork()
    if pid == 0:
        time.sleep(0.1)
        action()
        os._exit(0)
    return pid


def blocked():
    return USR2 in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def serve():
    signal.signal(USR2, note)
    signal.siginterrupt(USR2, False)
    for line in sys.stdin:
        word = line.strip()
        if word == "take":
            os.kill(os.getpid(), USR2)
        elif word == "block":
            signal.pthread_sigmask(signal.SIG_BLOCK, [USR2])
        elif word == "unblock":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [USR2])
        elif word == "wait":
            print("waited for", signal.sigwait([USR2]))
        pending = [s.name for s in signal.sigpending()]
        print(word, len(taken), set(taken), blocked(), pending, signal.getsignal(USR2) is note, flush=True)


def handlers():
    print("at first", signal.getsignal(USR2))
    signal.signal(USR2, note)
    os.kill(os.getpid(), USR2)
    signal.raise_signal(USR2)
    signal.pthread_kill(threading.main_thread().ident, USR2)
    print("handler", taken)
    pid = later()
    time.sleep(0.3)
    os.waitpid(pid, 0)
    print("while asleep", len(taken))
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    os.kill(os.getpid(), USR2)
    print("wakeup descriptor", os.read(reader, 10))
    signal.set_wakeup_fd(-1)


def waiting():
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR2])
    print("blocked", blocked(), 64 in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    pid = later()
    print("sigwait", signal.sigwait([USR2]))
    os.waitpid(pid, 0)
    pid = later()
    info = signal.sigtimedwait([USR2], 10)
    print("sigtimedwait", info.si_signo, info.si_pid == pid, info.si_code)
    os.waitpid(pid, 0)
    for _ in range(3):
        os.kill(os.getpid(), USR2)
    print("pending", signal.sigpending(), len(taken))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [USR2])
    print("taken", len(taken))


class Raised(Exception):
    pass


def main_thread():
    """The handler runs in the main thread, which sleeps, though others are about."""

    def fail(_number, _frame):
        raise Raised

    others = [threading.Thread(target=time.sleep, args=(1,)) for _ in range(4)]
    for other in others:
        other.start()
    signal.signal(USR2, fail)
    pid = later()
    start = time.monotonic()
    try:
        time.sleep(10)
    except Raised:
        print("main thread", time.monotonic() - start < 5)
    os.waitpid(pid, 0)
    for other in others:
        other.join()


def children():
    kill = "import os, signal; print(signal.getsignal(12), flush=True); os.kill(os.getpid(), 12)"
    for action in signal.SIG_DFL, signal.SIG_IGN:
        signal.signal(USR2, action)
        print(subprocess.run([sys.executable, "-c", kill], check=False).returncode)
    signal.signal(USR2, note)
    print(os.system("kill -USR2 $$"), os.system("trap 'echo trapped' USR2; kill -USR2 $$"))
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR2])
    show = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    print(subprocess.run([sys.executable, "-c", show], check=False).returncode)


if sys.argv[1:] == ["serve"]:
    serve()
else:
    sys.stdout.reconfigure(line_buffering=True)
    handlers()
    waiting()
    main_thread()
    children()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [USR2])
    signal.signal(USR2, signal.SIG_DFL)
    os.kill(os.getpid(), USR2)
    print("still alive")
