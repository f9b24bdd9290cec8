#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem tune, started by mpirun: ranks on this machine, each in a folder of its own."""

import glob
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
FOLDER = tempfile.mkdtemp(prefix='tandem-mpi-')
# Which file this is depends on the folder that a rank runs in, as on another machine.
TABLE = '/proc/self/cwd/table.arff'
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT='1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM='1')


def path(*names):
    return os.path.join(FOLDER, *names)


def make_rank(name, n_rows=120):
    """A folder with a table, or without one."""
    os.makedirs(path(name))
    chance = random.Random(5)
    rows = ['@relation made', *('@attribute x%d real' % i for i in range(4)),
            '@attribute class {a,b,c}', '@data']
    for i in range(n_rows):
        kind = i % 3
        numbers = [chance.gauss((0, 2, 0)[kind], 0.9), chance.gauss((0, 0, 2)[kind], 0.9),
                   chance.gauss(0, 1), chance.gauss(0, 1)]
        rows.append(','.join(['%.3f' % x for x in numbers] + ['abc'[kind]]))
    if n_rows:
        with open(path(name, 'table.arff'), 'w', encoding='utf-8') as file:
            file.write('\n'.join(rows) + '\n')
    return path(name)


HERE, THERE = make_rank('here'), make_rank('there')


def need_mpi():
    if not os.path.exists(os.path.join(os.path.dirname(TOOL), 'tandem-mpi.so')):
        raise tap.Skip('tandem was built without MPI')
    if shutil.which('mpirun') is None:
        raise tap.Skip('there is no mpirun')


def make_command(*args, folders):
    """Rank 0 is in HERE, each other one in one of the folders."""
    version = subprocess.run(['mpirun', '--version'], stdout=subprocess.PIPE, check=True).stdout
    command = ['mpirun']
    # Others share the cores as they are.
    if b'Open MPI' in version:
        command += ['--oversubscribe', '--bind-to', 'none']
    for folder in [HERE, *folders]:
        command += ['-n', '1', '-wdir', folder, TOOL, 'tune', *args, ':']
    return command[:-1]


def start(*args, folders):
    return subprocess.Popen(make_command(*args, folders=folders), env=ENVIRONMENT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    out, errors = process.communicate(timeout=300)
    return process.returncode, out.decode(), errors.decode()


def run_alone(*args):
    process = subprocess.run([TOOL, 'tune', *args], cwd=HERE, capture_output=True, timeout=300,
                             check=False)
    assert process.returncode == 0, process.stderr.decode()


def read_log(folder):
    """What does not depend on time, by number."""
    lines = []
    with open(path(folder, 'search.jsonl'), encoding='utf-8') as file:
        for text in file:
            line = json.loads(text)
            line.pop('seconds')
            line.get('metrics', {}).pop('fit-seconds', None)
            lines.append(line)
    return sorted(lines, key=lambda line: line['trial'])


def find_process(output, cwd, is_worker):
    """A process of a search that runs in a folder."""
    for name in glob.glob('/proc/[0-9]*'):
        try:
            with open(os.path.join(name, 'cmdline'), 'rb') as file:
                args = file.read().decode().split('\0')
            if (os.readlink(os.path.join(name, 'cwd')) == cwd and args[1:2] == ['tune'] and
                    any(output in arg for arg in args) and ('--worker' in args) == is_worker):
                return int(os.path.basename(name))
        except OSError:
            continue
    return None


def wait_for_process(process, output, cwd, is_worker=True):
    while process.poll() is None:
        pid = find_process(output, cwd, is_worker)
        if pid is not None:
            return pid
        time.sleep(0.002)
    raise AssertionError(finish(process))


SVM = ['--model', 'svm', '--table', TABLE, '--folds', '3', '--evaluations', '30', '--algorithm',
       'pso']
# A candidate takes a while.
SLOW = ['--model', 'ann', '--table', TABLE, '--folds', '5', '--space', 'learning-rate=log(1e-3,0.1)',
        '--set', 'epochs=300', '--set', 'hidden-1=32', '--evaluations', '16', '--algorithm', 'ga',
        '--population', '6']


@tap.case('any number of ranks and workers finds the same')
def test_same():
    need_mpi()
    run_alone(*SVM, '--output', path('alone'))
    for name, folders, workers in (('two', [THERE], '1'), ('three', [THERE, THERE], '2')):
        process = start(*SVM, '--workers', workers, '--baseline', '--output', path(name),
                        folders=folders)
        status, out, errors = finish(process)
        assert status == 0, (name, out, errors)
        assert read_log(name) == read_log('alone'), name
        with open(path(name, 'model.classifier'), 'rb') as one, \
                open(path('alone', 'model.classifier'), 'rb') as other:
            assert one.read() == other.read(), name


@tap.case('a candidate that crashes or hangs at another rank costs that candidate')
def test_crash():
    need_mpi()
    for name, number, words, more in (('crashed', signal.SIGKILL, 'signal 9', []),
                                      ('hung', signal.SIGSTOP, 'longer than', ['--timeout', '5'])):
        process = start(*SLOW, *more, '--output', path(name), folders=[THERE])
        pid = wait_for_process(process, path(name), THERE)
        os.kill(pid, number)
        status, out, errors = finish(process)
        assert status == 0 and words in errors, (name, out, errors)
        lines = read_log(name)
        assert len(lines) == 16, (name, len(lines))
        assert len([line for line in lines if 'failure' in line]) == 1, (name, lines)


@tap.case('goes on after Ctrl-C, and after a rank was killed')
def test_resume():
    need_mpi()
    run_alone(*SLOW, '--output', path('whole'))
    for name, ends in (('stopped', lambda process: process.send_signal(signal.SIGINT)),
                       ('killed', lambda process: os.kill(
                           wait_for_process(process, path(name), THERE, False), signal.SIGKILL))):
        process = start(*SLOW, '--output', path(name), folders=[THERE])
        wait_for_process(process, path(name), THERE)
        process.stdout.readline()
        ends(process)
        status, out, errors = finish(process)
        assert status != 0, (name, out, errors)
        assert find_process(path(name), THERE, True) is None
        process = start('--resume', '--output', path(name), folders=[THERE])
        status, out, errors = finish(process)
        assert status == 0, (name, out, errors)
        assert read_log(name) == read_log('whole'), name


@tap.case('ends when a rank is silent, and goes on without it')
def test_silent():
    need_mpi()
    run_alone(*SLOW, '--output', path('loud'))
    process = start(*SLOW, '--output', path('silent'), folders=[THERE])
    wait_for_process(process, path('silent'), THERE)
    os.kill(wait_for_process(process, path('silent'), THERE, False), signal.SIGSTOP)
    status, out, errors = finish(process)
    assert status != 0, (out, errors)
    assert 'tandem tune: rank 1 on ' in errors and 'has not been heard of' in errors, errors
    run_alone('--resume', '--output', path('silent'))
    assert read_log('silent') == read_log('loud')


@tap.case('says which rank has no data, or other data')
def test_data():
    need_mpi()
    for name, n_rows, words in (('empty', 0, 'table.arff'), ('other', 60, 'other data')):
        process = start(*SVM, '--output', path('without'),
                        folders=[THERE, make_rank(name, n_rows)])
        status, out, errors = finish(process)
        assert status != 0, (out, errors)
        line = [line for line in errors.splitlines() if line.startswith('tandem tune: rank 2 on ')]
        assert len(line) == 1 and words in line[0], (name, errors)


@tap.case('says what is wrong once')
def test_wrong():
    need_mpi()
    for args, words in ((['--model', 'tree', '--output', path('x')], '--model'),
                        (['--model', 'ann', '--weights', '--table', TABLE, '--output', path('x')],
                         '--weights')):
        status, out, errors = finish(start(*args, folders=[THERE]))
        lines = [line for line in errors.splitlines() if line.startswith('tandem tune:')]
        assert status == 2 and len(lines) == 1 and words in lines[0], (out, errors)


try:
    tap.run()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
