"""lib - what the tests of failures share

A test is python3 tests/fault/NAME.py in conduct's "plain" way: a network,
/dev/shm and terminals of its own (as root), and nothing it starts outlives
it. B names the build. say() what is being tried; a Failure ends the test.
"""
import ctypes
import hashlib
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
B = os.environ['B']
TARGET = f'{B}/tests/fault/target'
LIMIT = 20
SKIPPED = 77


class Failure(Exception):
    pass


def say(*words):
    print(*words, flush=True)


def check(truth, *words):
    if not truth:
        raise Failure(' '.join(map(str, words)))


def become_subreaper():
    """Whatever is left without a parent becomes our child, and is seen by left()."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


become_subreaper()


def below(top=None):
    """pids below `top` (we); zombies of ours are reaped, those of others don't count."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    parents = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat') as f:
                fields = f.read().rpartition(')')[2].split()
        except OSError:
            continue
        if fields[0] != 'Z' or int(fields[1]) == os.getpid():
            parents[int(pid)] = int(fields[1])
    found, more = set(), {top or os.getpid()}
    while more:
        more = {p for p, parent in parents.items() if parent in more and p not in found}
        found |= more
    return found


def inner(pid):
    """The process's number in its own pid namespace; 0 when it is gone."""
    try:
        with open(f'/proc/{pid}/status') as f:
            return next((int(line.split()[-1]) for line in f if line.startswith('NSpid:')), 0)
    except OSError:
        return 0


def inside(number, top=None):
    """Of a restart below `top`, the pid out here of the program's process with that number; None: it isn't there yet."""
    for pid in below(top):
        try:
            with open(f'/proc/{pid}/comm') as f:
                if inner(pid) == number and f.read() != 'skshim-restart\n':
                    return pid
        except OSError:
            pass
    return None


def named(start, top=None):
    """A pid below `top` whose name begins like that, or None; some come and go meanwhile."""
    for pid in below(top):
        try:
            with open(f'/proc/{pid}/comm') as f:
                if f.read().startswith(start):
                    return pid
        except OSError:
            pass
    return None


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill_below():
    """Until nothing is there."""
    until('all is gone', lambda: not [kill(pid) for pid in below()])


def states(pids):
    """Where they stand, for messages."""
    text = ''
    for pid in pids:
        try:
            text += f"{pid} {open(f'/proc/{pid}/comm').read().strip()} {open(f'/proc/{pid}/wchan').read()} {open(f'/proc/{pid}/syscall').read()}"
        except OSError:
            pass
    return text


def until(what, test, limit=20):
    """The value of test() as soon as there is one; nothing tells when, so it is asked again."""
    end = time.monotonic() + limit
    while True:
        value = test()
        if value:
            return value
        check(time.monotonic() < end, f'never came: {what}')
        time.sleep(0.005)


def tree_hash(top):
    """Of every file below top, with its name, size and time of change."""
    h = hashlib.sha256()
    for where, dirs, files in os.walk(top):
        dirs.sort()
        for name in sorted(files + [d for d in dirs if os.path.islink(f'{where}/{d}')]):
            path = f'{where}/{name}'
            st = os.lstat(path)
            h.update(f'{path} {st.st_mode} {st.st_size} {st.st_mtime_ns}\n'.encode())
            if os.path.islink(path):
                h.update(os.readlink(path).encode())
            elif stat.S_ISREG(st.st_mode) and os.access(path, os.R_OK):
                h.update(open(path, 'rb').read())
    return h.hexdigest()


def outside(*dirs):
    """What a failure must not change: shared memory (where no other test has its own there), mounts, files in `dirs`."""
    found = set(open('/proc/self/mountinfo'))
    for top in (('/dev/shm',) if 'CONDUCT_ALONE' in os.environ else ()) + dirs:
        for where, names, files in os.walk(top):
            for name in files + names:
                try:
                    st = os.lstat(f'{where}/{name}')
                except OSError:
                    continue
                if st.st_uid == os.getuid() and (top != '/dev/shm' or name.startswith('skshim')):
                    found.add(f'{where}/{name} {st.st_ino}')
    return found


def one_line(text):
    """The single line of a failure."""
    lines = text.splitlines()
    check(len(lines) == 1 and lines[0].startswith('skshim: ') and text.endswith('\n'), 'expected one line, got:', repr(text))
    return lines[0]


class Target:
    """target.c under the shim, in a directory of its own."""

    def __init__(self, mib=1, program=TARGET, env=None, preexec=None, shim=None, threads=1, before=(), images=None):
        self.dir = tempfile.mkdtemp(prefix='skf.')
        self.images = images or f'{self.dir}/images'
        self.work = f'{self.dir}/work'
        self.log = f'{self.dir}/log'
        os.mkdir(self.work)
        os.mkdir(f'{self.dir}/tmp')
        self.env = dict(os.environ, TMPDIR=f'{self.dir}/tmp', SKSHIM_DIR=self.images, SKSHIM_LOG=f'warn:{self.log}', **env or {})
        run = dict(self.env, LD_PRELOAD=shim or f'{B}/libskshim.so')
        self.out = open(f'{self.dir}/out', 'w')
        self.process = subprocess.Popen([*before, program, self.work, str(mib), str(threads)], cwd=self.work, env=run,
                                        stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out, preexec_fn=preexec)
        self.pid = self.process.pid
        until('the program is ready', lambda: os.path.exists(f'{self.work}/sock') or self.process.poll() is not None)
        first = until('it answers', lambda: self.try_ask() or self.process.poll() is not None)
        check(first is not True, 'the program ended:', open(f'{self.dir}/out').read())
        self.first = first

    def try_ask(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(LIMIT)
            try:
                s.connect(f'{self.work}/sock')
                text = s.makefile().read()    # to its end: then it is closed
            except OSError:
                return None
        return dict(word.split('=') for word in text.split()) or None

    def ask(self):
        answer = self.try_ask()
        check(answer, 'the program does not answer')
        return answer

    def unchanged(self, when):
        """As it was at first, and its threads go on."""
        now = self.try_ask()
        check(now, f'{when}: the program does not answer; it ended with {self.process.poll()}:', open(f'{self.dir}/out').read(),
              states({self.pid}))
        for key, value in self.first.items():
            if key != 'beat':
                check(now[key] == value, f'{when}: {key} was {value}, is {now[key]}')
        until(f'{when}: its threads go on', lambda: self.ask()['beat'] != now['beat'])

    def maps(self):
        """How many mappings, and the process's descriptors with what they are."""
        fds = {}
        for fd in os.listdir(f'/proc/{self.pid}/fd'):
            try:
                fds[fd] = os.readlink(f'/proc/{self.pid}/fd/{fd}')
            except OSError:
                pass
        with open(f'/proc/{self.pid}/maps') as f:
            # neighbours may have been joined or parted; what is mapped must be the same
            return sum(int(line.split()[0].split('-')[1], 16) - int(line.split()[0].split('-')[0], 16) for line in f), fds

    def same_descriptors(self, what, before):
        """The last connection may still be on its way out."""
        end = time.monotonic() + 2
        while self.maps()[1] != before:
            check(time.monotonic() < end, f'{what}: descriptors were {before}, are {self.maps()[1]}')
            time.sleep(0.005)

    def checkpoint(self, *options, limit=LIMIT):
        p = subprocess.run([f'{B}/skshim', 'checkpoint', *options, str(self.pid)], env=self.env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit)
        return p.returncode, p.stdout, p.stderr

    def must_checkpoint(self, *options):
        status, out, err = self.checkpoint(*options)
        check(status == 0, f'skshim checkpoint ended with {status}: {out}{err}')
        return out.strip()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def restart(self, image=None, before=(), env=None, options=(), limit=LIMIT, preexec=None, program=None):
        """A restart that fails: its status and standard error."""
        p = subprocess.run([*before, program or f'{B}/skshim-restart', *options, image or self.images], env=dict(self.env, **env or {}),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit,
                           cwd=self.work, preexec_fn=preexec)
        return p.returncode, p.stdout, p.stderr

    def refused(self, what, *words, image=None, before=(), options=(), hold=(), quiet=False, env=None, preexec=None):
        """A restart must be refused with one line that has all of `words`, and leave no trace."""
        image = image or self.images
        image_before, out_before = tree_hash(image), outside(self.work, f'{self.dir}/tmp')
        procs = below()
        status, out, err = self.restart(image, before, options=options, env=env, preexec=preexec)
        check(status == 125, f'{what}: ended with {status}: {out}{err}')
        line = one_line(err)
        check(out == '', f'{what}: said {out!r}')
        for word in words:
            check(re.search(word, line), f'{what}: {word!r} is not in: {line}')
        left = below() - procs
        if left:
            time.sleep(0.2)
            left = below() - procs
        check(not left, f'{what}: left processes {left}')
        now = outside(self.work, f'{self.dir}/tmp')
        check(not now - out_before, f'{what}: left', now - out_before)
        # shared memory of the dead is swept away
        check(not [f for f in out_before - now if '/dev/shm/' not in f], f'{what}: gone', out_before - now)
        check(tree_hash(image) == image_before, f'{what}: the image has changed')
        if not quiet:
            say(f'  {what}: {line}')
        return line

    def restarted(self, what, image=None, preexec=None):
        """A restart must work; ends the program again."""
        errors = open(f'{self.dir}/restart', 'w+')
        p = subprocess.Popen([f'{B}/skshim-restart', image or self.images], env=self.env, stdin=subprocess.DEVNULL,
                             stdout=errors, stderr=errors, cwd=self.work, preexec_fn=preexec)
        try:
            until(f'{what}: the restarted program answers', lambda: self.try_ask() or p.poll() is not None, LIMIT)
            check(p.poll() is None, f'{what}: the restart ended with {p.poll()}:', open(f'{self.dir}/restart').read())
            self.unchanged(what)
        finally:
            kill_below()
            p.wait()

    def remove(self):
        self.kill()
        self.out.close()
        shutil.rmtree(self.dir, ignore_errors=True)


ORPHAN = '''
import os, signal
if not os.fork():
    if os.fork():
        os._exit(0)
    while True:
        signal.pause()
os.wait()
open("ready", "w").close()
while True:
    signal.pause()
'''


def stopped_orphan(target):
    """A tree with a process whose parent is gone: the directory where its image is, and its root's pid."""
    top = f'{target.dir}/orphan'
    others = below()
    os.mkdir(top)
    p = subprocess.Popen([sys.executable, '-c', ORPHAN], cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, env=dict(target.env, LD_PRELOAD=f'{B}/libskshim.so', SKSHIM_DIR=f'{top}/images'))
    until('the orphan', lambda: os.path.exists(f'{top}/ready'))
    said = subprocess.run([f'{B}/skshim', 'checkpoint', '--stop', str(p.pid)], env=target.env, capture_output=True, text=True)
    check(said.returncode == 0, said.stderr)
    p.wait()
    until('the end of the orphan', lambda: not below() - others)
    return top, p.pid


def main(*tests):
    """Runs them; each a function without arguments that returns a reason to be skipped, or None."""
    signal.alarm(3600 if 'ALL' in os.environ else 600)
    reasons = []
    for test in tests:
        if len(sys.argv) > 1 and sys.argv[1] not in test.__name__:
            continue
        say(f'{test.__name__}: {(test.__doc__ or "").strip()}')
        try:
            reason = test()
        except (Failure, subprocess.TimeoutExpired) as e:
            say(f'FAILED: {test.__name__}: {e}')
            sys.exit(1)
        if reason:
            say(f'  left out: {reason}')
            reasons.append(reason)
    if tests and len(reasons) == len(tests):
        sys.exit(SKIPPED)
