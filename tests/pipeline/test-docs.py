#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The launch lines in README.md and docs/: all parse, and those that need no network run."""

import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile

import tap

PARSE_LAUNCH = os.path.abspath(sys.argv[1])
BLOCK = re.compile(r'^```(sh|gst)\n(.*?)^```', re.MULTILINE | re.DOTALL)


def logical_lines(text):
    return [line.strip() for line in text.replace('\\\n', ' ').splitlines() if line.strip()]


def blocks(kind):
    """(file, line) of every launch line in a block of this kind."""
    for path in [os.path.join(tap.ROOT, 'README.md'),
                 *sorted(glob.glob(os.path.join(tap.ROOT, 'docs', '*.md')))]:
        with open(path, encoding='utf-8') as file:
            text = file.read()
        for found_kind, body in BLOCK.findall(text):
            if found_kind == kind:
                for line in logical_lines(body):
                    yield os.path.relpath(path, tap.ROOT), line


def shell(line, environment, **options):
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(['sh', '-c', line], cwd=folder, env=environment, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              **options)


@tap.case('lines-parse')
def test_lines_parse():
    lines = [(path, line) for path, line in blocks('sh') if 'gst-launch-1.0' in line]
    assert lines
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(PARSE_LAUNCH, os.path.join(folder, 'gst-launch-1.0'))
        environment = dict(os.environ, PATH=folder + ':' + os.environ['PATH'], MODEL=folder)
        for path, line in lines:
            result = shell(line, environment, stdin=subprocess.DEVNULL)
            assert result.returncode == 0, (path, line, result.stderr.decode())
        bad = shell('gst-launch-1.0 fdsrc ! nosuchelement', environment, stdin=subprocess.DEVNULL)
        assert bad.returncode != 0
    for path, line in blocks('gst'):
        result = subprocess.run([PARSE_LAUNCH, *shlex.split(line)], stderr=subprocess.PIPE,
                                check=False)
        assert result.returncode == 0, (path, line, result.stderr.decode())


@tap.case('lines-run')
def test_lines_run():
    """Those that read reviews from standard input and stay on this device."""
    tap.need_model()
    environment = dict(os.environ, MODEL=tap.MODEL)
    ran = 0
    for path, line in blocks('sh'):
        if 'gst-launch-1.0' not in line or 'fdsrc' not in line or 'tcpact' in line:
            continue
        result = shell(line, environment, input=b'A wonderful film.\nA waste of time.\n')
        assert result.returncode == 0, (path, line, result.stderr.decode())
        ran += 1
    assert ran > 0


@tap.case('named-files-exist')
def test_named_files_exist():
    """Links between documents, and commands that start in the source folder."""
    for path in [os.path.join(tap.ROOT, 'README.md'),
                 *sorted(glob.glob(os.path.join(tap.ROOT, 'docs', '*.md')))]:
        with open(path, encoding='utf-8') as file:
            text = file.read()
        for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', text):
            if '://' not in target:
                full = os.path.join(os.path.dirname(path), target)
                assert os.path.exists(full), (path, target)
    for path, line in blocks('sh'):
        command = shlex.split(line, comments=True)
        if command and re.match(r'(\./)?(pipelines|tests|build-aux)/', command[0]):
            assert os.access(os.path.join(tap.ROOT, command[0]), os.X_OK), (path, line)


tap.run()
