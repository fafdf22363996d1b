#!/usr/bin/python3
"""The n-th system call of a checkpoint, of a restart fails, for n = 1, 2, ... until a run meets none.

Calls that fail are either made do without, or the whole fails with one line; nothing leaks, and the program
goes on; the image says the same as one of a run without a fault. Some n are tried, farther apart as they grow, for a
few seconds; ALL=1 in the environment tries every one."""
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import time

import lib
from lib import B, Target, check, main, one_line, say, until

FAULTY = f'{B}/fault'
SOCKET, FSTATAT = 41, 262
ALL = 'ALL' in os.environ
SECONDS = 3600 if ALL else 6


class Control:
    """The page sys_fault.c looks at."""

    def __init__(self, path):
        self.path = path
        with open(path, 'w+b') as f:
            f.write(bytes(4096))
            f.flush()
            self.page = mmap.mmap(f.fileno(), 4096)

    def arm(self, n):
        self.page[0:16] = struct.pack('4I', n, 0, 0, 0)

    def result(self):
        """How many calls were made, and which failed how."""
        _, count, nr, error = struct.unpack('4I', self.page[0:16])
        self.arm(0)
        return count, nr, os.strerror(error) if error else ''


def numbers():
    n, began = 1, time.monotonic()
    while time.monotonic() - began < SECONDS:
        yield n
        n += 1 if ALL else 1 + n // 8


# What differs between two looks at the same state: times, places, and numbers the kernel gives; and what is left out where it
# can't be looked at (boot_id, born, cpu, cred_lives).
PASSING = {'directory', 'realtime_ns', 'monotonic_ns', 'boottime_ns', 'mtime_ns', 'when', 'start_time', 'generation', 'members',
           'boot_id', 'born', 'cpu', 'cred_lives', 'ino', 'vfs', 'file_ino', 'order', 'peer', 'cookie', 'mate', 'mate_object', 'joined', 'obj', 'object', 'objects', 'text', 'ppid', 'resume_sp',
           'files', 'vmas', 'pages', 'stacks', 'ledger', 'syscall', 'pc', 'sp', 'fp', 'frame', 'pgid', 'sid', 'session_gone',
           'group_gone', 'leader_tid'}


MAP_NORESERVE = 0x4000


def flat(value, at=''):
    """Every leaf of a decoded JSON text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in PASSING:
                yield from flat(inner, f'{at}.{key}')
    elif isinstance(value, list):
        # libc's own signal is borrowed where a thread doesn't answer at once (preload/unblock.c)
        for i, inner in enumerate(v for v in value if not (isinstance(v, dict) and v.get('sig') == 33)):
            yield from flat(inner, f'{at}[{i}]')
    else:
        yield at, value


def regions(task):
    """What is mapped, neighbours of one kind joined; the shim's own memory and the system's left out."""
    found = []
    for v in sorted(task['vmas'], key=lambda v: v['start']):
        kind = v['prot'], v['map_flags'], v['content'], v['name'], v['advice']
        if 'skshim' in v['name'] or v['name'].startswith('[v') or v['end'] - v['start'] > 3 << 20 and not v['name']:
            continue
        # where the threads stand: smaller where there was no room for more (preload/quiesce.c)
        if not v['name'] and v['prot'] == 3 and v['map_flags'] & MAP_NORESERVE:
            continue
        if found and found[-1][1] == v['start'] and found[-1][2] == kind:
            found[-1] = found[-1][0], v['end'], kind
        else:
            found.append((v['start'], v['end'], kind))
    return {f'memory {start:x}-{end:x}': kind for start, end, kind in found if kind[3] or not kind[4]}


def state(image):
    """What an image says that must be the same in another of the same state."""
    p = subprocess.run([f'{B}/skshim', 'inspect', '--json', image], capture_output=True, text=True)
    check(p.returncode == 0, f'inspect: {p.stderr}')
    whole = json.loads(p.stdout)
    for process in whole['processes']:
        process['task']['threads'].sort(key=lambda t: t['tid'])     # whoever took the signal is the first
    found = dict(flat(whole))
    for o in whole['objects']:
        if 'path' in o['record'] and o['record']['path'].endswith('/restart'):
            continue
        for holder in o['holders']:
            found.update(flat(o, f"pid {holder['pid']} fd {holder['fd']}"))
    for process in whole['processes']:
        found.update(regions(process['task']))
    return found


def same(what, before, now):
    differ = [f'{k}: was {before.get(k)}, is {now.get(k)}' for k in sorted(set(before) | set(now)) if before.get(k) != now.get(k)]
    check(not differ, f'{what}: images of the same state differ:', '; '.join(differ[:20]))


def summary(said, n):
    for (nr, error, line), count in sorted(said.items()):
        say(f'  call {nr} ({error}), {count} x: {line}')
    say(f'  {n} calls')


def checkpoint():
    """a checkpoint"""
    control = Control(f'{os.environ.get("TMPDIR", "/tmp")}/skf-control.{os.getpid()}')
    t = Target(mib=1, shim=f'{FAULTY}/libskshim.so', env={'SKSHIM_FAULT': control.path})
    plain = state(t.must_checkpoint())
    said, met_none = {}, False
    for n in numbers():
        fds, size, earlier = t.maps()[1], t.maps()[0], sorted(os.listdir(t.images))
        control.arm(n)
        status, out, err = t.checkpoint()
        count, nr, error = control.result()
        what = f'call {n}, number {nr}: {error}'
        if status:
            check(status == 1 and 'cannot checkpoint: ' in one_line(err), f'{what}: {status}: {out}{err}')
            check(error, f'{what}: without a fault: {err}')
            check(sorted(os.listdir(t.images)) == earlier, f'{what}: {earlier} became {os.listdir(t.images)}')
        else:
            verify = subprocess.run([f'{B}/skshim', 'verify', t.images], capture_output=True, text=True)
            check(verify.returncode == 0, f'{what}: a bad image: {verify.stderr}')
            # what can't be looked at is taken for deleted: its contents are in the image instead; and without a fresh socket
            # to compare with all options are
            if nr not in (FSTATAT, SOCKET):
                same(what, plain, state(f'{t.images}/latest'))
        key = nr, error, 'made do without' if status == 0 else err.split('cannot checkpoint: ')[1].strip().replace(str(t.pid), 'N')[:90]
        said[key] = said.get(key, 0) + 1
        t.same_descriptors(what, fds)
        t.unchanged(what)
        check(t.maps()[0] <= size, f'{what}: mapped {size} bytes before, {t.maps()[0]} now')
        until(f'{what}: only the program is left: {lib.below()}', lambda: lib.below() == {t.pid})
        if not error and status == 0:
            met_none = True
            break
    summary(said, n)
    check(met_none or not ALL, 'no run without a fault')
    t.must_checkpoint()
    t.unchanged('afterwards')
    t.kill()
    t.restarted('afterwards')
    t.remove()
    os.unlink(control.path)


def outside_pid(inner):
    """What the process is here that is `inner` in a pid namespace of the restart's."""
    for pid in lib.below():
        with open(f'/proc/{pid}/status') as f:
            if f'\t{inner}\n' in next(line for line in f if line.startswith('NSpid:')):
                return pid
    raise lib.Failure(f'no process is {inner}')


def restart():
    """a restart"""
    control = Control(f'{os.environ.get("TMPDIR", "/tmp")}/skf-control.{os.getpid()}')
    t = Target(mib=1, shim=f'{FAULTY}/libskshim.so', env={'SKSHIM_FAULT': control.path})
    plain = state(t.must_checkpoint())
    t.kill()
    inner = t.pid
    image = f'{t.dir}/image'
    shutil.copytree(f'{t.images}/000001', image)
    said, met_none = {}, False
    before, image_before = lib.outside(f'{t.dir}/tmp'), lib.tree_hash(image)
    for n in numbers():
        control.arm(n)
        errors = open(f'{t.dir}/restart', 'w+')
        p = subprocess.Popen([f'{FAULTY}/skshim-restart', image], env=t.env, cwd=t.work,
                             stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        until(f'call {n}: an answer or the end', lambda: t.try_ask() or p.poll() is not None)
        status = p.poll()
        count, nr, error = control.result()
        what = f'call {n}, number {nr}: {error}'
        line = open(f'{t.dir}/restart').read()
        if status is None:
            t.unchanged(what)
            t.pid = outside_pid(inner)
            t.must_checkpoint()
            same(what, plain, state(f'{t.images}/latest'))
        else:
            check(status == 125 and error and 'cannot restart: ' in one_line(line), f'{what}: {status}: {line}')
            until(f'{what}: nothing is left', lambda: not lib.below())
            now = lib.outside(f'{t.dir}/tmp')
            check(not now - before, f'{what}: left {now - before}')
        lib.kill_below()
        p.wait()
        check(lib.tree_hash(image) == image_before, f'{what}: the image has changed')
        key = nr, error, 'made do without' if status is None else line.split('cannot restart: ')[1].strip().replace(str(inner), 'N')[:90]
        said[key] = said.get(key, 0) + 1
        before = lib.outside(f'{t.dir}/tmp')
        if not error and status is None:
            met_none = True
            break
    summary(said, n)
    check(met_none or not ALL, 'no run without a fault')
    t.pid = inner
    t.restarted('afterwards', image)
    t.remove()
    os.unlink(control.path)


if not os.path.isdir(FAULTY):
    say('not built: make fault')
    sys.exit(lib.SKIPPED)
main(checkpoint, restart)
