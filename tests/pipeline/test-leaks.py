#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""GStreamer's own tracer finds no buffer, event or element that outlives its pipeline."""

import os
import subprocess
import sys

import tap

LEAKY = os.path.abspath(sys.argv[3])

# The other tracers are left out: together with them this one reported leaks that were none.
ENVIRONMENT = dict(os.environ, GST_TRACERS='leaks', GST_DEBUG='GST_TRACER:7', GST_DEBUG_NO_COLOR='1')


def trace(command, **options):
    result = subprocess.run(command, env=ENVIRONMENT, timeout=120, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, check=False, **options)
    messages = result.stderr.decode()
    # Where the tracer describes its own records there is a %s in place of a name.
    alive = [line for line in messages.splitlines()
             if 'object-alive, type-name=(string)' in line and '(string)%s' not in line]
    return result.returncode, alive, messages


def launch(line, **options):
    return trace(['gst-launch-1.0', '-q', *line.split()], **options)


@tap.case('tracer-works')
def test_tracer_works():
    status, alive, messages = launch('fakesrc num-buffers=3 ! fakesink')
    assert status == 0 and not alive, messages
    status, alive, messages = trace([LEAKY])
    assert status == 0 and any('<forgotten>' in line for line in alive), messages


@tap.case('one-stage')
def test_one_stage():
    tap.need_model()
    line = ('fdsrc ! lineparse ! tokenize model={0} ! microbatch size=3 ! bertstage model={0} ! '
            'sentimentsink').format(tap.MODEL)
    status, alive, messages = launch(line, input=b'Good.\nBad.\n' * 8)
    assert status == 0 and not alive, messages


@tap.case('two-stages')
def test_two_stages():
    tap.need_model()
    line = ('fdsrc ! lineparse ! tokenize model={0} ! bertstage model={0} layers=0-0 ! queue ! '
            'bertstage model={0} layers=1- ! sentimentsink').format(tap.MODEL)
    status, alive, messages = launch(line, input=b'Good.\nBad.\n' * 8)
    assert status == 0 and not alive, messages


@tap.case('failure')
def test_failure():
    """A pipeline that fails on the way leaves nothing behind either."""
    tap.need_model()
    line = ('fdsrc ! lineparse ! tokenize model={0} ! bertstage model={0} ! '
            'sentimentsink location=/dev/full').format(tap.MODEL)
    status, alive, messages = launch(line, input=b'Good.\nBad.\n' * 8)
    assert status != 0 and not alive, messages


tap.run()
