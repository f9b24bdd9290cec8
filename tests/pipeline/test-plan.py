#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem plan: its answers, its refusals, and the launch lines that it writes, run as they are."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree

import devices
import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
EXAMPLE = os.path.join(tap.ROOT, 'docs', 'examples', 'devices.json')
PLACEMENT = os.path.join(tap.ROOT, 'docs', 'examples', 'placement.json')
TEXTS = b'A wonderful film.\nA waste of time.\nI loved every minute of it.\n'


def tandem(*arguments, status=0):
    result = subprocess.run([TOOL, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=120, check=False)
    assert result.returncode == status, (arguments, result.stdout, result.stderr)
    return (result.stderr if status else result.stdout).decode()


def example():
    with open(EXAMPLE, encoding='utf-8') as file:
        return json.load(file)


def write(folder, name, content):
    path = os.path.join(folder, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return path


def plan(*arguments):
    return json.loads(tandem('plan', tap.MODEL, '--json', *arguments))


def run_lines(lines):
    """Starts the lines, the one that asks last, and returns what they write."""
    environment = dict(os.environ, MODEL=tap.MODEL)
    processes = [subprocess.Popen('exec ' + line['line'], shell=True, env=environment,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) for line in lines]
    output = b''
    try:
        for process in reversed(processes):
            out, errors = process.communicate(TEXTS if process is processes[-1] else None,
                                              timeout=60)
            assert process.returncode == 0, errors.decode()
            output += out
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return output


class Nodes:
    """Nodes on loopback, that anybody there may use."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix='tandem-plan-')
        self.processes = [self.start(number, *extra) for number, extra in enumerate(options)]

    def start(self, number, *options):
        process = subprocess.Popen(
            [TOOL, 'node', '--json', '--port=0', '--address=127.0.0.1', '--insecure', '--cache',
             os.path.join(self.folder, str(number)), *options], stdout=subprocess.PIPE)
        message = json.loads(process.stdout.readline())
        assert message['event'] == 'listening', message
        process.port = message['port']
        return process

    def __enter__(self):
        return ','.join('127.0.0.1:%d' % process.port for process in self.processes)

    def __exit__(self, *reason):
        for process in self.processes:
            process.terminate()
            process.wait(20)
            process.stdout.close()
        shutil.rmtree(self.folder)


def free_ports():
    """A port with a free one behind it."""
    while True:
        port = int(devices.free_port())
        try:
            with socket.socket() as sock:
                sock.bind(('127.0.0.1', port + 1))
                return port
        except (OSError, OverflowError):
            continue


@tap.case('lines-run')
def test_lines_run():
    """Every way through two devices, in the formats that there are, says the same."""
    tap.need_model()
    results = set()
    for layers in (('desk', '0-1'),), (('shelf', '0-1'),), (('desk', '0-0'), ('shelf', '1-1')), \
            (('shelf', '0-0'), ('desk', '1-1')):
        content = example()
        for device in content['devices']:
            device['port'] = free_ports()
        with tempfile.TemporaryDirectory() as folder:
            answer = plan('--devices', write(folder, 'devices.json', content), '--placement',
                          write(folder, 'placement.json', {
                              'stages': [{'device': device, 'layers': which}
                                         for device, which in layers]}))
        assert answer['given']
        assert [(stage['device'], stage['layers'])
                for stage in answer['predicted']['stages']] == list(layers)
        assert answer['lines'][-1]['device'] == 'desk'
        results.add(run_lines(answer['lines']))
    assert len(results) == 1, results
    assert results.pop().count(b'\n') == 3


@tap.case('example')
def test_example():
    tap.need_model()
    answer = plan('--devices', EXAMPLE)
    assert [stage['device'] for stage in answer['predicted']['stages']] == ['shelf']
    assert answer['exact'] and not answer['given']
    assert answer['predicted'] == answer['best'] == answer['single']
    assert answer['runner_up']['sequences_per_second'] < answer['best']['sequences_per_second']
    text = tandem('plan', tap.MODEL, '--devices', EXAMPLE)
    for part in 'desk (asks)', 'shelf', 'Runner-up', 'Best single device', 'gst-launch-1.0 -q':
        assert part in text, (part, text)
    latency = plan('--devices', EXAMPLE, '--objective', 'latency')
    assert latency['predicted']['latency'] <= answer['predicted']['latency']
    assert latency['sequences'] == 1


@tap.case('placement-round-trip')
def test_placement_round_trip():
    """What --json calls the placement is a placement file, formats and all."""
    tap.need_model()
    content = example()
    for device, alone in zip(content['devices'], plan('--devices', EXAMPLE)['devices']):
        device['memory'] = alone['alone']['stages'][0]['memory'] - 1
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, 'devices.json', content)
        first = plan('--devices', path, '--formats', 'f32,q8')
        assert len(first['placement']['stages']) == 2, first['placement']
        assert first['single'] is None
        assert first['placement']['stages'][0]['format'] == 'q8'
        assert [' wire-format=q8' in line['line'] for line in first['lines']].count(True) == 1
        second = plan('--devices', path, '--formats', 'f32,q8', '--placement',
                      write(folder, 'placement.json', first['placement']))
    assert second['predicted'] == first['predicted']
    assert second['placement'] == first['placement']


def change(content, path, value):
    """Sets, or with None removes, the member that a path of keys leads to."""
    target = content
    for key in path[:-1]:
        target = target[key]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value


@tap.case('refused-devices')
def test_refused_devices():
    tap.need_model()
    wrong = [
        (('asks',), None, 'asks: is missing'),
        (('asks',), 'nobody', 'asks: no device is called "nobody"'),
        (('ask',), 'desk', 'no member "ask"'),
        (('devices',), [], 'devices: has 0 elements'),
        (('devices',), {}, 'devices: is no array'),
        (('devices', 1), 7, 'devices[1]: is no object'),
        (('devices', 1, 'name'), 'desk', 'devices[1]: two devices are called "desk"'),
        (('devices', 1, 'name'), '', 'devices[1].name'),
        (('devices', 1, 'name'), '\u001b[2J', 'devices[1].name'),
        (('devices', 0, 'host'), 'a; reboot', 'devices[0].host'),
        (('devices', 0, 'port'), 65535, 'devices[0].port: is 65535'),
        (('devices', 0, 'port'), 1.5, 'devices[0].port: is no whole number'),
        (('devices', 0, 'memory'), -1, 'devices[0].memory'),
        (('devices', 0, 'threads'), 0, 'devices[0].threads'),
        (('devices', 0, 'seconds'), None, 'devices[0]: either'),
        (('devices', 0, 'profile'), 'x.json', 'devices[0]: either'),
        (('devices', 0, 'seconds', 'layer'), None, 'devices[0].seconds.layer: is missing'),
        (('devices', 0, 'seconds', 'layer', 'per_token'), -1e-9,
         'devices[0].seconds.layer.per_token'),
        (('devices', 0, 'seconds', 'layer', 'per_token'), 1e3, 'devices[0]: '),
        (('devices', 0, 'seconds', 'layer', 'per_token'), 'much',
         'devices[0].seconds.layer.per_token: is no number'),
        (('devices', 0, 'seconds', 'layer', 'per_word'), 1, 'devices[0].seconds.layer: '),
        (('devices', 0, 'send'), {'q4': {}}, 'devices[0].send: '),
        (('network', 'delay'), None, 'network.delay: is missing'),
        (('network', 'bandwidth'), -5, 'network.bandwidth'),
        (('links', 0, 'to'), 'shelf', 'links[0].to'),
        (('links', 0, 'from'), 'cellar', 'links[0].from: no device'),
        (('links', 0, 'delay'), 1e9, 'links[0].delay'),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for path, value, message in wrong:
            content = example()
            change(content, path, value)
            name = write(folder, 'devices.json', content)
            errors = tandem('plan', tap.MODEL, '--devices', name, status=1)
            assert name in errors and message in errors, (path, errors)
        for text in '', '[]', '{', '{"asks": "desk"} x', '{' * 100:
            name = write(folder, 'devices.json', text)
            assert name in tandem('plan', tap.MODEL, '--devices', name, status=1)
        double = example()
        double['links'].append(double['links'][0])
        name = write(folder, 'devices.json', double)
        assert 'links[1].to' in tandem('plan', tap.MODEL, '--devices', name, status=1)
        assert 'nowhere' in tandem('plan', tap.MODEL, '--devices', '/nowhere', status=1)
        small = example()
        for device in small['devices']:
            device['memory'] = 1000
        name = write(folder, 'devices.json', small)
        assert '1000' in tandem('plan', tap.MODEL, '--devices', name, status=1)


@tap.case('refused-placements')
def test_refused_placements():
    tap.need_model()
    wrong = [
        ([], 'stages: has 0'),
        ([{'device': 'desk', 'layers': '0'}], '1-1'),
        ([{'device': 'desk', 'layers': '0-2'}], 'stages[0].layers'),
        ([{'device': 'attic', 'layers': '0-1'}], 'stages[0].device'),
        ([{'device': 'desk', 'layers': '0-1', 'speed': 1}], 'stages[0]'),
        ([{'device': 'desk', 'layers': '0-1', 'format': 'f32'}], 'logits'),
        ([{'device': 'desk', 'layers': '0', 'format': 'q4'}, {'device': 'shelf', 'layers': '1'}],
         'stages[0].format'),
        ([{'device': 'desk', 'layers': '0', 'format': 'q8'}, {'device': 'shelf', 'layers': '1'}],
         '"q8"'),
        ([{'device': 'desk', 'layers': '0'}, {'device': 'desk', 'layers': '1'}], '"desk"'),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for stages, message in wrong:
            name = write(folder, 'placement.json', {'stages': stages})
            errors = tandem('plan', tap.MODEL, '--devices', EXAMPLE, '--placement', name, status=1)
            assert name in errors and message in errors, (stages, errors)


@tap.case('picture')
def test_picture():
    tap.need_model()
    with tempfile.TemporaryDirectory() as folder:
        for name in 'whole', 'split':
            picture = os.path.join(folder, name + '.svg')
            more = ('--placement', PLACEMENT) if name == 'split' else ()
            tandem('plan', tap.MODEL, '--devices', EXAMPLE, '--svg', picture, *more)
            root = ElementTree.parse(picture).getroot()
            assert root.tag.endswith('svg'), root.tag
            # A bar a micro-batch: eight in each of four rows, or of three.
            bars = [path for path in root.iter('{http://www.w3.org/2000/svg}path')
                    if 'fill-rule' in path.get('style', '')]
            assert len(bars) >= 24, len(bars)
    assert '/nowhere/plan.svg' in tandem('plan', tap.MODEL, '--devices', EXAMPLE, '--svg',
                                         '/nowhere/plan.svg', status=1)


@tap.case('documented-commands')
def test_documented_commands():
    """Those in docs/placement.md, in the folder where they are meant to be run."""
    tap.need_model()
    with open(os.path.join(tap.ROOT, 'docs', 'placement.md'), encoding='utf-8') as file:
        blocks = re.findall(r'^```sh\n(.*?)^```', file.read(), re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()
                if line.startswith('tandem ')]
    assert len(commands) >= 6, commands
    environment = dict(os.environ, MODEL=tap.MODEL,
                       PATH=os.path.dirname(TOOL) + ':' + os.environ['PATH'])
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.join(tap.ROOT, 'docs'), os.path.join(folder, 'docs'))
        environment['XDG_CACHE_HOME'] = os.path.join(folder, 'cache')
        for command in commands:
            result = subprocess.run(['sh', '-c', command], cwd=folder, env=environment,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                                    check=False)
            assert result.returncode == 0, (command, result.stderr.decode())
        kept = os.listdir(os.path.join(folder, 'cache', 'tandem', 'profiles'))
        assert len(kept) == 1, kept
        with open(os.path.join(folder, 'desk-profile.json'), encoding='utf-8') as file:
            check_profile(folder, json.load(file), environment)


def check_profile(folder, profile, environment):
    """A file of devices may name what tandem profile wrote, and a profile of another model is
    refused."""
    content = example()
    for device in content['devices']:
        del device['seconds']
        device.pop('threads', None)
        device['profile'] = 'desk-profile.json'
    path = write(folder, 'devices.json', content)
    answer = plan('--devices', path)
    desk, shelf = (device['alone'] for device in answer['devices'])
    assert abs(desk['stages'][0]['seconds'] - shelf['stages'][0]['seconds'] -
               desk['tokenize_seconds']) < 1e-9, answer
    profile['model'] = '0' * 64
    write(folder, 'desk-profile.json', profile)
    errors = tandem('plan', tap.MODEL, '--devices', path, status=1)
    assert 'devices[0].profile' in errors and 'desk-profile.json' in errors, errors
    # Without devices there is this one, with its profile.
    result = subprocess.run([TOOL, 'plan', tap.MODEL], env=environment, stdout=subprocess.PIPE,
                            timeout=120, check=True)
    assert b'gst-launch-1.0 -q fdsrc' in result.stdout, result.stdout


@tap.case('usage')
def test_usage():
    for arguments in ((), ('a', 'b'), ('a', '--objective', 'beauty'), ('a', '--formats', 'f8'),
                      ('a', '--micro-batch', '-1'), ('a', '--threads', '0'),
                      ('a', '--length', '-3'), ('a', '--precision', 'f64')):
        tandem('plan', *arguments, status=2)
    tap.need_model()
    assert '512' in tandem('plan', tap.MODEL, '--devices', EXAMPLE, '--length', '513', status=1)


@tap.case('nodes')
def test_nodes():
    """Nodes are devices of a plan as those of a file are; who is not there is left out."""
    tap.need_model()
    closed = devices.free_port()
    with Nodes(('--name=attic', '--memory=1G'), ('--name=cellar', '--memory=1G')) as nodes:
        answer = plan('--nodes=%s,127.0.0.1:%s' % (nodes, closed), '--formats=f32,q8')
        names = [device['name'] for device in answer['devices']]
        assert names[1:] == ['attic', 'cellar'] and len(names) == 3, names
        assert [device['memory'] for device in answer['devices'][1:]] == [1 << 30, 1 << 30]
        assert answer['placement']['stages'], answer
        with tempfile.TemporaryDirectory() as folder:
            path = write(folder, 'list', nodes.replace(',', '\n') + ' # two\n')
            split = write(folder, 'placement.json', {'stages': [
                {'device': 'attic', 'layers': '0-0', 'format': 'q8'},
                {'device': 'cellar', 'layers': '1-1'}]})
            given = plan('--nodes=@' + path, '--placement', split, '--formats=q8')
        stages = [(stage['device'], stage['layers']) for stage in given['placement']['stages']]
        assert stages == [('attic', '0-0'), ('cellar', '1-1')], stages
        ports = re.findall(r'tcpactsrc address=127.0.0.1 port=([0-9]+)',
                           ' '.join(line['line'] for line in given['lines']))
        assert len(set(ports)) == 3, ports


@tap.case('nodes-refused')
def test_nodes_refused():
    tap.need_model()
    text = tandem('plan', tap.MODEL, '--nodes', '--devices', EXAMPLE, status=2)
    assert 'exclude each other' in text, text
    text = tandem('plan', tap.MODEL, '--nodes=a b', status=1)
    assert 'is not an address' in text, text
    text = tandem('plan', tap.MODEL, '--nodes=127.0.0.1', '--key=/nonexistent', status=1)
    assert '/nonexistent' in text, text


tap.run()
