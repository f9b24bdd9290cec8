#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the cases of a meson test run, one by one, and ends with the status of the whole.

Usage: count-tests.py FOLDER-OF-LOGS STATUS-OF-MESON-TEST

The cases of programs that speak TAP are in testlog.junit.xml, what became of each program
in testlog.json: one that crashes or hangs after its last good case has only good cases.
"""

import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

GOOD = ('OK', 'EXPECTEDFAIL')
# What XML 1.0 does not allow, and meson writes all the same when a test prints it.
NOT_XML = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')


def read_cases(path):
    """The verdict of each case, by the name of its program."""
    with open(path, encoding='utf-8', errors='replace') as report:
        root = ElementTree.fromstring(NOT_XML.sub('?', report.read()).partition('?>')[2])
    cases = {}
    for case in root.iter('testcase'):
        if case.find('failure') is not None or case.find('error') is not None:
            verdict = 'failed'
        elif case.find('skipped') is not None:
            verdict = 'skipped'
        else:
            verdict = 'passed'
        cases.setdefault(case.get('classname'), []).append((case.get('name'), verdict))
    return cases


def read_programs(path):
    with open(path, encoding='utf-8', errors='replace') as log:
        return [json.loads(line) for line in log if line.strip()]


def count(folder):
    counts = {'passed': 0, 'failed': 0, 'skipped': 0}
    cases = read_cases(os.path.join(folder, 'testlog.junit.xml'))
    for program in read_programs(os.path.join(folder, 'testlog.json')):
        name, result = program['name'], program['result']
        own = [verdict for suite, verdict in cases.items() if suite.endswith('.' + name)]
        own = own[0] if own else []
        for case, verdict in own:
            counts[verdict] += 1
            if verdict == 'failed':
                print('failed: %s: %s' % (name, case))
        if result in GOOD:
            counts['passed'] += not own
        elif result == 'SKIP':
            counts['skipped'] += not own
        elif not any(verdict == 'failed' for _, verdict in own):
            counts['failed'] += 1
            print('failed: %s: %s' % (name, result))
    return counts


def main():
    folder, status = sys.argv[1], int(sys.argv[2])
    try:
        counts = count(folder)
    except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
        print('there is no report of the tests: %s' % error)
        counts = {'passed': 0, 'failed': 1, 'skipped': 0}
    if status != 0 and counts['failed'] == 0:
        print('meson test ended with status %d' % status)
        counts['failed'] = 1
    if counts['passed'] + counts['failed'] == 0:
        print('no test ran')
    print('%(passed)d passed, %(failed)d failed, %(skipped)d skipped' % counts)
    return 0 if counts['failed'] == 0 and counts['passed'] > 0 else 1


if __name__ == '__main__':
    sys.exit(main())
