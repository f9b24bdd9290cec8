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
C = '{http://www.gtk.org/introspection/c/1.0}'


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


def has_doc(node):
    return node is not None and node.find(CORE + 'doc') is not None


def is_undocumented(gir, name):
    """A function that needs no sentence besides those about its arguments and its result is
    documented by them; that they are all there is checked by gi-docgen."""
    for kind in ('function', 'method', 'constructor'):
        for node in gir.iter(CORE + kind):
            if node.get(C + 'identifier') == name:
                parts = [node, node.find(CORE + 'return-value'), *node.iter(CORE + 'parameter')]
                return not any(has_doc(part) for part in parts)
    return True


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
    gir = ElementTree.parse(GIR).getroot()
    identifiers = {}
    for node in gir.iter():
        if node.get(C + 'identifier'):
            identifiers.setdefault(node.get('name'), []).append(node.get(C + 'identifier'))
    missing = []
    for line in text.splitlines():
        if not line.startswith('WARNING'):
            continue
        symbol = re.search(r"^WARNING: Symbol 'Tandem\.(?:\w+\.)?(\w+)'.* is not documented", line)
        if symbol and not any(is_undocumented(gir, name)
                              for name in identifiers.get(symbol.group(1), ['?'])):
            continue
        missing.append(line)
    assert not missing, '\n'.join(missing)


tap.run()
