#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares what tandem plan predicts with what its launch lines do.

Two processes stand for two devices, each on a processor of its own, for which the model is
profiled there; loopback is measured. Every split of the model over them is run with the
lines that tandem plan prints, over texts of exactly the planned length. The rate is that of the
results in the middle of the run, so that neither the start nor the end counts.

Run it on a machine that has nothing else to do, with two processors at the least.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
MODEL = os.path.join(SOURCE, 'pipelines', 'models', 'tinybert-imdb')


def on_processor(number):
    """For a child, before it starts."""
    processors = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {processors[number]})


def tandem(tool, *arguments, processor=0):
    return json.loads(subprocess.run([tool, *arguments, '--json'], stdout=subprocess.PIPE,
                                     preexec_fn=on_processor(processor), check=True).stdout)


def measure_loopback():
    """Bytes a second of a stream, and seconds one way."""
    server = socket.create_server(('127.0.0.1', 0))
    block = bytes(1 << 20)
    count = 1000

    def serve():
        peer, _ = server.accept()
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(count):
                peer.sendall(peer.recv(1))
            left = count * len(block)
            while left > 0:
                left -= len(peer.recv(len(block)))
            peer.sendall(b'.')

    thread = threading.Thread(target=serve)
    thread.start()
    with socket.create_connection(server.getsockname()) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trips = []
        for _ in range(count):
            start = time.perf_counter()
            client.sendall(b'.')
            client.recv(1)
            trips.append(time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(count):
            client.sendall(block)
        client.recv(1)
        seconds = time.perf_counter() - start
    thread.join()
    server.close()
    return count * len(block) / seconds, statistics.median(trips) / 2


def free_port():
    """With a free one behind it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(('127.0.0.1', 0))
            port = first.getsockname()[1]
            try:
                second.bind(('127.0.0.1', port + 1))
                return port
            except (OSError, OverflowError):
                continue


def run(lines, model, text, n_texts):
    """Results a second."""
    environment = dict(os.environ, MODEL=model)
    processes = []
    for number, line in enumerate(reversed(lines)):
        processes.append(subprocess.Popen('exec ' + line['line'], shell=True, env=environment,
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL,
                                          preexec_fn=on_processor(number)))
    asking = processes[0]

    def feed():
        asking.stdin.write(text * n_texts)
        asking.stdin.close()

    thread = threading.Thread(target=feed)
    thread.start()
    times = []
    try:
        for _ in asking.stdout:
            times.append(time.perf_counter())
        thread.join()
        for process in processes:
            if process.wait(timeout=60) != 0:
                raise RuntimeError('a line failed: ' + process.args)
    finally:
        for process in processes:
            process.kill()
    if len(times) != n_texts:
        raise RuntimeError('%d results of %d texts' % (len(times), n_texts))
    first, last = n_texts // 5, n_texts - n_texts // 10
    return (last - first) / (times[last] - times[first])


def splits(n_layers):
    yield 'one device', [('first', '0-%d' % (n_layers - 1))]
    yield 'the other one', [('second', '0-%d' % (n_layers - 1))]
    for cut in range(1, n_layers):
        stages = [('first', '0-%d' % (cut - 1)), ('second', '%d-%d' % (cut, n_layers - 1))]
        yield 'cut before layer %d' % cut, stages
        yield 'cut before layer %d, the other way' % cut, \
            [('second', stages[0][1]), ('first', stages[1][1])]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('tool', help='the tandem command')
    parser.add_argument('--model', default=MODEL)
    parser.add_argument('--micro-batch', type=int, default=8)
    parser.add_argument('--length', type=int, default=128)
    parser.add_argument('--seconds', type=float, default=5, help='of each run, roughly')
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        print('skipped: two processors are needed')
        return 77
    profiles = [tandem(options.tool, 'profile', options.model, '--again', processor=processor)
                for processor in range(2)]
    bandwidth, delay = measure_loopback()
    print('loads %.2f and %.2f, loopback %.2f GB/s and %.0f microseconds one way' %
          (profiles[0]['load'], profiles[1]['load'], bandwidth / 1e9, delay * 1e6))
    # [CLS] and [SEP] are tokens too.
    text = b'good ' * (options.length - 2) + b'\n'
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        devices, placement = (os.path.join(folder, name) for name in ('devices', 'placement'))
        for name, profile in zip(('first', 'second'), profiles):
            with open(os.path.join(folder, name + '.json'), 'w', encoding='utf-8') as file:
                json.dump(profile, file)
        for name, stages in splits(profiles[0]['layers']):
            with open(devices, 'w', encoding='utf-8') as file:
                json.dump({'asks': 'first',
                           'devices': [{'name': device, 'port': free_port(),
                                        'profile': device + '.json'}
                                       for device in ('first', 'second')],
                           'network': {'bandwidth': bandwidth, 'delay': delay}}, file)
            with open(placement, 'w', encoding='utf-8') as file:
                json.dump({'stages': [{'device': device, 'layers': layers}
                                      for device, layers in stages]}, file)
            plan = tandem(options.tool, 'plan', options.model, '--devices', devices, '--placement',
                          placement, '--micro-batch', str(options.micro_batch), '--length',
                          str(options.length))
            predicted = plan['predicted']['sequences_per_second']
            n_texts = options.micro_batch * max(50, int(predicted * options.seconds /
                                                        options.micro_batch))
            measured = run(plan['lines'], options.model, text, n_texts)
            worst = max(worst, abs(measured / predicted - 1))
            print('%-36s predicted %8.0f texts/s, measured %8.0f, ratio %.3f' %
                  (name, predicted, measured, measured / predicted), flush=True)
    print('the prediction is off by %.1f %% at the most' % (100 * worst))
    return 0


sys.exit(main())
