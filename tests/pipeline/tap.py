# SPDX-License-Identifier: LGPL-2.1-or-later
"""A test program in Python that speaks TAP: add cases with @case, end with run()."""

import os
import sys
import traceback

ROOT = os.environ['TANDEM_SOURCE_ROOT']
BUILD = os.environ['TANDEM_BUILD_ROOT']
MODEL = os.path.join(ROOT, 'pipelines', 'models', 'tinybert-imdb')

_cases = []


class Skip(Exception):
    """Raised by a case that cannot run here."""


def case(name):
    def add(function):
        _cases.append((name, function))
        return function
    return add


def need_model():
    if not os.path.exists(os.path.join(MODEL, 'config.json')):
        raise Skip('there is no default model in pipelines/models')


def run():
    failed = 0
    print('1..%d' % len(_cases), flush=True)
    for number, (name, function) in enumerate(_cases, 1):
        try:
            function()
            print('ok %d %s' % (number, name), flush=True)
        except Skip as reason:
            print('ok %d %s # SKIP %s' % (number, name, reason), flush=True)
        except Exception:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print('# %s' % line)
            print('not ok %d %s' % (number, name), flush=True)
    sys.exit(1 if failed else 0)
