#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""All test reviews over three hosts, many times, each with a kill -9 of some device at some moment.

    TANDEM_TEST_DATA=FOLDER soak-run.py ETHERNET [RUNS [SEED [NODES [SHARE [RATE]]]]]

The folder has imdb/test.tsv.xz, as for the test all-reviews; TANDEM_MODEL names another model. There
are two nodes beside the device that asks, or NODES. With SHARE each device, the one that asks too,
has that much of a processor, so that a split over all of them is worth it; wires carry 100 Mbit/s, or
RATE. A run kills a node that has layers at that moment. It prints which, what of the chain it was, when, the longest pause of the
results after that, and how many results were missing, double or different from those of one device.
It needs root. The exit status is 1 when one was."""

import contextlib
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap
from wired import Node, Run, Slow, WiredLan

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


def choose_victim(run, rng):
    """A host that has layers, and what it is of the chain."""
    run.wait_cluster(timeout=600)
    placement = [event for event in run.events
                 if event['event'] in ('plan', 'moved') and event['placement']][-1]['placement']
    stops = placement.split(', ')
    place = rng.choice([i for i, stop in enumerate(stops) if 'host' in stop])
    what = 'first' if place == 0 else 'last' if place == len(stops) - 1 else 'middle'
    return (int(re.search(r'host(\d+)', stops[place]).group(1)) - 2,
            '%s of %d' % (what, len(stops)) if len(stops) > 1 else 'all layers')


def soak(number, hosts, key, nodes, options, cache, expected, rng, slow):
    moment = rng.randrange(1, max(len(expected) * 9 // 10, 2))
    with Run(hosts[0], key, '--no-local', *options, cache=cache, slow=slow) as run:
        run.process.stdin.close()
        run.wait_results(moment, timeout=3600)
        victim, what = choose_victim(run, rng)
        at = time.monotonic() - run.began
        nodes[victim].kill()
        gap = run.longest_pause(1500)
        nodes[victim].start()
        results = run.finish(timeout=3600)
    ids = read_ids(results)
    missing = len(expected) - len(set(ids))
    double = len(ids) - len(set(ids))
    different = len(set(results) - set(expected))
    print('run %2d: killed host %d (%s) after %5.1f s (%d results), longest pause %.2f s; '
          'missing %d, double %d, different %d' % (number, victim + 2, what, at, moment, gap,
                                                   missing, double, different), flush=True)
    return missing == double == different == 0, gap


def main():
    ethernet = sys.argv[1]
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    n_nodes = int(sys.argv[4]) if len(sys.argv) > 4 else 2
    share = float(sys.argv[5]) if len(sys.argv) > 5 else None
    rate = float(sys.argv[6]) if len(sys.argv) > 6 else 100
    model = os.environ.get('TANDEM_MODEL', tap.MODEL)
    good, gaps = [], []
    with tempfile.TemporaryDirectory(prefix='tandem-soak-') as folder, \
            contextlib.ExitStack() as stack, WiredLan(n_nodes + 1, ethernet, rate=rate) as hosts:
        key = os.path.join(folder, 'cluster.key')
        subprocess.run([TOOL, 'key', 'new', key], check=True, stdout=subprocess.DEVNULL)
        data = os.path.join(folder, 'test.tsv')
        packed = os.path.join(os.environ['TANDEM_TEST_DATA'], 'imdb', 'test.tsv.xz')
        with lzma.open(packed) as source, open(data, 'wb') as target:
            shutil.copyfileobj(source, target)
        expected = alone(data, model, folder)
        print('%d reviews' % len(expected), flush=True)
        slow = [share and stack.enter_context(Slow(share, 'host%d' % host.number))
                for host in hosts]
        with contextlib.ExitStack() as running:
            nodes = [running.enter_context(Node(host, key, slow=its))
                     for host, its in zip(hosts[1:], slow[1:])]
            for number in range(1, runs + 1):
                ok, gap = soak(number, hosts, key, nodes, ['--data', data, model],
                               os.path.join(folder, 'cache'), expected, rng, slow[0])
                good.append(ok)
                gaps.append(gap)
    print('%d of %d runs without fault; longest pause %.2f s' % (sum(good), runs, max(gaps)))
    return 0 if all(good) else 1


if __name__ == '__main__':
    sys.exit(main())
