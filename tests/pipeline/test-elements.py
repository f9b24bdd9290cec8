#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every element is found, describes itself, and is described in docs/elements.md."""

import os
import re
import subprocess

import tap

ELEMENTS = ('reviewsrc', 'lineparse', 'tokenize', 'microbatch', 'bertstage', 'bertbin', 'tcpactsink',
            'tcpactsrc', 'sentimentsink', 'sentimentloss')
# What an element has from its base classes.
INHERITED = {
    'name', 'parent', 'sync', 'max-lateness', 'qos', 'async', 'ts-offset', 'enable-last-sample',
    'last-sample', 'blocksize', 'render-delay', 'throttle-time', 'max-bitrate',
    'processing-deadline', 'stats', 'num-buffers', 'typefind', 'do-timestamp',
    'disable-passthrough', 'async-handling', 'message-forward',
}


def inspect(name):
    return subprocess.run(['gst-inspect-1.0', name], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)


def properties_of(text):
    part = text[text.index('Element Properties:'):]
    return re.findall(r'^  ([a-z][a-z0-9-]*) +: (.*)$', part, re.MULTILINE)


def check(name):
    result = inspect(name)
    text = result.stdout.decode()
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b'', result.stderr.decode()
    assert re.search(r'License +LGPL', text) and re.search(r'Origin URL', text), text
    with open(os.path.join(tap.ROOT, 'docs', 'elements.md'), encoding='utf-8') as file:
        section = re.search(r'^## `%s`$(.*?)(?=^## |\Z)' % name, file.read(),
                            re.MULTILINE | re.DOTALL)
    assert section, 'docs/elements.md has no section'
    own = [(key, blurb) for key, blurb in properties_of(text) if key not in INHERITED]
    table = re.search(r'^\| property \|.*\n\|[-|]+\n((?:\|.*\n)+)', section.group(1), re.MULTILINE)
    documented = re.findall(r'^\| `([a-z0-9-]+)` \|', table.group(1), re.MULTILINE)
    for key, blurb in own:
        assert len(blurb) > 8, (key, blurb)
        assert key in documented, '%s is not in docs/elements.md' % key
    for key in documented:
        assert key in [own_key for own_key, _ in own] or key in INHERITED, \
            '%s is in docs/elements.md only' % key


for element in ELEMENTS:
    tap.case(element)(lambda element=element: check(element))


@tap.case('unknown-is-not-found')
def test_unknown():
    assert inspect('nosuchelement').returncode != 0


tap.run()
