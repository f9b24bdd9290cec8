#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""All test reviews over three hosts, many times, each with a kill -9 of some device at some moment.

    TANDEM_TEST_DATA=FOLDER soak-run.py ETHERNET [RUNS [SEED]]

The folder has imdb/test.tsv.xz, as for the test all-reviews; TANDEM_MODEL names another model. A run
prints whom it killed, when, the longest pause of the results after that, and how many results were
missing, double or different from those of one device. It needs root. The exit status is 1 when one
was."""

import lzma
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap
from wired import Node, Run, WiredLan

TOOL = os.environ['TANDEM_TEST_TOOL']


def read_ids(lines):
    return [int(line.split(',', 1)[0]) for line in lines]


def alone(data, model, folder):
    path = os.path.join(folder, 'alone.csv')
    subprocess.run(['gst-launch-1.0', '-q', *(
        'reviewsrc location=%s ! tokenize model=%s ! microbatch ! bertstage model=%s ! '
        'sentimentsink summary=false format=csv location=%s' % (data, model, model, path)).split()],
        check=True)
    with open(path, encoding='utf-8') as file:
        return file.read().splitlines()[1:]


def soak(number, hosts, key, nodes, options, cache, expected, rng):
    victim = rng.randrange(len(nodes))
    moment = rng.randrange(1, max(len(expected) * 9 // 10, 2))
    with Run(hosts[0], key, '--no-local', *options, cache=cache) as run:
        run.process.stdin.close()
        run.wait_results(moment, timeout=3600)
        at = time.monotonic() - run.began
        nodes[victim].kill()
        gap = run.longest_pause(1500)
        nodes[victim].start()
        results = run.finish(timeout=3600)
    ids = read_ids(results)
    missing = len(expected) - len(set(ids))
    double = len(ids) - len(set(ids))
    different = len(set(results) - set(expected))
    print('run %2d: killed host %d after %5.1f s (%d results), longest pause %.2f s; '
          'missing %d, double %d, different %d' % (number, victim + 2, at, moment, gap, missing,
                                                   double, different), flush=True)
    return missing == double == different == 0, gap


def main():
    ethernet = sys.argv[1]
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    model = os.environ.get('TANDEM_MODEL', tap.MODEL)
    good, gaps = [], []
    with tempfile.TemporaryDirectory(prefix='tandem-soak-') as folder, \
            WiredLan(3, ethernet) as hosts:
        key = os.path.join(folder, 'cluster.key')
        subprocess.run([TOOL, 'key', 'new', key], check=True, stdout=subprocess.DEVNULL)
        data = os.path.join(folder, 'test.tsv')
        packed = os.path.join(os.environ['TANDEM_TEST_DATA'], 'imdb', 'test.tsv.xz')
        with lzma.open(packed) as source, open(data, 'wb') as target:
            shutil.copyfileobj(source, target)
        expected = alone(data, model, folder)
        print('%d reviews' % len(expected), flush=True)
        with Node(hosts[1], key) as first, Node(hosts[2], key) as second:
            for number in range(1, runs + 1):
                ok, gap = soak(number, hosts, key, [first, second],
                               ['--data', data, model],
                               os.path.join(folder, 'cache'), expected, rng)
                good.append(ok)
                gaps.append(gap)
    print('%d of %d runs without fault; longest pause %.2f s' % (sum(good), runs, max(gaps)))
    return 0 if all(good) else 1


if __name__ == '__main__':
    sys.exit(main())
