# SPDX-License-Identifier: LGPL-2.1-or-later
"""gst-launch-1.0 on a host of the LAN: its messages as they come, its results in a file."""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

TIMEOUT = 40
MESSAGE = re.compile(r'\(element\): tandem-discovery, (.*);$')
FIELD = re.compile(r'([a-z-]+)=\([a-z]+\)("(?:[^"\\]|\\.)*"|[^,]*)')


def parse(line):
    """The fields of a tandem-discovery message, as text; None for any other line."""
    found = MESSAGE.search(line)
    if found is None:
        return None
    return {key: value.strip('"').replace('\\', '') for key, value in FIELD.findall(found.group(1))}


@contextlib.contextmanager
def cluster_key():
    """All that is started has the same key."""
    with tempfile.TemporaryDirectory(prefix='tandem-lan-') as folder:
        path = os.path.join(folder, 'cluster.key')
        subprocess.run([os.environ['TANDEM_TEST_TOOL'], 'key', 'new', path], check=True,
                       stdout=subprocess.DEVNULL)
        os.environ['TANDEM_KEY'] = path
        yield


class Launch:
    def __init__(self, host, line):
        self.results = None
        if 'RESULTS' in line:
            handle, self.results = tempfile.mkstemp(prefix='tandem-lan-', suffix='.json')
            os.close(handle)
            line = line.replace('RESULTS', self.results)
        self.process = subprocess.Popen(
            host.command('gst-launch-1.0', '-m', *line.split()), env=host.environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines = []
        self.seen = 0
        self.more = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.more:
                self.lines.append((time.monotonic(), line.decode('utf-8', 'replace').rstrip()))
                self.more.notify_all()
        with self.more:
            self.lines.append((time.monotonic(), None))
            self.more.notify_all()

    def wait(self, timeout=TIMEOUT, **fields):
        """The next message of discovery with these fields, behind the one found last."""
        end = time.monotonic() + timeout
        with self.more:
            while True:
                while self.seen < len(self.lines):
                    at, line = self.lines[self.seen]
                    assert line is not None, 'it ended:\n' + self.text()
                    self.seen += 1
                    message = parse(line)
                    if message and all(message.get(key) == value
                                       for key, value in fields.items()):
                        message['at'] = at
                        return message
                assert self.more.wait(end - time.monotonic()) or time.monotonic() < end, \
                    'no message with %s:\n%s' % (fields, self.text())

    def messages(self):
        with self.more:
            messages = [parse(line) for _, line in self.lines if line]
            return [message for message in messages if message]

    def wait_candidates(self, count):
        """Until so many are known, or were before."""
        while str(count) not in [message.get('candidates') for message in self.messages()]:
            self.wait(state='looking')

    def wait_quiet(self, seconds=3):
        """Until no message came for some time: nothing says that all of them did."""
        count = -1
        while count != len(self.messages()):
            count = len(self.messages())
            time.sleep(seconds)

    def text(self):
        lines = [line for _, line in self.lines if line and 'state-changed' not in line]
        return '\n'.join(lines[-60:])

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def read_results(self):
        with open(self.results, encoding='utf-8') as file:
            lines = file.read().split('\n')[:-1]
        return [json.loads(line) for line in lines]

    def wait_results(self, count, timeout=TIMEOUT):
        end = time.monotonic() + timeout
        while len(self.read_results()) < count:
            assert time.monotonic() < end, '%d results, not %d:\n%s' % (
                len(self.read_results()), count, self.text())
            time.sleep(0.02)

    def finish(self):
        """Ends its input and waits until it ended by itself, well."""
        self.process.stdin.close()
        assert self.process.wait(TIMEOUT) == 0, self.text()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(TIMEOUT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.kill()
        self.reader.join(TIMEOUT)
        if self.results is not None:
            os.unlink(self.results)
