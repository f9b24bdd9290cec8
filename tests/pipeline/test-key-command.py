#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem key, and two processes that have the key which it made."""

import datetime
import json
import os
import re
import stat
import subprocess
import tempfile

import devices
import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
TIMEOUT = 120


def key(*arguments, **options):
    return subprocess.run([TOOL, 'key', *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, timeout=TIMEOUT,
                          **options)


def made(folder, name='cluster.key', *arguments):
    path = os.path.join(folder, name)
    result = key('new', path, '--name', 'home', *arguments)
    assert result.returncode == 0, result.stderr
    return path


@tap.case('usage')
def test_usage():
    for arguments in ([], ['dance'], ['new', 'a', 'b'], ['new', '--days', '0'],
                      ['new', '--days', '36501'], ['new', '--days', 'x'], ['show', '--dance']):
        assert key(*arguments).returncode == 2, arguments
    assert 'FILE' in key('--help').stdout


@tap.case('new-and-show')
def test_new_and_show():
    with tempfile.TemporaryDirectory() as folder:
        path = made(folder, os.path.join('deep', 'down', 'my.key'), '--days', '10')
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
        text = key('show', path)
        assert text.returncode == 0 and 'home' in text.stdout and path in text.stdout
        shown = json.loads(key('show', '--json', path).stdout)
        assert set(shown) == {'name', 'fingerprint', 'expiry', 'valid', 'path'}, shown
        assert shown['name'] == 'home' and shown['valid'] is True and shown['path'] == path
        assert re.fullmatch('[0-9a-f]{64}', shown['fingerprint'])
        assert shown['fingerprint'] in text.stdout
        expiry = datetime.datetime.fromisoformat(shown['expiry'].replace('Z', '+00:00'))
        left = expiry - datetime.datetime.now(datetime.timezone.utc)
        assert abs(left.total_seconds() - 10 * 86400) < 3600, left


@tap.case('default-paths')
def test_default_paths():
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, XDG_CONFIG_HOME=folder)
        environment.pop('TANDEM_KEY')
        path = os.path.join(folder, 'tandem', 'cluster.key')
        result = key('show', env=environment)
        assert result.returncode == 1 and path in result.stderr, result.stderr
        assert key('new', env=environment).returncode == 0
        assert os.path.exists(path)
        environment['TANDEM_KEY'] = os.path.join(folder, 'other.key')
        assert key('new', env=environment).returncode == 0
        shown = json.loads(key('show', '--json', env=environment).stdout)
        assert shown['path'] == environment['TANDEM_KEY']


@tap.case('refusals')
def test_refusals():
    with tempfile.TemporaryDirectory() as folder:
        path = made(folder)
        with open(path, encoding='ascii') as file:
            before = file.read()
        result = key('new', path)
        assert result.returncode == 1 and 'stays as it is' in result.stderr
        with open(path, encoding='ascii') as file:
            assert file.read() == before
        bad = os.path.join(folder, 'bad.key')
        result = key('new', bad, '--name', 'not a name')
        assert result.returncode == 1 and not os.path.exists(bad), result.stderr
        os.chmod(path, 0o640)
        result = key('show', path)
        assert result.returncode == 1 and 'mode 0640' in result.stderr, result.stderr
        if os.geteuid() != 0:
            os.mkdir(os.path.join(folder, 'closed'), 0o500)
            result = key('new', os.path.join(folder, 'closed', 'a.key'))
            assert result.returncode == 1 and 'cannot be written' in result.stderr


def read_until(stream, text):
    """What comes up to the line that holds the text, or up to the end."""
    said = ''
    while text not in said:
        line = stream.readline()
        if not line:
            break
        said += line
    return said


def run_two(server_key, client_key, until=None):
    """What both sides say: the server, with its results, and the client. With `until`, both are
    ended when they have said that."""
    port = devices.free_port()
    # With -q gst-launch-1.0 shows no warnings.
    server_line = ['gst-launch-1.0', 'tcpactsrc', 'port=' + port, 'key=' + server_key, '!',
                   'bertstage', 'model=' + tap.MODEL, 'layers=1-', '!', 'sentimentsink',
                   'format=json']
    client_line = ['gst-launch-1.0', '-q', 'fdsrc', '!', 'lineparse', '!', 'tokenize',
                   'model=' + tap.MODEL, '!', 'bertstage', 'model=' + tap.MODEL, 'layers=0-0', '!',
                   'tcpactsink', 'host=127.0.0.1', 'port=' + port,
                   'key=' + client_key]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
    with subprocess.Popen(server_line, stdin=subprocess.DEVNULL, **pipes) as server, \
            tempfile.TemporaryFile() as reviews:
        reviews.write(b'A wonderful film.\nA waste of time.\n')
        reviews.seek(0)
        try:
            devices.wait_for_listener(port, server)
            with subprocess.Popen(client_line, stdin=reviews, **pipes) as client:
                try:
                    errors = said = ''
                    # gst-launch-1.0 may wait for ever after an error that comes while it starts.
                    if until is not None:
                        errors = read_until(client.stdout, until)
                        said = read_until(server.stdout, until)
                        client.kill()
                        server.terminate()
                    errors += client.communicate(timeout=TIMEOUT)[0]
                except BaseException:
                    client.kill()
                    raise
            said += server.communicate(timeout=TIMEOUT)[0]
        except BaseException:
            server.kill()
            raise
    return said, errors


@tap.case('two-devices')
def test_two_devices():
    tap.need_model()
    with tempfile.TemporaryDirectory() as folder:
        path = made(folder)
        said, errors = run_two(path, path)
        labels = [json.loads(line)['label'] for line in said.splitlines() if line.startswith('{')]
        assert labels == ['positive', 'negative'], (said, errors)


@tap.case('two-keys')
def test_two_keys():
    tap.need_model()
    with tempfile.TemporaryDirectory() as folder:
        said, errors = run_two(made(folder), made(folder, 'other.key'),
                               until='another cluster key, "home"')
        assert '{' not in said, said
        assert 'another cluster key, "home"' in errors, errors
        assert 'another cluster key, "home"' in said, said


tap.run()
