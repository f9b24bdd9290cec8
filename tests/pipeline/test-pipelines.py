#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ready pipelines: their lines parse, they run, and all say the same."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import devices
import tap

NAMES = ('one-device', 'two-stages', 'two-devices-client', 'two-devices-server')
PARSE_LAUNCH = os.path.abspath(sys.argv[1])
TIMEOUT = 60


def path_of(name):
    return os.path.join(tap.ROOT, 'pipelines', name)


def samples():
    with open(path_of('samples.txt'), 'rb') as file:
        return file.read()


def run(name, *arguments, **options):
    options.setdefault('stdin', subprocess.DEVNULL)
    if 'input' in options:
        del options['stdin']
    return subprocess.run([path_of(name), *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT, check=False, **options)


def must_run(name, *arguments, **options):
    result = run(name, *arguments, **options)
    assert result.returncode == 0, (name, result.returncode, result.stderr.decode())
    return result


def read_json(output, count):
    """Nothing but one object a line, in the order of the ids."""
    results = [json.loads(line) for line in output.decode().splitlines()]
    assert [result['id'] for result in results] == list(range(count)), output
    for result in results:
        assert result['label'] in ('negative', 'positive'), result
        assert 0.5 <= result['probability'] <= 1.0, result
        assert len(result['logits']) == 2, result
    return results


def run_two_devices(reviews):
    port = devices.free_port()
    with subprocess.Popen([path_of('two-devices-server'), '--port', port, '--format', 'json'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as server:
        try:
            devices.wait_for_listener(port, server)
            must_run('two-devices-client', '--port', port, input=reviews)
            output, messages = server.communicate(timeout=TIMEOUT)
        except BaseException:
            server.kill()
            raise
    assert server.returncode == 0, messages.decode()
    return output


@tap.case('help')
def test_help():
    for name in (*NAMES, 'quickstart', 'train-sentiment'):
        result = must_run(name, '--help')
        assert result.stdout.startswith(b'Usage: pipelines/' + name.encode()), result.stdout
        assert run(name, '--nonsense').returncode == 2
        assert run(name, '--model').returncode == 2


@tap.case('lines-parse')
def test_lines_parse():
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(PARSE_LAUNCH, os.path.join(folder, 'gst-launch-1.0'))
        environment = dict(os.environ, PATH=folder + ':' + os.environ['PATH'])
        model = os.path.join(folder, 'a model')
        os.mkdir(model)
        for name in NAMES:
            must_run(name, '--model', model, env=environment)
        # The check can fail.
        assert run('one-device', '--model', model, '--format', 'wrong', env=environment).returncode


@tap.case('missing-model')
def test_missing_model():
    for name in (*NAMES, 'quickstart'):
        result = run(name, '--model', '/nowhere/model')
        assert result.returncode == 1, name
        assert b'/nowhere/model' in result.stderr, result.stderr


@tap.case('all-say-the-same')
def test_all_say_the_same():
    tap.need_model()
    reviews = samples()
    count = reviews.count(b'\n')
    one = must_run('one-device', '--format', 'json', input=reviews).stdout
    read_json(one, count)
    two = must_run('two-stages', '--format', 'json', input=reviews).stdout
    assert two == one, (one, two)
    devices = run_two_devices(reviews)
    assert devices == one, (one, devices)


@tap.case('samples-are-understood')
def test_samples_are_understood():
    tap.need_model()
    results = read_json(must_run('one-device', '--format', 'json', input=samples()).stdout, 8)
    expected = [index % 2 == 0 for index in range(8)]
    right = sum((result['label'] == 'positive') == is_good
                for result, is_good in zip(results, expected))
    assert right >= 7, results


@tap.case('stop-word')
def test_stop_word():
    tap.need_model()
    result = must_run('one-device', input=b'Wonderful.\ndone\nTerrible.\n')
    assert result.stdout.count(b'\n') == 1, result.stdout
    assert b'1 review' in result.stderr, result.stderr


@tap.case('answers-at-once')
def test_answers_at_once():
    """Somebody who types gets an answer before the next line."""
    tap.need_model()
    with subprocess.Popen([path_of('one-device')], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        for number in range(3):
            process.stdin.write(b'What a wonderful film.\n')
            process.stdin.flush()
            assert process.stdout.readline().startswith(b'%d: positive' % number)
        process.stdin.write(b'done\n')
        process.stdin.flush()
        # The end of standard input is not needed.
        assert process.wait(TIMEOUT) == 0


@tap.case('terminal')
def test_terminal():
    """A terminal shows the results alone; ten times a second gst-launch-1.0 would add the position."""
    tap.need_model()
    for name in ('one-device', 'two-stages', 'quickstart'):
        master, slave = os.openpty()
        with subprocess.Popen([path_of(name)], stdin=subprocess.PIPE, stdout=slave,
                              stderr=subprocess.PIPE) as process:
            os.close(slave)
            process.stdin.write(b'What a wonderful film.\n')
            process.stdin.flush()
            output = os.read(master, 4096)
            assert output.startswith(b'0: positive') and output.endswith(b'\r\n'), (name, output)
            time.sleep(0.5)
            process.communicate(b'done\n', timeout=TIMEOUT)
        try:
            output = os.read(master, 4096)
        except OSError:
            # Nobody has the terminal any more, and it holds nothing.
            output = b''
        os.close(master)
        assert process.returncode == 0 and output == b'', (name, process.returncode, output)


@tap.case('nobody-listens')
def test_nobody_listens():
    """A connection that fails at once ends a pipeline that is still starting."""
    tap.need_model()
    line = ('filesrc location=%s ! lineparse ! tokenize model=%s ! bertstage model=%s layers=0-0 '
            '! tcpactsink host=127.0.0.1 port=%s reconnect-timeout=0'
            % (path_of('samples.txt'), tap.MODEL, tap.MODEL, devices.free_port()))
    for _ in range(3):
        result = subprocess.run(['gst-launch-1.0', *line.split()], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT,
                                check=False)
        assert result.returncode != 0 and b'Connection refused' in result.stderr, result


@tap.case('quickstart/piped')
def test_quickstart_piped():
    tap.need_model()
    result = must_run('quickstart', '--format', 'json', input=b'Great fun.\nA waste of time.\n')
    read_json(result.stdout, 2)
    assert b'Device 1' in result.stderr and b'Device 2' in result.stderr, result.stderr


@tap.case('quickstart/samples')
def test_quickstart_samples():
    tap.need_model()
    reviews = samples()
    one = must_run('one-device', '--format', 'json', input=reviews).stdout
    for arguments in (('--format', 'json'), ('--format', 'json', '--samples')):
        assert must_run('quickstart', *arguments).stdout == one


@tap.case('quickstart/typed')
def test_quickstart_typed():
    tap.need_model()
    master, slave = os.openpty()
    with subprocess.Popen([path_of('quickstart')], stdin=slave, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True) as process:
        os.close(slave)
        for _ in range(8):
            process.stdout.readline()
        os.write(master, b'What a wonderful film.\n')
        assert process.stdout.readline().startswith(b'8: positive')
        os.write(master, b'done\n')
        output, messages = process.communicate(timeout=TIMEOUT)
    os.close(master)
    assert process.returncode == 0, messages.decode()
    assert output == b'', output
    assert messages.count(b"Enter a review (or type 'done' to finish)") == 2, messages


@tap.case('quickstart/interrupted')
def test_quickstart_interrupted():
    """Ctrl-C leaves no process behind."""
    tap.need_model()
    with subprocess.Popen([path_of('quickstart')], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          start_new_session=True) as process:
        process.stdin.write(b'What a wonderful film.\n')
        process.stdin.flush()
        assert process.stdout.readline().startswith(b'0: positive')
        os.killpg(process.pid, signal.SIGINT)
        # Both pipes end only when all processes are gone.
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, process.returncode


@tap.case('quickstart/bad-model')
def test_quickstart_bad_model():
    with tempfile.TemporaryDirectory() as folder:
        result = run('quickstart', '--samples', '--model', folder)
        assert result.returncode == 1, result
        assert result.stdout == b'', result.stdout
        assert folder.encode() in result.stderr, result.stderr


tap.run()
