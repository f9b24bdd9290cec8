#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No room of lib/ includes one that is below it in the table of docs/architecture.md."""

import glob
import os
import re

import tap

# Of lib/ itself, and of the build.
COMMON = {'config.h', 'tandem-enums.h', 'tandem-export.h', 'tandem-init.h'}
# Beside the library, whose whole API they use.
OUTSIDE = {'classify', 'fit', 'tools'}


def list_rooms():
    with open(os.path.join(tap.ROOT, 'docs', 'architecture.md'), encoding='utf-8') as file:
        return re.findall(r'^\| `lib/(\w+)`', file.read(), re.M)


def find_fault(rooms, room, included, neighbours):
    """What is wrong with an include, or None."""
    if included in COMMON:
        return None
    if '/' in included:
        other = included.split('/')[0]
        if other not in rooms:
            return 'is of no room'
        return 'is of a room below' if rooms.index(other) > rooms.index(room) else None
    if included in neighbours or room in OUTSIDE:
        return None
    return 'is none of its neighbours'


@tap.case('the table names all rooms')
def test_table():
    rooms = list_rooms()
    folders = {os.path.basename(os.path.dirname(path))
               for path in glob.glob(os.path.join(tap.ROOT, 'lib', '*', 'meson.build'))}
    assert set(rooms) == folders and len(rooms) == len(folders), (rooms, folders)


@tap.case('no room includes one below it')
def test_order():
    rooms = list_rooms()
    count, faults = 0, []
    for room in rooms:
        files = glob.glob(os.path.join(tap.ROOT, 'lib', room, '*.[ch]'))
        neighbours = {os.path.basename(path) for path in files}
        for path in files:
            with open(path, encoding='utf-8') as file:
                for included in re.findall(r'^#\s*include "([^"]+)"', file.read(), re.M):
                    count += 1
                    fault = find_fault(rooms, room, included, neighbours)
                    if fault:
                        faults.append('%s: %s %s' % (path, included, fault))
    assert not faults, '\n'.join(faults)
    assert count > 500, count


@tap.case('what is wrong is found')
def test_fault():
    rooms = ['base', 'text', 'train', 'tools']
    assert find_fault(rooms, 'text', 'base/a.h', set()) is None
    assert find_fault(rooms, 'text', 'b.h', {'b.h'}) is None
    assert find_fault(rooms, 'tools', 'tandem.h', set()) is None
    assert find_fault(rooms, 'text', 'train/a.h', set())
    assert find_fault(rooms, 'text', 'tandem.h', set())
    assert find_fault(rooms, 'text', 'attic/a.h', set())


tap.run()
