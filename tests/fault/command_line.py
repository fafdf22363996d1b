#!/usr/bin/python3
"""What is said and returned on the command line, and the places images may be at."""
import json
import os
import re
import signal
import stat
import subprocess

import lib
from lib import B, Target, check, main, one_line, say, until

target = Target(mib=0)


def run(*words, env=None, **more):
    """Status, standard output, standard error."""
    p = subprocess.run(words, env={**target.env, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=lib.LIMIT, **more)
    return p.returncode, p.stdout, p.stderr


def settings():
    """a variable that means nothing stops the program at its start"""
    for name, values in {
        'SKSHIM_DIR': ['', '/x' * 2500], 'SKSHIM_SIGNAL': ['', 'FOO', 'KILL', '64', '0'], 'SKSHIM_KEEP': ['', '0', '-1', '2x'],
        'SKSHIM_FILES': ['', 'all'], 'SKSHIM_FILES_MAX': ['', '0', '-1', 'M', '1X', '1KK', '99999999T'],
        'SKSHIM_AFTER': ['', 'stop', 'exit:', 'exit:256'], 'SKSHIM_BACKTRACE': ['', '2'],
        'SKSHIM_LOG': ['', 'loud', 'warn:', f'warn:{target.dir}/nowhere/log', f'warn:{target.dir}'],
    }.items():
        for value in values:
            status, out, err = run('/bin/echo', 'ran', env={'LD_PRELOAD': f'{B}/libskshim.so', name: value})
            check(status == 125 and out == '' and name in one_line(err), f'{name}={value[:40]}: {status} {out}{err}')


def program_missing():
    """a program that can't be executed: 126, 127"""
    for words in ([f'{B}/skshim', 'run', '--'], [f'{B}/skshim-restart', '--or-run', f'{target.dir}/none', '--']):
        for program, expected in ((f'{target.dir}/nowhere', 127), ('/etc/passwd', 126)):
            status, out, err = run(*words, program)
            check(status == expected and out == '' and program in one_line(err), words, program, status, out, err)


def questions():
    """checkpoint --json, of what isn't there too; verify, inspect"""
    status, out, err = run(f'{B}/skshim', 'checkpoint', '--json', str(target.pid))
    answer = json.loads(out)
    check(status == 0 and err == '' and answer['result'] == 'complete' and answer['pid'] == target.pid, status, out, err)
    check(answer['directory'] == f'{target.images}/000001', answer)
    for f in [answer['directory']] + [f"{answer['directory']}/{f}" for f in os.listdir(answer['directory'])]:
        mode = stat.S_IMODE(os.stat(f).st_mode)
        check(mode == (0o700 if os.path.isdir(f) else 0o600), f, oct(mode))
    status, out, err = run(f'{B}/skshim', 'checkpoint', '--json', '999999999')
    check(status == 1 and json.loads(out)['result'] == 'failed' and json.loads(out)['error'] in one_line(err), status, out, err)
    for place in (target.images, f'{target.images}/latest', answer['directory']):
        check(run(f'{B}/skshim', 'verify', place)[0] == 0, 'verify', place)
    json.loads(run(f'{B}/skshim', 'inspect', '--json', target.images)[1])
    for command in ('verify', 'inspect'):
        status, out, err = run(f'{B}/skshim', command, target.work)
        check(status == 1 and out == '' and one_line(err), command, status, out, err)


def stopped():
    """checkpoint --stop: on disk, and the program is gone"""
    status, out, err = run(f'{B}/skshim', 'checkpoint', '--stop', str(target.pid))
    check(status == 0 and out == f'{target.images}/000002\n' and err == '', status, out, err)
    check(target.process.wait(lib.LIMIT) == 0, 'it ended with', target.process.returncode)


def phases():
    """--detach, --status-fd, --pidfile"""
    r, w = os.pipe()
    status, out, err = run(f'{B}/skshim-restart', '-d', '--status-fd', str(w), '--pidfile', f'{target.dir}/pid', target.images,
                           pass_fds=[w], cwd=target.work)
    os.close(w)
    check(status == 0 and out == '', status, out, err)
    with os.fdopen(r) as f:
        told = f.read().split()
    check(told == ['loading', 'checking', 'building', 'processes', 'memory', 'running'], told)
    until('it answers', target.try_ask)
    pid = int(open(f'{target.dir}/pid').read())
    check(open(f'/proc/{pid}/comm').read() == 'target\n', 'the pid file says', pid)
    lib.kill_below()


def foreground():
    """--or-run with an image: its exit status is the program's, signals are passed on"""
    p = subprocess.Popen([f'{B}/skshim-restart', '--or-run', target.images, '--', '/bin/false'], env=target.env, cwd=target.work,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until('it answers', target.try_ask)
    p.send_signal(signal.SIGTERM)
    check(p.wait(lib.LIMIT) == 128 + signal.SIGTERM, 'ended with', p.returncode)


def no_latest():
    """Killed behind its first checkpoint, before the link was made: the checkpoint counts"""
    link, to = f'{target.images}/latest', os.readlink(f'{target.images}/latest')
    os.unlink(link)
    status, _, err = run(f'{B}/skshim', 'verify', target.images)
    check(status == 0, status, err)
    status, out, err = run(f'{B}/skshim-restart', '--plan', '--or-run', target.images, '--', 'touch', f'{target.dir}/touched')
    check(status == 0 and 'touch' not in out, status, out, err)
    os.symlink(to, link)


def or_run():
    """--or-run without one starts the program"""
    status, out, err = run(f'{B}/skshim-restart', '--or-run', f'{target.dir}/new', '--', 'sh', '-c', 'echo $SKSHIM_DIR; exit 7')
    check(status == 7 and out == f'{target.dir}/new\n' and err == '', status, out, err)
    touch = f'{target.dir}/touched'
    status, out, err = run(f'{B}/skshim-restart', '--plan', '--or-run', f'{target.dir}/none', '--', 'touch', touch)
    check(status == 0 and 'touch is started' in out and not os.path.exists(touch), status, out, err)
    status, out, err = run(f'{B}/skshim-restart', '--or-run', '--sockets-only', target.images, '--', 'touch', touch)
    check(status == 125 and 'exclude' in one_line(err) and not os.path.exists(touch), status, out, err)


def sockets_only():
    """the sockets at their numbers, listeners announced from number 3 on"""
    show = 'echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] || echo wrong pid; for f in /proc/$$/fd/*; do ' \
           '[ -S $f ] && echo ${f##*/}; done'
    status, out, err = run(f'{B}/skshim-restart', '--sockets-only', target.images, '--', 'bash', '-c', show, cwd=target.work)
    lines = out.split('\n')
    check(status == 0 and re.fullmatch(r'3 fd\d+:fd\d+:fd\d+', lines[0]), status, out, err)
    listeners = re.findall(r'\d+', lines[0])[1:]
    check(set(lines[1:]) >= {'3', '4', '5', *listeners} and 'wrong pid' not in lines, out)


def places():
    """directories with odd names; links; things in the way"""
    base = f'{target.dir}/places'
    os.makedirs(f'{base}/real')
    os.symlink(f'{base}/real', f'{base}/link')
    os.symlink(f'{base}/nowhere', f'{base}/dangling')
    os.symlink('loop', f'{base}/loop')
    open(f'{base}/file', 'w').close()
    for name, fails in ((' a  b\n"\\', None), ('\u00e4\u4e2d', None), ('x' * 255, None), ('link', None), ('deep/er/still', None),
                        ('x' * 256, 'File name too long'), ('dangling', 'No such file'), ('loop/x', 'symbolic links'),
                        ('file/x', 'Not a directory')):
        t = Target(mib=0, images=f'{base}/{name}')
        status, out, err = t.checkpoint()
        if fails:
            check(status == 1 and out == '' and fails in one_line(err), name, status, out, err)
            t.unchanged(name)
        else:
            check(status == 0 and out == f'{t.images}/000001\n', name, status, out, err)
            t.kill()
            t.restarted(name)
        t.remove()


GROUPS = '''
import os, signal, sys, time
os.setpgid(0, 0)
children = []
for leads in False, True:
    child = os.fork()
    if not child:
        while True:
            signal.pause()
    children.append(child)
os.setpgid(child, child)
os.setpgid(0, child)
print(*children, flush=True)
while True:
    time.sleep(0.01)
'''


def left_group():
    """the first process has left the group that it led, for another: what is said of it, and what goes on with SIGCONT"""
    others = lib.below()
    words = ['/usr/bin/python3', '-c', '#\uffffx' + '\u00e4' * 60 + GROUPS]
    p = subprocess.Popen(words, env=dict(target.env, LD_PRELOAD=f'{B}/libskshim.so', SKSHIM_DIR=f'{target.dir}/groups'), cwd=target.work,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    member, leader = map(int, p.stdout.readline().split())
    status, out, err = run(f'{B}/skshim', 'checkpoint', '--stop', str(p.pid))
    check(status == 0, status, err)
    p.wait()
    until('the end of all', lambda: not lib.below() - others)
    plan = run(f'{B}/skshim-restart', '--plan', f'{target.dir}/groups')[1]
    check(re.search(rf'process {p.pid} .*, new process group for others, then process group {leader},', plan), plan)
    # text of another sort makes this fail
    dot = run(f'{B}/skshim', 'inspect', '--dot', f'{target.dir}/groups')[1]
    check('\u00e4...' in dot and '\uffff' not in dot, dot)
    again = subprocess.Popen([f'{B}/skshim-restart', f'{target.dir}/groups'], env=target.env, cwd=target.work, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def states():
        found = {}
        for pid in lib.below(again.pid):
            try:
                with open(f'/proc/{pid}/status') as f:
                    text = f.read()
            except OSError:
                continue
            found[int(re.search(r'NSpid:.*?(\d+)\n', text)[1])] = (pid, text.split('State:\t')[1][0], text.split('Name:\t')[1].split('\n')[0])
        return found
    until('they run', lambda: all(states().get(n, (0, 0, 'skshim-restart'))[2] != 'skshim-restart' for n in (p.pid, member, leader)))
    pid = states()[p.pid][0]
    os.kill(pid, signal.SIGSTOP)
    until('the first is stopped', lambda: states()[p.pid][1] == 'T')
    again.send_signal(signal.SIGCONT)
    until('the first goes on', lambda: states()[p.pid][1] in 'SR')
    for pid in lib.below() - others:
        lib.kill(pid)
    again.wait()


main(settings, program_missing, questions, stopped, phases, foreground, no_latest, or_run, sockets_only, places, left_group)
target.remove()
