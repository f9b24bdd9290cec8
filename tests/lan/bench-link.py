#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two stages on two hosts, and a link that is slower than they: what formats of activations are worth.

    bench-link.py ETHERNET [ROUNDS [MEGABITS]]

Reviews a second at the end of the second stage, formats interleaved, with a cluster key. It needs root."""

import os
import random
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap
from launch import cluster_key
from wired import WiredLan

FORMATS = ('f32', 'bf16', 'f16', 'q8')
REVIEWS, WORDS = 500, 250


def write_reviews(path):
    chance = random.Random(1)
    words = 'a the film plot was is not very good bad actor scene story long and of in'.split()
    with open(path, 'w', encoding='ascii') as file:
        for number in range(REVIEWS):
            text = ' '.join(chance.choice(words) for _ in range(WORDS))
            file.write('pos\t%d\t9\ttrain\t%s\n' % (number, text))


def start(host, line):
    return subprocess.Popen(host.command('gst-launch-1.0', *line.split()), env=host.environment(),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def measure(hosts, data, wire_format, port):
    server = start(hosts[1], 'tcpactsrc address=0.0.0.0 port=%d ! bertstage model=%s layers=1- ! '
                   'sentimentsink location=/dev/null' % (port, tap.MODEL))
    for line in server.stdout:
        if 'PLAYING' in line or 'live' in line or 'PREROLL' in line:
            break
    client = start(hosts[0], 'reviewsrc location=%s ! tokenize model=%s ! microbatch size=16 ! '
                   'bertstage model=%s layers=0-0 ! tcpactsink host=10.77.0.2 port=%d window-bytes=16777216 '
                   'wire-format=%s' % (data, tap.MODEL, tap.MODEL, port, wire_format))
    said = server.communicate(timeout=300)[0]
    failed = client.communicate(timeout=60)[0]
    found = re.search(r'([0-9.]+) reviews a second', said)
    assert found is not None, said + failed
    return float(found.group(1))


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rate = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    rates = {name: [] for name in FORMATS}
    port = 10600
    with tempfile.TemporaryDirectory(prefix='tandem-link-') as folder, cluster_key(), \
            WiredLan(2, sys.argv[1], rate=rate) as hosts:
        data = os.path.join(folder, 'reviews.tsv')
        write_reviews(data)
        for _ in range(rounds):
            for name in FORMATS:
                rates[name].append(measure(hosts, data, name, port))
                port += 1
    print('%d reviews of %d words, %d Mbit/s, 1 ms, TLS; %d rounds' % (REVIEWS, WORDS, rate, rounds))
    for name in FORMATS:
        ratios = [a / b for a, b in zip(rates[name], rates['f32'])]
        print('%-5s %7.1f reviews/s  %.2fx [%.2f..%.2f]' % (
            name, statistics.median(rates[name]), statistics.median(ratios), min(ratios), max(ratios)))


if __name__ == '__main__':
    main()
