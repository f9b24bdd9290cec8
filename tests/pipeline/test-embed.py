#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The example application gets a result for each review, and a reason when there is none."""

import os
import subprocess
import sys

import tap

EMBED = os.path.abspath(sys.argv[2])


def embed(*arguments):
    return subprocess.run([EMBED, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)


@tap.case('examples')
def test_examples():
    tap.need_model()
    result = embed(tap.MODEL)
    assert result.returncode == 0, result.stderr.decode()
    lines = result.stdout.splitlines()
    assert lines[0].startswith(b'positive ('), lines
    assert lines[1].startswith(b'negative ('), lines
    assert len(lines) == 2, lines


@tap.case('many')
def test_many():
    tap.need_model()
    reviews = ['A wonderful film, number %d.' % number for number in range(100)]
    result = embed(tap.MODEL, *reviews)
    assert result.returncode == 0, result.stderr.decode()
    assert [line.partition(': ')[2] for line in result.stdout.decode().splitlines()] == reviews


@tap.case('missing-model')
def test_missing_model():
    result = embed('/nowhere/model')
    assert result.returncode == 1, result
    assert b'/nowhere/model' in result.stderr, result.stderr


tap.run()
