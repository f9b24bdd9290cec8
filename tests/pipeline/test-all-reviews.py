#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""All 25,000 test reviews of IMDB: through one process and through two, with the same bits."""

import json
import lzma
import os
import shutil
import subprocess
import tempfile

import devices
import tap

DATA = os.environ.get('TANDEM_TEST_DATA') or os.path.join(tap.ROOT, '..', 'shared', 'data')
COUNT = 25000
# Of the default model; it is 89 %.
LEAST_RIGHT = 0.85 * COUNT
TIMEOUT = 900


class Files:
    folder = None

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)


def launch(line, **options):
    return subprocess.Popen(['gst-launch-1.0', '-q', *line.split()], stdin=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, **options)


def finish(process):
    messages = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode == 0, messages.decode()


def read_reviews(batch, layers=''):
    return ('reviewsrc location=%s ! tokenize model=%s ! microbatch %s ! bertstage model=%s %s'
            % (Files.path('test.tsv'), tap.MODEL, batch, tap.MODEL, layers))


def write_results(name):
    return 'sentimentsink format=json location=' + Files.path(name)


def read(name):
    with open(Files.path(name), 'rb') as file:
        return file.read()


def need_data():
    tap.need_model()
    packed = os.path.join(DATA, 'imdb', 'test.tsv.xz')
    if not os.path.exists(packed):
        raise tap.Skip('TANDEM_TEST_DATA names no folder with imdb/test.tsv.xz')
    if not os.path.exists(Files.path('test.tsv')):
        with lzma.open(packed) as source, open(Files.path('test.tsv'), 'wb') as target:
            shutil.copyfileobj(source, target)


@tap.case('one-process')
def test_one_process():
    need_data()
    finish(launch(read_reviews('') + ' ! ' + write_results('one.json')))
    results = [json.loads(line) for line in read('one.json').splitlines()]
    assert [result['id'] for result in results] == list(range(COUNT))
    right = sum(result['label'] == result['expected'] for result in results)
    print('# %d of %d right' % (right, COUNT))
    assert right >= LEAST_RIGHT, right


@tap.case('without-batch-mates')
def test_alone():
    need_data()
    finish(launch(read_reviews('size=1') + ' ! ' + write_results('alone.json')))
    assert read('alone.json') == read('one.json')


@tap.case('two-processes')
def test_two_processes():
    need_data()
    port = devices.free_port()
    server = launch('tcpactsrc port=%s ! bertstage model=%s layers=1- ! %s'
                    % (port, tap.MODEL, write_results('two.json')))
    try:
        devices.wait_for_listener(port, server)
        finish(launch(read_reviews('', 'layers=0-0') + ' ! tcpactsink host=127.0.0.1 port=' + port))
        finish(server)
    finally:
        server.kill()
    assert read('two.json') == read('one.json')


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as Files.folder:
        tap.run()
