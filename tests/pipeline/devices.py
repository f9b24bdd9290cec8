# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two devices on one machine: a port, and when somebody listens on it."""

import socket
import subprocess

TIMEOUT = 60


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return str(sock.getsockname()[1])


def wait_for_listener(port, process):
    wanted = '0100007F:%04X 00000000:0000 0A' % int(port)
    for _ in range(TIMEOUT * 50):
        with open('/proc/net/tcp', encoding='ascii') as table:
            if wanted in table.read():
                return
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError('the server ended: ' + process.stderr.read().decode())
    raise AssertionError('the server does not listen')
