#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a script of the tokenizer with the Python of TANDEM_TEST_PYTHON and the test data.

run-tokenizer.py check LIBRARY awkward|code-points|reviews
run-tokenizer.py bench PROGRAM

Skips where that Python or the data are not there.
"""

import os
import sys


def skip(why):
    print("1..0 # SKIP %s" % why)
    sys.exit(0 if sys.argv[1] == "check" else 77)


def main():
    root = os.environ.get("TANDEM_SOURCE_ROOT", ".")
    data = os.environ.get("TANDEM_TEST_DATA") or os.path.join(root, "..", "shared", "data")
    python = os.environ.get("TANDEM_TEST_PYTHON")
    vocabulary = os.path.join(data, "bert-uncased", "vocab.txt")
    if sys.argv[1] == "check" and not python:
        skip("TANDEM_TEST_PYTHON names no Python with the package tokenizers")
    if not os.path.exists(vocabulary):
        skip("TANDEM_TEST_DATA names no folder with bert-uncased/vocab.txt")
    if sys.argv[1] == "check":
        arguments = [os.path.join(root, "tests", "python", "check-tokenizer.py"), sys.argv[2],
                     vocabulary, sys.argv[3]]
        if sys.argv[3] == "reviews":
            arguments += [os.path.join(data, "imdb", name + ".tsv.xz")
                          for name in ("train", "test")]
            if not os.path.exists(arguments[-1]):
                skip("TANDEM_TEST_DATA names no folder with imdb/test.tsv.xz")
    else:
        arguments = [os.path.join(root, "tests", "benchmark", "bench-tokenizer.py"), sys.argv[2],
                     data]
    os.execv(python or sys.executable, [python or sys.executable] + arguments)


main()
