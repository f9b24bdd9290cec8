#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/run counts what meson reports, and a crash or a hang is never counted as good."""

import os
import subprocess
import sys
import tempfile

import tap

COUNT = os.path.join(tap.ROOT, 'build-aux', 'count-tests.py')


def count(programs, suites, status):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, 'testlog.json'), 'w', encoding='utf-8') as log:
            for name, result in programs:
                log.write('{"name": "%s", "result": "%s"}\n' % (name, result))
        with open(os.path.join(folder, 'testlog.junit.xml'), 'w', encoding='utf-8') as report:
            report.write("<?xml version='1.0' encoding='utf-8'?>\n<testsuites>")
            for name, cases in suites:
                report.write('<testsuite name="t.%s">' % name)
                for number, verdict in enumerate(cases):
                    report.write('<testcase name="%d" classname="t.%s">%s</testcase>' %
                                 (number, name, verdict))
                report.write('<system-out>\x01</system-out></testsuite>')
            report.write('</testsuites>')
        result = subprocess.run([sys.executable, COUNT, folder, str(status)],
                                stdout=subprocess.PIPE, check=False)
        return result.stdout.decode().splitlines()[-1], result.returncode


@tap.case('good')
def test_good():
    assert count([('t / a', 'OK'), ('t / b', 'OK'), ('t / c', 'SKIP')],
                 [('t / a', ['', '<skipped/>', ''])], 0) == ('3 passed, 0 failed, 2 skipped', 0)


@tap.case('failing-case')
def test_failing_case():
    assert count([('t / a', 'FAIL')], [('t / a', ['', '<failure/>', '<error/>'])], 1) == \
        ('1 passed, 2 failed, 0 skipped', 1)


@tap.case('crash-and-hang')
def test_crash_and_hang():
    assert count([('t / a', 'ERROR'), ('t:unit / b', 'TIMEOUT'), ('t / c', 'TIMEOUT')],
                 [('t / a', ['', '']), ('t:unit / b', [''])], 3) == \
        ('3 passed, 3 failed, 0 skipped', 1)


@tap.case('nothing-ran')
def test_nothing_ran():
    assert count([], [], 0) == ('0 passed, 0 failed, 0 skipped', 1)
    assert count([('t / a', 'SKIP')], [], 0) == ('0 passed, 0 failed, 1 skipped', 1)


@tap.case('status-counts')
def test_status_counts():
    assert count([('t / a', 'OK')], [], 1) == ('1 passed, 1 failed, 0 skipped', 1)


@tap.case('no-report')
def test_no_report():
    result = subprocess.run([sys.executable, COUNT, '/nowhere', '0'], stdout=subprocess.PIPE,
                            check=False)
    assert result.stdout.splitlines()[-1] == b'0 passed, 1 failed, 0 skipped'
    assert result.returncode == 1


tap.run()
