# SPDX-License-Identifier: LGPL-2.1-or-later
"""A local network whose wires have a rate, a delay and a loss; hosts that are slow; nodes on them."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

import lan

GROUPS = '/sys/fs/cgroup/cpu'


class WiredLan(lan.Lan):
    """with WiredLan(3, program) as hosts: the switch is the program, see ethernet.c."""

    def __init__(self, hosts, program, rate=100, delay=1, loss=0):
        super().__init__(hosts, ethernets=0)
        self.program = [program, str(rate), str(delay), str(loss)]
        self.ethernet = None

    def __enter__(self):
        super().__enter__()
        try:
            # A wire is as fast as it is, whatever the devices do.
            self.ethernet = subprocess.Popen(
                ['nice', '-n', '-20'] + self.program + [host.namespace for host in self.hosts], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True)
            assert self.ethernet.stdout.readline() == 'ready\n'
            for host in self.hosts:
                self.configure(host)
        except BaseException:
            self.__exit__()
            raise
        return self.hosts

    @staticmethod
    def configure(host):
        # Avahi begins anew where there is an interface.
        host.stop('avahi')
        host.ethernets = 1
        lan.ip('-n', host.namespace, 'addr', 'add', '10.77.0.%d/24' % host.number, 'brd', '+',
               'dev', 'eth0')
        lan.ip('-n', host.namespace, 'link', 'set', 'eth0', 'up', 'multicast', 'on')
        host.start_avahi()

    def tell(self, text):
        self.ethernet.stdin.write(text + '\n')
        self.ethernet.stdin.flush()

    def __exit__(self, *reason):
        super().__exit__(*reason)
        if self.ethernet is not None:
            self.ethernet.kill()
            self.ethernet.wait()
            self.ethernet.stdin.close()
            self.ethernet.stdout.close()


class Slow:
    """with Slow(0.25) as slow: processes that are put into it have a quarter of a processor, of the
    one with this number, if any: what they do not use of their share on one processor is late on
    another."""

    def __init__(self, share, name='slow', processor=None):
        self.share = share
        self.processor = processor
        self.folder = os.path.join(GROUPS, 'tandem-%d-%s' % (os.getpid(), name))

    def __enter__(self):
        os.mkdir(self.folder)
        # A millisecond is the least quota.
        period = max(10000, int(1000 / self.share))
        self.write('cpu.cfs_period_us', str(period))
        self.write('cpu.cfs_quota_us', str(int(period * self.share)))
        # Nothing but its share is to hold it back, whatever else runs here.
        self.write('cpu.shares', '65536')
        return self

    def write(self, name, text):
        with open(os.path.join(self.folder, name), 'w', encoding='ascii') as file:
            file.write(text)

    def put(self, pid):
        self.write('cgroup.procs', str(pid))
        if self.processor is not None:
            os.sched_setaffinity(pid, [self.processor])

    def __exit__(self, *reason):
        for _ in range(100):
            try:
                os.rmdir(self.folder)
                return
            except OSError:
                time.sleep(0.05)


def as_device(host, *command):
    """The command on a host that is a device of its own: else all profiles wait for each other."""
    path = os.path.join(host.folder, 'machine-id')
    with open(path, 'w', encoding='ascii') as file:
        file.write('%032x\n' % (0xabcdef0000 + host.number))
    return host.command('sh', '-c', 'mount --bind "$0" /etc/machine-id && exec "$@"', path, *command)


class Node:
    """tandem node on a host, with the key of the cluster; it can be killed and started again."""

    def __init__(self, host, key, *options, slow=None):
        self.host = host
        self.options = ['--key', key, '--name', 'host%d' % host.number, *options]
        self.slow = slow
        self.folder = tempfile.mkdtemp(prefix='tandem-lan-')
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            as_device(self.host, os.environ['TANDEM_TEST_TOOL'], 'node', '--json', '--threads=1',
                              '--cache', os.path.join(self.folder, 'stages'), *self.options),
            env=dict(self.host.environment(), XDG_CACHE_HOME=self.folder),
            stdout=subprocess.PIPE)
        if self.slow is not None:
            self.slow.put(self.process.pid)
        for line in self.process.stdout:
            if json.loads(line)['event'] == 'listening':
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Run:
    """tandem run on a host, over texts in a file; its events with their times, and its results."""

    def __init__(self, host, key, *options, cache=None, slow=None):
        handle, self.results = tempfile.mkstemp(prefix='tandem-lan-', suffix='.csv')
        os.close(handle)
        self.began = time.monotonic()
        environment = dict(host.environment(), XDG_CACHE_HOME=cache) if cache is not None \
            else host.environment()
        self.process = subprocess.Popen(
            as_device(host, os.environ['TANDEM_TEST_TOOL'], 'run', '--json', '--key', key,
                         '--format=csv', '--output', self.results, *options),
            env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        if slow is not None:
            slow.put(self.process.pid)
        self.events = []
        self.other = []
        self.more = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            with self.more:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.other.append(line.decode().rstrip())
                self.more.notify_all()
        with self.more:
            self.events.append(None)
            self.more.notify_all()

    def feed(self, texts):
        """In another thread: texts, and the end of them."""
        def write():
            try:
                for text in texts:
                    self.process.stdin.write(text.encode() + b'\n')
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        threading.Thread(target=write, daemon=True).start()

    def wait(self, condition, timeout=60):
        """The next event of which the condition is true."""
        end = time.monotonic() + timeout
        seen = 0
        with self.more:
            while True:
                for event in self.events[seen:]:
                    assert event is not None, 'it ended: %s' % (self.events + self.other)
                    if condition(event):
                        return event
                seen = len(self.events)
                assert self.more.wait(end - time.monotonic()) or time.monotonic() < end, \
                    'not in time: %s' % (self.events + self.other)

    def wait_cluster(self, timeout=60):
        """Until layers run elsewhere."""
        return self.wait(lambda event: event['event'] == 'plan' and
                         'host' in event['placement'], timeout)

    def count(self):
        with open(self.results, 'rb') as file:
            return max(file.read().count(b'\n') - 1, 0)

    def wait_results(self, count, timeout=60):
        """Returns when so many results were there."""
        end = time.monotonic() + timeout
        while self.count() < count:
            assert self.process.poll() is None, 'it ended: %s' % (self.events + self.other)
            assert time.monotonic() < end, '%d results, not %d: %s' % (self.count(), count,
                                                                       self.events + self.other)
            time.sleep(0.01)
        return time.monotonic()

    def longest_pause(self, results, timeout=120):
        """The longest time without a result, from now until so many more came or it ended. What was
        on its way already counts for nothing."""
        began = grown = time.monotonic()
        first = count = self.count()
        longest = 0
        while count < first + results and self.process.poll() is None:
            time.sleep(0.01)
            now, more = time.monotonic(), self.count()
            longest = max(longest, now - grown)
            if more > count:
                count, grown = more, now
            assert now < began + timeout, 'no more results: %s' % (self.events + self.other)
        return longest

    def finish(self, timeout=300):
        assert self.process.wait(timeout) == 0, self.events + self.other
        self.reader.join(timeout)
        with open(self.results, encoding='utf-8') as file:
            return file.read().splitlines()[1:]

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.process.kill()
        self.process.wait()
        self.reader.join(20)
        os.unlink(self.results)
