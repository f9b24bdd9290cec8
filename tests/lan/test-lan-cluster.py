#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nodes that are found, planned with, and examined, on a network of namespaces."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap
from lan import Lan, ip
from lannode import Node

TOOL = os.environ['TANDEM_TEST_TOOL']


def run(host, *arguments, expect=0):
    """The JSON that a subcommand prints on a host."""
    result = subprocess.run(host.command(TOOL, *arguments, '--json'), env=host.environment(),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, check=False, timeout=60)
    assert result.returncode == expect, (result.returncode, result.stdout.decode(),
                                         result.stderr.decode())
    return json.loads(result.stdout)


def problems(report):
    return [(finding['area'], finding['subject'], finding['text'])
            for finding in report['findings'] if finding['level'] == 'problem']


class Keys:
    """Cluster keys in a folder that goes."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix='tandem-lan-')
        return self

    def make(self, name):
        path = os.path.join(self.folder, name)
        subprocess.run([TOOL, 'key', 'new', '--name', name, path], check=True,
                       stdout=subprocess.DEVNULL)
        return path

    def make_expired(self, name):
        """A key that was valid until yesterday."""
        path = os.path.join(self.folder, name)
        subprocess.run([os.environ['TANDEM_TEST_EXPIRED_KEY'], path], check=True)
        return path

    def __exit__(self, *reason):
        shutil.rmtree(self.folder, ignore_errors=True)


def three_nodes(hosts, key):
    names = ('attic', 'cellar', 'kitchen')
    return [Node(host, '--address=0.0.0.0', '--key', key, '--name', name)
            for host, name in zip(hosts, names)]


def check_plan(host, key):
    """The same nodes are the devices of a plan."""
    begin = time.monotonic()
    answer = run(host, 'plan', tap.MODEL, '--nodes', '--key', key)
    print('# found, measured and planned in %.1f s' % (time.monotonic() - begin))
    assert sorted(device['name'] for device in answer['devices'][1:]) == \
        ['attic', 'cellar', 'kitchen'], answer
    assert answer['placement']['stages'], answer


@tap.case('in-order')
def test_in_order():
    """Three nodes are found by mDNS, and there is nothing to complain of."""
    tap.need_model()
    with Keys() as keys, Lan(4) as hosts:
        key = keys.make('home')
        nodes = three_nodes(hosts[1:], key)
        try:
            for node in nodes:
                node.wait('announced')
            report = run(hosts[0], 'doctor', '--key', key)
            assert report['problems'] == 0, problems(report)
            seen = {finding['subject']: finding['details'] for finding in report['findings']
                    if finding['area'] == 'node' and 'details' in finding}
            assert sorted(seen) == ['attic', 'cellar', 'kitchen'], seen
            assert all(node['usable'] and node['bandwidth_out'] > 1e6 and
                       node['bandwidth_in'] > 1e6 and node['delay'] > 0
                       for node in seen.values()), seen
            assert sorted(node['host'] for node in seen.values()) == \
                ['10.77.0.2', '10.77.0.3', '10.77.0.4'], seen
            echo = [finding for finding in report['findings'] if finding['subject'] == 'eth0']
            assert echo[0]['details']['echo'], echo
            check_plan(hosts[0], key)
            without = run(hosts[0], 'doctor', '--key', key, '--no-measure')
            assert not any('bandwidth_out' in finding.get('details', {})
                           for finding in without['findings'])
        finally:
            for node in nodes:
                node.__exit__()


@tap.case('wrong-key')
def test_wrong_key():
    with Keys() as keys, Lan(2) as hosts, \
            Node(hosts[1], '--address=0.0.0.0', '--key', keys.make('office'),
                 '--name=attic') as node:
        node.wait('announced')
        report = run(hosts[0], 'doctor', '--key', keys.make('home'), expect=1)
        found = [text for area, _, text in problems(report) if area == 'node']
        assert len(found) == 1 and '"home"' in found[0], problems(report)


@tap.case('no-key')
def test_no_key():
    with Lan(2) as hosts, Node(hosts[1], '--address=0.0.0.0', '--insecure',
                               '--name=attic') as node:
        node.wait('announced')
        report = run(hosts[0], 'doctor', '--key', '/nonexistent/key', expect=1)
        areas = [area for area, _, _ in problems(report)]
        assert areas == ['key', 'node'], problems(report)
        assert run(hosts[0], 'doctor', '--insecure')['problems'] == 0


@tap.case('expired-key')
def test_expired_key():
    """On the device that looks; where the node has it, it does not start."""
    with Keys() as keys, Lan(2) as hosts, \
            Node(hosts[1], '--address=0.0.0.0', '--key', keys.make('home'),
                 '--name=attic') as node:
        node.wait('announced')
        report = run(hosts[0], 'doctor', '--key', keys.make_expired('old'), expect=1)
        found = {area: text for area, _, text in problems(report)}
        assert sorted(found) == ['key', 'node'], problems(report)
        assert 'is not valid' in found['key'] and 'expired' in found['node'], found


@tap.case('unreachable')
def test_unreachable():
    """Its cable is pulled, though it is still announced; another one listens elsewhere."""
    with Keys() as keys, Lan(3) as hosts:
        key = keys.make('home')
        with Node(hosts[1], '--address=0.0.0.0', '--key', key, '--name=attic') as gone, \
                Node(hosts[2], '--address=127.0.0.1', '--key', key, '--name=cellar') as inside:
            gone.wait('announced')
            assert run(hosts[0], 'doctor', '--key', key, '--no-measure')['problems'] == 0
            hosts[1].pull_plug()
            report = run(hosts[0], 'doctor', '--key', key, expect=1)
            found = [name for area, name, _ in problems(report) if area == 'node']
            assert found == ['attic'], problems(report)
            listed = '10.77.0.3:%d' % inside.port
            report = run(hosts[0], 'doctor', '--key', key, '--nodes', listed, expect=1)
            found = problems(report)
            assert len(found) == 1 and 'refused' in found[0][2], found


@tap.case('no-daemon')
def test_no_daemon():
    """Without a daemon a list does; without both it says what to start."""
    with Keys() as keys, Lan(2) as hosts:
        key = keys.make('home')
        with Node(hosts[1], '--address=0.0.0.0', '--key', key, '--name=attic') as node:
            hosts[0].stop('avahi')
            report = run(hosts[0], 'doctor', '--key', key, expect=1)
            assert [area for area, _, _ in problems(report)] == ['discovery', 'node'], \
                problems(report)
            report = run(hosts[0], 'doctor', '--key', key, '--nodes', '10.77.0.2:%d' % node.port)
            assert report['problems'] == 0, problems(report)


@tap.case('interface-down')
def test_interface_down():
    with Lan(1) as hosts:
        ip('-n', hosts[0].namespace, 'link', 'set', 'eth0', 'down')
        report = run(hosts[0], 'doctor', '--insecure', expect=1)
        assert ('network', 'network') in [(area, name) for area, name, _ in problems(report)]


@tap.case('two-interfaces')
def test_two_interfaces():
    """A node on two Ethernets, which is listed besides, is one."""
    with Keys() as keys, Lan(2, ethernets=2) as hosts:
        key = keys.make('home')
        with Node(hosts[1], '--address=0.0.0.0', '--key', key, '--name=attic') as node:
            node.wait('announced')
            os.environ['TANDEM_NODES'] = '10.77.0.2:%d,10.77.1.2:%d' % (node.port, node.port)
            try:
                report = run(hosts[0], 'doctor', '--key', key, '--no-measure')
            finally:
                del os.environ['TANDEM_NODES']
            nodes = [finding for finding in report['findings'] if finding['area'] == 'node']
            assert len(nodes) == 1 and nodes[0]['subject'] == 'attic', nodes


@tap.case('link-local')
def test_link_local():
    """Nothing but addresses of IPv6 that are valid on one link, where each host calls its interface
    otherwise: nodes reach each other all the same, when they are measured and when they are the
    stages of a model."""
    tap.need_model()
    with Keys() as keys, Lan(3, ipv6_only=True, prefixes=('eth', 'lan', 'wifi')) as hosts:
        key = keys.make('home')
        with Node(hosts[1], '--key', key, '--name=attic') as attic, \
                Node(hosts[2], '--key', key, '--name=cellar') as cellar:
            attic.wait('announced')
            cellar.wait('announced')
            report = run(hosts[0], 'doctor', '--key', key)
            seen = {finding['subject']: finding['details'] for finding in report['findings']
                    if finding['area'] == 'node' and 'details' in finding}
            assert sorted(seen) == ['attic', 'cellar'], report
            assert all(node['host'].startswith('fe80::') and node['usable']
                       for node in seen.values()), seen
            answer = run(hosts[0], 'plan', tap.MODEL, '--nodes', '--key', key)
            assert len(answer['devices']) == 3, answer
            print('# %s' % [node['host'] for node in seen.values()])
            for first, second in (('attic', 'cellar'), ('cellar', 'attic')):
                placement = os.path.join(keys.folder, 'placement.json')
                with open(placement, 'w', encoding='ascii') as file:
                    json.dump({'stages': [{'device': first, 'layers': '0-0', 'format': 'f32'},
                                          {'device': second, 'layers': '1-1'}]}, file)
                result = subprocess.run(
                    hosts[0].command(TOOL, 'run', '--key', key, '--no-local', '--placement',
                                     placement, '--json', '--format=csv', tap.MODEL),
                    env=hosts[0].environment(), input=b'What a wonderful film.\nA dull one.\n',
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60)
                assert result.returncode == 0, result.stderr.decode()
                assert result.stdout.count(b'\n') == 3, result.stdout
                assert ('0-0 %s, 1-1 %s' % (first, second)).encode() in result.stderr, \
                    result.stderr


tap.run()
