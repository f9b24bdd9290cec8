#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nodes on a network of namespaces: how they are announced, and reached."""

import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap
from lan import Lan, wait_for
from lannode import Node

TYPE = '_tandem-node._tcp'
ASK = r'''
import socket, struct, sys
message = b'{"id":1,"request":"describe"}'
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as peer:
    peer.sendall(b'TNDMN\1\0\0J' + struct.pack('<I', len(message)) + message)
    with peer.makefile('rb') as stream:
        assert stream.read(8)[:5] == b'TNDMN'
        kind, size = struct.unpack('<cI', stream.read(5))
        sys.stdout.buffer.write(stream.read(size))
'''


def browse(host):
    """What a host knows of nodes: the records of each, as a dictionary by name."""
    if shutil.which('avahi-browse') is None:
        raise tap.Skip('missing: avahi-browse (package avahi-utils)')
    text = subprocess.run(host.command('avahi-browse', '-rpt', TYPE), env=host.environment(),
                          stdout=subprocess.PIPE, check=True).stdout.decode()
    found = {}
    for line in text.splitlines():
        fields = line.split(';')
        if fields[0] == '=' and fields[2] == 'IPv4':
            facts = dict(fact.split('=', 1) for fact in re.findall(r'"([^"]*)"', fields[9]))
            found[fields[3]] = (fields[7], int(fields[8]), facts)
    return found


@tap.case('announced')
def test_announced():
    with Lan(2) as hosts, Node(hosts[0], '--insecure', '--name=attic', '--memory=1G') as node:
        assert 'attic' in node.wait('announced')['message']
        wait_for(lambda: 'attic' in browse(hosts[1]), 'attic')
        address, port, facts = browse(hosts[1])['attic']
        assert (address, port) == ('10.77.0.1', node.port)
        assert facts['node'].startswith('1.') and facts['name'] == 'attic', facts
        assert facts['memory'] == str(1 << 30) and facts['busy'] == '0', facts
        answer = json.loads(subprocess.run(
            hosts[1].command(sys.executable, '-c', ASK, address, str(port)),
            stdout=subprocess.PIPE, check=True).stdout)
        assert answer['name'] == 'attic' and answer['device'] == facts['id'], answer
        node.stop()
        wait_for(lambda: 'attic' not in browse(hosts[1]), 'a goodbye')


@tap.case('hidden')
def test_hidden():
    """Neither who does not want to be seen, nor who could not be reached."""
    with Lan(2) as hosts, Node(hosts[0], '--insecure', '--name=one', '--hidden'), \
            Node(hosts[0], '--name=two'), Node(hosts[0], '--insecure', '--name=three') as seen:
        seen.wait('announced')
        wait_for(lambda: 'three' in browse(hosts[1]), 'three')
        assert list(browse(hosts[1])) == ['three']


tap.run()
