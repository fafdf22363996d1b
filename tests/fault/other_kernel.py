#!/usr/bin/python3
"""An image made on another kernel: its vdso has other functions, and what it had leads to the running kernel's."""
import os
import shutil
import subprocess
import tempfile

import lib
from lib import B, check, main, one_line, say, tree_hash, until

PATCH = f'{B}/tests/fault/patch'


class Clocks:
    """clocks.c under the shim; restarted images are said to be another kernel's."""

    def __init__(self, program=f'{B}/tests/fault/clocks'):
        self.dir = tempfile.mkdtemp(prefix='skf.')
        self.images = f'{self.dir}/images'
        self.program = program
        self.out = open(f'{self.dir}/out', 'w+')
        self.process = None
        self.pid = 0

    def start(self, *command, **env):
        self.process = subprocess.Popen(command, env=dict(os.environ, **env), cwd=self.dir, stdin=subprocess.DEVNULL,
                                        stdout=self.out, stderr=self.out)

    def begin(self):
        self.start(self.program, self.dir, LD_PRELOAD=f'{B}/libskshim.so', SKSHIM_DIR=self.images)
        self.pid = self.process.pid
        self.runs('it begins')

    def looks(self):
        try:
            return int(open(f'{self.dir}/looks').read() or 0)
        except OSError:
            return 0

    def runs(self, what):
        """Its threads go on, and nothing they read was wrong."""
        before = self.looks()
        until(what, lambda: self.looks() > before + 20 or self.process.poll() is not None)
        check(self.process.poll() is None, f'{what}: ended with {self.process.poll()}:', open(f'{self.dir}/out').read())

    def outer(self):
        """Its pid as seen from here."""
        return lib.inside(self.pid)

    def checkpoint(self):
        p = subprocess.run([f'{B}/skshim', 'checkpoint', str(until('its pid', self.outer))], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=lib.LIMIT)
        check(p.returncode == 0, 'checkpoint:', p.stdout, p.stderr)
        return p.stdout.strip()

    def kill(self):
        lib.kill_below()
        self.process.wait()

    def patch(self, image, *what):
        check(subprocess.run([PATCH, image, *what]).returncode == 0, 'patch')

    def vdsos(self):
        return [line for line in open(f'/proc/{until("its pid", self.outer)}/maps') if '[vdso]' in line]

    def refused(self, image, *words):
        before = tree_hash(image)
        p = subprocess.run([f'{B}/skshim-restart', image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, timeout=lib.LIMIT, cwd=self.dir)
        check(p.returncode == 125 and p.stdout == '', 'ended with', p.returncode, p.stdout, p.stderr)
        line = one_line(p.stderr)
        for word in words:
            check(word in line, f'{word!r} is not in: {line}')
        check(tree_hash(image) == before, 'the image has changed')
        say(f'  {line}')


def generations():
    """each generation on another kernel than the one before"""
    c = Clocks()
    c.begin()
    for generation in range(4):
        for _ in range(5):
            image = c.checkpoint()
            c.runs('it goes on')
        first = c.vdsos()
        c.kill()
        if generation != 2:       # that one is restarted on its own kernel
            c.patch(image, 'vdso')
        c.start(f'{B}/skshim-restart', image)
        c.runs('restarted')
        now = c.vdsos()
        check(len(now) == 1 and (now == first) == (generation == 2), 'the vdso was', first, 'is', now)
    c.kill()
    shutil.rmtree(c.dir)


def unknown():
    """a function that this kernel doesn't have, and no system call stands for"""
    c = Clocks()
    c.begin()
    image = c.checkpoint()
    c.kill()
    c.patch(image, 'vdso', '__vdso_time')
    c.refused(image, 'X_vdso_time of the vdso', 'is unknown to this kernel')
    shutil.rmtree(c.dir)


def inside():
    """handlers that interrupted the vdso's functions return there"""
    c = Clocks()
    open(f'{c.dir}/handlers', 'w').close()
    c.begin()
    for _ in range(10):
        image = c.checkpoint()
        c.kill()
        c.patch(image, 'vdso')
        c.start(f'{B}/skshim-restart', image, SKSHIM_LOG='info')
        c.runs('restarted')
        c.checkpoint()
    c.kill()
    shutil.rmtree(c.dir)


main(generations, unknown, inside)
