#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem run over three hosts with wires of 100 Mbit/s and 1 ms, one host four times slower: whatever
happens to them, each text has one result, and the same as on one device."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap
from lan import need
from wired import GROUPS, Node, Run, Slow, WiredLan

ETHERNET, WRITE_MODEL = sys.argv[1:3]
TOOL = os.environ['TANDEM_TEST_TOOL']
N_TEXTS = int(os.environ.get('TANDEM_TEST_TEXTS', '4000'))
RANDOM = random.Random(5)


def make_texts(n):
    letters = 'abcdefghij'
    return [' '.join(''.join(RANDOM.choices(letters, k=3)) for _ in range(RANDOM.randint(3, 60)))
            for _ in range(n)]


def make_reviews():
    """Without an end, about as long as those that people write."""
    while True:
        yield ' '.join(''.join(RANDOM.choices('abcdefghij', k=3))
                       for _ in range(int(RANDOM.lognormvariate(4.1, 0.6)) + 5))


class Setting:
    """The LAN with its nodes, a model and what is expected of it."""

    def __init__(self, loss=0, texts=N_TEXTS, shape=('6', '128'), memory=None,
                 shares=(None, None, 0.25), processors=(None, None, None), rate=100):
        self.loss = loss
        self.rate = rate
        self.shares = shares
        self.processors = processors
        self.n_texts = texts
        self.shape = shape
        self.options = [] if memory is None else ['--memory', memory]
        self.stack = []

    def enter(self, thing):
        result = thing.__enter__()
        self.stack.append(thing)
        return result

    def __enter__(self):
        need()
        if not os.path.isdir(GROUPS):
            raise tap.Skip('there is no %s here' % GROUPS)
        if not os.path.exists('/dev/net/tun'):
            raise tap.Skip('there is no /dev/net/tun here')
        try:
            self.folder = self.enter(tempfile.TemporaryDirectory(prefix='tandem-lan-'))
            self.model = os.path.join(self.folder, 'model')
            subprocess.run([WRITE_MODEL, self.model, *self.shape], check=True)
            self.key = os.path.join(self.folder, 'cluster.key')
            subprocess.run([TOOL, 'key', 'new', self.key], check=True, stdout=subprocess.DEVNULL)
            self.texts = make_texts(self.n_texts)
            self.expected = self.alone()
            self.lan = WiredLan(3, ETHERNET, rate=self.rate, loss=self.loss)
            self.hosts = self.enter(self.lan)
            self.slow = [share and self.enter(Slow(share, 'host%d' % number,
                                                   self.processors[number - 1]))
                         for number, share in enumerate(self.shares, 1)]
            self.nodes = [self.enter(Node(host, self.key, *self.options, slow=slow))
                          for host, slow in zip(self.hosts[1:], self.slow[1:])]
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *reason):
        for thing in reversed(self.stack):
            thing.__exit__(*reason)

    def alone(self):
        """One stage on one device."""
        path = os.path.join(self.folder, 'alone.csv')
        subprocess.run(['gst-launch-1.0', '-q', *(
            'fdsrc ! lineparse ! tokenize model=%s ! microbatch ! bertstage model=%s ! '
            'sentimentsink summary=false format=csv location=%s' % (self.model, self.model, path)
        ).split()], input='\n'.join(self.texts).encode() + b'\n', check=True, timeout=300)
        with open(path, encoding='utf-8') as file:
            return file.read().splitlines()[1:]

    def run(self, *options, texts=None):
        cache = os.path.join(self.folder, 'cache')
        run = Run(self.hosts[0], self.key, *options, self.model, cache=cache, slow=self.slow[0])
        run.feed(self.texts if texts is None else texts)
        return run

    def check(self, run, what, gap=None):
        results = run.finish()
        assert results == self.expected, 'of %d results %d, different: %d' % (
            len(self.expected), len(results),
            sum(a != b for a, b in zip(results, self.expected)))
        print('# %s: %d results, all once and the same%s' % (
            what, len(results), '' if gap is None else '; longest pause %.2f s' % gap),
            flush=True)


def wait_more(run):
    """The longest pause until all was answered that was asked before, and more."""
    return run.longest_pause(1200)


def choose_victim(run):
    """The number of a host that has layers, or will have them in a moment."""
    placement = run.wait_cluster()['placement']
    run.wait_results(run.count() + 100)
    return 2 if 'host2' in placement else 3


def warm(setting):
    """What is measured once and kept."""
    with setting.run('--no-local') as run:
        run.wait_cluster()


@tap.case('first-answer')
def test_first_answer():
    with Setting() as setting:
        for attempt in ('nothing measured before', 'measured before'):
            with setting.run('--no-local') as run:
                plan = run.wait_cluster()
                first = run.wait_results(1) - run.began
                print('# %s: first answer over the cluster after %.2f s: %s' % (
                    attempt, first, plan['placement']), flush=True)
                setting.check(run, attempt)
        assert first < 5, first


PREDICTED = (
    ('2 layers of 128', ('2', '128'), 100, None, ['--formats=f32']),
    ('2 layers of 128, not here', ('2', '128'), 100, None, ['--formats=f32', '--no-local']),
    ('6 layers of 384', ('6', '384'), 100, None, ['--formats=f32']),
    ('6 layers of 384, q8', ('6', '384'), 100, None, ['--formats=q8']),
    ('6 layers of 384, 10 Mbit/s', ('6', '384'), 10, '60M', ['--formats=f32', '--memory=60M']),
    ('6 layers of 384, 10 Mbit/s, q8', ('6', '384'), 10, '60M', ['--formats=q8', '--memory=60M']),
)


def measure(run, seconds):
    """Predicted and measured reviews a second, from when it has found its pace; the plan."""
    run.wait(lambda event: event['event'] == 'plan' and event['measured'] > 0, 120)
    time.sleep(10)
    while True:
        seen = len(run.events)
        began, first = time.monotonic(), run.count()
        time.sleep(seconds)
        rate = (run.count() - first) / (time.monotonic() - began)
        if not [event for event in run.events[seen:] if event['event'] == 'moved']:
            break
    plan = [event for event in run.events if event['event'] == 'plan'][-1]
    return plan['predicted'], rate, plan['placement']


@tap.case('prediction')
def test_prediction():
    """Three devices with less than two processors between them, as the planner sees them."""
    wrong = []
    for name, shape, rate, memory, options in PREDICTED:
        with Setting(texts=8, shape=shape, rate=rate, memory=memory,
                     shares=(0.4, 0.4, 0.1), processors=(0, 1, 1)) as setting, \
                setting.run(*options, texts=make_reviews()) as run:
            predicted, measured, placement = measure(run, 20)
            ratio = predicted / measured
            print('# %s: predicted %.1f reviews a second, measured %.1f, ratio %.2f: %s' % (
                name, predicted, measured, ratio, placement), flush=True)
            if not 0.8 <= ratio <= 1.2:
                wrong.append(name)
    assert not wrong, wrong


@tap.case('memory')
def test_memory():
    """Twelve layers that neither one of the devices has room for, nor two of them."""
    with Setting(texts=400, shape=('12', '256'), memory='40M') as setting:
        with setting.run('--memory', '40M') as run:
            placement = run.wait_cluster()['placement']
            print('# %s' % placement)
            assert len(placement.split(', ')) == 3, placement
            setting.check(run, 'twelve layers')


@tap.case('killed')
def test_killed():
    """Each of them, at some moment, for a run that this host could do alone, and one it may not."""
    with Setting() as setting:
        warm(setting)
        for victim in (0, 1):
            for options in ([], ['--no-local']):
                node = setting.nodes[victim]
                with setting.run(*options) as run:
                    run.wait_results(RANDOM.randint(1, len(setting.texts) // 3))
                    node.kill()
                    gap = wait_more(run)
                    node.start()
                    setting.check(run, 'kill -9 of host %d %s' % (victim + 2, options), gap)


@tap.case('slowed')
def test_slowed():
    """A host that is in use becomes ten times slower: its layers go elsewhere."""
    with Setting(texts=3 * N_TEXTS) as setting:
        warm(setting)
        with setting.run('--no-local') as run:
            number = choose_victim(run)
            plan = run.wait_cluster()
            began = time.monotonic()
            with Slow(0.1, 'slower') as slow:
                slow.put(setting.nodes[number - 2].process.pid)
                moved = run.wait(lambda event: event['event'] == 'moved', timeout=120)
                print('# host %d slowed: %s became %s after %.1f s' % (
                    number, plan['placement'], moved['placement'], time.monotonic() - began),
                    flush=True)
                assert moved['placement'] != plan['placement'], moved
                setting.check(run, 'a slower host')
                setting.nodes[number - 2].kill()


@tap.case('paused')
def test_paused():
    with Setting() as setting:
        warm(setting)
        with setting.run('--no-local') as run:
            number = choose_victim(run)
            setting.nodes[number - 2].signal(signal.SIGSTOP)
            gap = wait_more(run)
            setting.nodes[number - 2].signal(signal.SIGCONT)
            setting.check(run, 'SIGSTOP of host %d' % number, gap)
            assert gap < 2, gap


@tap.case('slow-not-silent')
def test_slow():
    """A device that computes for longer than one may be silent is not left."""
    with Setting(texts=60, shape=('6', '384'), shares=(None, 0.05, 0.05)) as setting:
        placement = os.path.join(setting.folder, 'placement.json')
        with open(placement, 'w', encoding='ascii') as file:
            json.dump({'stages': [{'device': 'host2', 'layers': '0-2', 'format': 'f32'},
                                  {'device': 'host3', 'layers': '3-5'}]}, file)
        with setting.run('--no-local', '--placement', placement) as run:
            run.wait_cluster()
            run.wait_results(1)
            gap = run.longest_pause(len(setting.texts))
            setting.check(run, 'two slow hosts', gap)
            moved = [event for event in run.events if event and event['event'] == 'moved']
            assert [event for event in moved if event['placement'] is not None] == [], moved
            assert gap > 1, gap


@tap.case('link-cut')
def test_link_cut():
    with Setting() as setting:
        warm(setting)
        with setting.run('--no-local') as run:
            number = choose_victim(run)
            began = time.monotonic()
            setting.lan.tell('down %d' % (number - 1))
            gap = wait_more(run)
            time.sleep(max(began + 10 - time.monotonic(), 0))
            setting.lan.tell('up %d' % (number - 1))
            setting.check(run, 'the link of host %d cut for 10 s' % number, gap)
            assert gap < 2, gap


@tap.case('loss')
def test_loss():
    with Setting(loss=2) as setting, setting.run('--no-local') as run:
        setting.check(run, '2 % loss')


@tap.case('avahi-restarted')
def test_avahi():
    with Setting() as setting:
        warm(setting)
        with setting.run() as run:
            run.wait_results(100)
            for host in setting.hosts:
                host.stop('avahi')
                host.start_avahi()
            setting.check(run, 'daemons restarted')


@tap.case('disk-full')
def test_disk_full():
    """No stage file can be cut: this device works."""
    with Setting() as setting:
        cache = os.path.join(setting.folder, 'cache')
        os.mkdir(cache)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', cache], check=True)
        try:
            with setting.run() as run:
                setting.check(run, 'disk full')
        finally:
            subprocess.run(['umount', cache], check=True)


tap.run()
