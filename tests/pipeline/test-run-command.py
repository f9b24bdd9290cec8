#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem run: texts and files in, results out, and what it says about it."""

import csv
import io
import json
import os
import signal
import subprocess
import tempfile

import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
TIMEOUT = 120
TEXTS = b'What a wonderful film.\nThe worst two hours of my life.\n'


def tandem_run(*arguments, **options):
    return subprocess.run([TOOL, 'run', *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, timeout=TIMEOUT, **options)


def events(result):
    return [json.loads(line) for line in result.stderr.decode().splitlines()]


class Node:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([TOOL, 'node', '--json', '--port=0', '--name=attic',
                                         '--cache', self.folder.name], stdout=subprocess.PIPE)
        self.address = '127.0.0.1:%d' % json.loads(self.process.stdout.readline())['port']

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


@tap.case('usage')
def test_usage():
    for arguments in (['--format=x'], ['--split=x'], ['--objective=x'], ['--formats=x'],
                      ['--micro-batch=0'], ['--threads=0'], ['--memory=x'], ['--timeout=-1'],
                      ['--key=k', '--insecure'], ['a', 'b'], ['--dance']):
        result = tandem_run(*arguments)
        assert result.returncode == 2 and result.stdout == b'', (arguments, result)
    assert b'MODEL' in tandem_run('--help').stdout


@tap.case('alone')
def test_alone():
    tap.need_model()
    result = tandem_run('--json', '--format=json', '--nodes=127.0.0.1:1', tap.MODEL, input=TEXTS)
    assert result.returncode == 0, result.stderr
    labels = [json.loads(line)['label'] for line in result.stdout.decode().splitlines()]
    assert labels == ['positive', 'negative'], labels
    said = events(result)
    assert [event['event'] for event in said] == ['plan', 'summary'], said
    assert said[0]['devices'] == 1 and said[1]['reviews'] == 2, said
    assert said[1]['interrupted'] is False
    environment = dict(os.environ, TANDEM_MODEL=tap.MODEL)
    result = tandem_run('--nodes=127.0.0.1:1', input=TEXTS, env=environment)
    assert result.returncode == 0 and b'positive' in result.stdout, result
    assert b'2 reviews' in result.stderr, result.stderr


@tap.case('data')
def test_data():
    tap.need_model()
    with tempfile.TemporaryDirectory() as folder, Node() as node:
        path, results = os.path.join(folder, 'r.tsv'), os.path.join(folder, 'r.csv')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('review\tsentiment\n')
            for _ in range(40):
                file.write('A joy from first to last.\tpositive\nDull and empty.\tnegative\n')
        placement = os.path.join(folder, 'placement.json')
        with open(placement, 'w', encoding='ascii') as file:
            json.dump({'stages': [{'device': 'attic', 'layers': '0-1'}]}, file)
        result = tandem_run('--json', '--data', path, '--format=csv', '--output', results,
                            '--nodes', node.address, '--placement', placement, '--no-local',
                            '--micro-batch=8', tap.MODEL)
        assert result.returncode == 0 and result.stdout == b'', result
        said = events(result)
        assert said[0]['placement'] == '0-1 attic', said
        assert said[-1]['reviews'] == said[-1]['labelled'] == 80, said
        with open(results, encoding='utf-8') as file:
            rows = list(csv.DictReader(io.StringIO(file.read())))
        assert [int(row['id']) for row in rows] == list(range(80))


@tap.case('failures')
def test_failures():
    tap.need_model()
    for arguments, words in ((['/nonexistent'], b'/nonexistent'),
                             (['--data=/nonexistent.tsv', tap.MODEL],
                              b'No such file'),
                             (['--data', os.devnull, tap.MODEL], os.devnull.encode() + b'": '),
                             (['--key=/nonexistent', tap.MODEL], b'/nonexistent'),
                             (['--placement=/nonexistent', tap.MODEL], b'/nonexistent'),
                             (['--nodes=a:99999', tap.MODEL], b'99999'),
                             (['--output=/nonexistent/x', tap.MODEL], b'/nonexistent/x'),
                             (['--no-local', '--timeout=1', '--nodes=127.0.0.1:1', tap.MODEL],
                              b'No devices')):
        result = tandem_run(*arguments, input=TEXTS)
        assert result.returncode == 1 and words in result.stderr, (arguments, result)


@tap.case('no model')
def test_no_model():
    """Nothing is installed where the tool of the build looks for its model."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, XDG_DATA_DIRS=folder)
        environment.pop('TANDEM_MODEL', None)
        result = tandem_run('--nodes=127.0.0.1:1', input=TEXTS, env=environment)
    if result.returncode == 0:
        raise tap.Skip('Tandem is installed')
    assert result.returncode == 1 and b'MODEL' in result.stderr, result.stderr
    assert b'TANDEM_MODEL' in result.stderr, result.stderr


@tap.case('placement')
def test_placement():
    """A file that is not in order is refused before a text is read, not left out of account."""
    tap.need_model()
    with tempfile.TemporaryDirectory() as folder:
        placement = os.path.join(folder, 'placement.json')
        for content, word in (('{"stages"', b'placement.json'),
                              ('{"stages": [{"device": "a", "layers": "0-0"}]}', b'1-1'),
                              ('{"stages": [{"device": "a", "layers": "0-0"}, '
                               '{"device": "a", "layers": "1-1"}]}', b'one stage')):
            with open(placement, 'w', encoding='ascii') as file:
                file.write(content)
            result = tandem_run('--placement', placement, '--nodes=127.0.0.1:1', tap.MODEL,
                                input=TEXTS)
            assert result.returncode == 1 and result.stdout == b'', (content, result)
            assert word in result.stderr, (content, result.stderr)


@tap.case('interrupted')
def test_interrupted():
    """What was read gets its results."""
    tap.need_model()
    process = subprocess.Popen([TOOL, 'run', '--nodes=127.0.0.1:1', '--format=json', '--json',
                                tap.MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdin.write(TEXTS)
    process.stdin.flush()
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait(TIMEOUT)
    rest, said = process.stdout.read(), process.stderr.read()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert process.returncode == 130, said
    assert [json.loads(line)['id'] for line in (first + rest).splitlines()] == [0, 1]
    assert b'"interrupted":true' in said and b'interrupted\n' in said, said


def start(*arguments):
    return subprocess.Popen([TOOL, 'run', '--json', '--format=json', '--no-local', '--timeout=0',
                             *arguments, tap.MODEL], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until_nobody_is_there(process):
    while True:
        event = json.loads(process.stderr.readline())
        if event['event'] == 'moved' and event['placement'] is None:
            break


def interrupt(process, number):
    """One signal is enough, although the texts have not come to their end; what is said then."""
    process.send_signal(number)
    process.wait(TIMEOUT)
    results, said = process.stdout.read(), process.stderr.read()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert process.returncode == 130, (process.returncode, said)
    assert said.endswith(b'interrupted\n'), said
    return [json.loads(line) for line in results.splitlines()], json.loads(said.splitlines()[-2])


@tap.case('interrupted while it waits for devices')
def test_interrupted_waiting():
    tap.need_model()
    for number in (signal.SIGINT, signal.SIGTERM):
        for texts in (b'', TEXTS):
            process = start('--nodes=127.0.0.1:1')
            process.stdin.write(texts)
            process.stdin.flush()
            wait_until_nobody_is_there(process)
            results, summary = interrupt(process, number)
            assert results == [], results
            assert summary['event'] == 'summary' and summary['interrupted'], summary
            assert summary['reviews'] == 0, summary


@tap.case('interrupted after the devices left')
def test_interrupted_after():
    """The results that there are remain, in the file."""
    tap.need_model()
    with Node() as node, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'results')
        os.mkfifo(path)
        process = start('--nodes', node.address, '--output', path)
        with open(path, encoding='utf-8') as results:
            process.stdin.write(TEXTS)
            process.stdin.flush()
            first = results.readline()
            node.process.kill()
            process.stdin.write(TEXTS)
            process.stdin.flush()
            wait_until_nobody_is_there(process)
            _, summary = interrupt(process, signal.SIGINT)
            ids = [json.loads(line)['id'] for line in [first, *results]]
        assert ids[:2] == [0, 1] and summary['reviews'] == len(ids), (ids, summary)


@tap.case('interrupted while a device is silent')
def test_interrupted_silent():
    """Nobody says that it left: it is not waited for, and the node hears of the end afterwards."""
    tap.need_model()
    with Node() as node:
        process = start('--nodes', node.address)
        process.stdin.write(TEXTS)
        process.stdin.flush()
        first = process.stdout.readline()
        node.process.send_signal(signal.SIGSTOP)
        process.stdin.write(TEXTS)
        process.stdin.flush()
        results, summary = interrupt(process, signal.SIGINT)
        assert json.loads(first)['id'] == 0 and summary['interrupted'], (first, summary)
        node.process.send_signal(signal.SIGCONT)
        while json.loads(node.process.stdout.readline())['event'] != 'disconnected':
            pass


tap.run()
