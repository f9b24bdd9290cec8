#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem tune over hosts of a network, started by mpirun from the first of them: Open MPI reaches the
others by a program in the place of ssh, and they have nothing in common but the wire."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap
from lan import Lan, wait_for

TOOL = os.environ['TANDEM_TEST_TOOL']
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT='1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM='1')
# As ssh: a host, then a command. Each host has a name of its own, by which MPI tells them apart.
AGENT = '''#!/bin/sh
number=${1##*.}
shift
exec ip netns exec %s-$number unshare --uts sh -c "hostname stage$number; $*"
'''
FOLDER = tempfile.mkdtemp(prefix='tandem-lan-mpi-')
# Which file this is depends on the folder that a rank runs in.
SVM = ['--model', 'svm', '--table', '/proc/self/cwd/table.arff', '--folds', '3', '--evaluations',
       '30', '--algorithm', 'pso', '--population', '10']


def need_mpi():
    if not os.path.exists(os.path.join(os.path.dirname(TOOL), 'tandem-mpi.so')):
        raise tap.Skip('tandem was built without MPI')
    if shutil.which('mpirun') is None:
        raise tap.Skip('there is no mpirun')
    version = subprocess.run(['mpirun', '--version'], stdout=subprocess.PIPE, check=False).stdout
    if b'Open MPI' not in version:
        raise tap.Skip('mpirun is not that of Open MPI, whose way to hosts is used here')


def make_folder(number, has_table=True):
    """What a host has on its disk."""
    folder = os.path.join(FOLDER, '%d-%d' % (number, has_table))
    os.makedirs(folder, exist_ok=True)
    if not has_table:
        return folder
    chance = random.Random(5)
    rows = ['@relation made', '@attribute x real', '@attribute y real', '@attribute class {a,b}',
            '@data']
    for i in range(120):
        rows.append('%.3f,%.3f,%s' % (chance.gauss(i % 2, 0.8), chance.gauss(0, 1), 'ab'[i % 2]))
    with open(os.path.join(folder, 'table.arff'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(rows) + '\n')
    return folder


def read_log(folder):
    """What does not depend on time and place, by number."""
    lines = []
    with open(os.path.join(folder, 'search.jsonl'), encoding='utf-8') as file:
        for text in file:
            line = json.loads(text)
            line.pop('seconds')
            line.get('metrics', {}).pop('fit-seconds', None)
            lines.append(line)
    return sorted(lines, key=lambda line: line['trial'])


def tune(lan, output, *folders, what=(), act=lambda: None):
    """A rank on each host, in a folder."""
    agent = os.path.join(FOLDER, 'agent')
    with open(agent, 'w', encoding='utf-8') as file:
        file.write(AGENT % lan.name)
    os.chmod(agent, 0o755)
    command = ['mpirun', '--bind-to', 'none', '--mca', 'plm_rsh_agent', agent, '--mca', 'btl',
               'tcp,self', '--mca', 'pml', 'ob1']
    # As docs/tuning.md has it.
    for name, seconds in (('time', 5), ('intvl', 2), ('probes', 3)):
        command += ['--mca', 'oob_tcp_keepalive_' + name, str(seconds)]
    for number, folder in enumerate(folders, 1):
        command += ['--host', '10.77.0.%d' % number, '-n', '1', '-wdir', folder, TOOL, 'tune', *(what or SVM),
                    '--output', output, ':']
    first = ['ip', 'netns', 'exec', lan.hosts[0].namespace, 'unshare', '--uts', 'sh', '-c',
             'hostname stage1; exec "$0" "$@"']
    process = subprocess.Popen(first + command[:-1], env=ENVIRONMENT, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    try:
        act()
        out, errors = process.communicate(timeout=200)
    finally:
        process.kill()
    return process.returncode, out.decode(), errors.decode()


@tap.case('two and three hosts find what one finds')
def test_same():
    need_mpi()
    alone = os.path.join(FOLDER, 'alone')
    subprocess.run([TOOL, 'tune', *SVM, '--output', alone], cwd=make_folder(1), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=200)
    lan = Lan(3)
    with lan:
        for name, n in (('two', 2), ('three', 3)):
            output = os.path.join(FOLDER, name)
            status, out, errors = tune(lan, output, *map(make_folder, range(1, n + 1)))
            assert status == 0, (name, out, errors)
            assert read_log(output) == read_log(alone), name


@tap.case('a host without the data is named')
def test_data():
    need_mpi()
    lan = Lan(2)
    with lan:
        status, out, errors = tune(lan, os.path.join(FOLDER, 'named'), make_folder(1),
                                   make_folder(2, False))
        assert status != 0 and 'rank 1 on stage2: ' in errors, (out, errors)
        assert 'table.arff' in errors, errors


@tap.case('a host whose cable is pulled ends the search, which goes on without it')
def test_pulled():
    need_mpi()
    slow = ['--model', 'ann', '--table', '/proc/self/cwd/table.arff', '--folds', '5', '--space',
            'learning-rate=log(1e-3,0.1)', '--set', 'epochs=2000', '--set', 'hidden-1=32',
            '--evaluations', '24', '--algorithm', 'ga', '--population', '6']
    output = os.path.join(FOLDER, 'pulled')
    log = os.path.join(output, 'search.jsonl')
    lan = Lan(2)
    with lan:
        def pull():
            wait_for(lambda: os.path.exists(log) and os.path.getsize(log) > 0, 'an evaluation')
            lan.hosts[1].pull_plug()
        begin = time.monotonic()
        status, out, errors = tune(lan, output, make_folder(1), make_folder(2), what=slow, act=pull)
        assert status != 0 and time.monotonic() - begin < 100, (status, out, errors)
    n_done = len(read_log(output))
    assert 0 < n_done < 24, n_done
    subprocess.run([TOOL, 'tune', '--resume', '--output', output], cwd=make_folder(1), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=200)
    assert len(read_log(output)) == 24


try:
    tap.run()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
