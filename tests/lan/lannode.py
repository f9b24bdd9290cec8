# SPDX-License-Identifier: LGPL-2.1-or-later
"""`tandem node` on a host of the LAN."""

import json
import os
import shutil
import subprocess
import tempfile


class Node:
    """tandem node on a host, that anybody may use."""

    def __init__(self, host, *options):
        self.folder = tempfile.mkdtemp(prefix='tandem-lan-')
        self.process = subprocess.Popen(
            host.command(os.environ['TANDEM_TEST_TOOL'], 'node', '--json', '--port=0', '--cache',
                         self.folder, *options),
            env=host.environment(), stdout=subprocess.PIPE)
        self.port = self.wait('listening')['port']

    def wait(self, event):
        for line in self.process.stdout:
            message = json.loads(line)
            if message['event'] == event:
                return message
        raise AssertionError('the node ended before it said ' + event)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(20) == 0

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
