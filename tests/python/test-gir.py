#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library through GObject introspection: it loads in Python, and all of it is documented."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap

GIR = os.path.join(tap.BUILD, 'lib', 'Tandem-1.0.gir')
CORE = '{http://www.gtk.org/introspection/core/1.0}'


def import_tandem():
    try:
        import gi
        gi.require_version('Gst', '1.0')
    except (ImportError, ValueError) as error:
        raise tap.Skip('PyGObject or the GStreamer typelib is missing: %s' % error)
    gi.require_version('Tandem', '1.0')
    from gi.repository import Gst, Tandem
    Gst.init(None)
    Tandem.init()
    return Tandem


@tap.case('loads')
def test_loads():
    tandem = import_tandem()
    assert re.fullmatch(r'\d+\.\d+\.\d+', tandem.version())
    assert tandem.RowFormat.F32LE.value_nick == 'f32le'


@tap.case('tensor')
def test_tensor():
    tandem = import_tandem()
    from gi.repository import GLib
    tensor = tandem.Tensor.new(tandem.Dtype.F32, [2, 3], GLib.Bytes.new(bytes(24)))
    assert tensor.get_n_elements() == 6
    try:
        tandem.Tensor.new(tandem.Dtype.F32, [2, 4], GLib.Bytes.new(bytes(24)))
    except GLib.Error:
        return
    raise AssertionError('a tensor of the wrong size was made')


def needs_no_sentence(node):
    """Of a function that is documented by what its arguments and its result are; that these are all
    there is checked by gi-docgen. The quark of an error domain is what it always is."""
    if node.get('name') == 'quark':
        return True
    parts = [node.find(CORE + 'return-value'), *node.iter(CORE + 'parameter'),
             *node.iter(CORE + 'instance-parameter')]
    return any(part is not None and part.find(CORE + 'doc') is not None for part in parts)


def find_callables(gir):
    """Every function by the name that gi-docgen gives it."""
    namespace = gir.find(CORE + 'namespace')
    callables = {}
    for parent in (namespace, *namespace):
        for kind in ('function', 'method', 'constructor'):
            for node in parent.findall(CORE + kind):
                names = ['Tandem', parent.get('name'), node.get('name')]
                if parent is namespace:
                    del names[1]
                callables['.'.join(names)] = node
    return callables


@tap.case('documented')
def test_documented():
    """What gi-docgen misses."""
    try:
        result = subprocess.run(
            ['gi-docgen', 'check', '--config', os.path.join(tap.BUILD, 'docs', 'tandem.toml'),
             '--add-include-path', os.path.dirname(GIR), GIR],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    except FileNotFoundError:
        raise tap.Skip('gi-docgen is missing')
    text = re.sub(r'\x1b\[[0-9;]*m', '', result.stdout.decode())
    assert 'Elapsed time' in text, text
    callables = find_callables(ElementTree.parse(GIR).getroot())
    missing = []
    for line in text.splitlines():
        found = re.match(r"WARNING: .*[Ss]ymbol '([\w.]+)'", line)
        node = callables.get(found.group(1)) if found else None
        if line.startswith('WARNING') and not (node is not None and needs_no_sentence(node)):
            missing.append(line)
    assert not missing, '\n'.join(missing)


tap.run()
