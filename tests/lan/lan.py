# SPDX-License-Identifier: LGPL-2.1-or-later
"""A local network on one machine: hosts are network namespaces, each with a D-Bus and an Avahi
daemon of its own, and wires of any number of Ethernets between them. Needs root."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

import tap

TIMEOUT = 20
PROGRAMS = ('ip', 'unshare', 'mount', 'dbus-daemon', 'dbus-send', 'avahi-daemon')
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/>
<allow receive_type="signal"/></policy></busconfig>
"""
AVAHI = """[server]
host-name=%s
use-ipv4=%s
use-ipv6=%s
allow-interfaces=%s
enable-dbus=yes
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
"""


def ip(*arguments):
    subprocess.run(['ip', *arguments], check=True, stderr=subprocess.PIPE)


def need():
    """Skips where there can be no such network."""
    if os.geteuid() != 0:
        raise tap.Skip('network namespaces need root')
    path = os.environ['PATH'] + ':/usr/sbin:/sbin'
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        raise tap.Skip('missing: %s (packages iproute2, util-linux, mount, dbus, avahi-daemon)'
                       % ' '.join(missing))
    os.environ['PATH'] = path
    probe = 'tandem-%d-probe' % os.getpid()
    result = subprocess.run(['ip', 'netns', 'add', probe], stderr=subprocess.PIPE, check=False)
    if result.returncode != 0:
        raise tap.Skip('no network namespaces here: ' + result.stderr.decode().strip())
    ip('netns', 'del', probe)


def wait_for(condition, what):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, 'still not: ' + what
        time.sleep(0.02)


class Host:
    """One machine. Its interfaces are eth0 and so on, one for each Ethernet, or have another name
    in the place of eth."""

    def __init__(self, lan, number, ethernets, ipv6_only, prefix='eth'):
        self.lan = lan
        self.prefix = prefix
        self.number = number
        self.ethernets = ethernets
        self.ipv6_only = ipv6_only
        self.namespace = '%s-%d' % (lan.name, number)
        self.folder = os.path.join(lan.folder, str(number))
        self.bus = os.path.join(self.folder, 'bus')
        self.daemons = {}
        os.mkdir(self.folder)
        ip('netns', 'add', self.namespace)
        ip('-n', self.namespace, 'link', 'set', 'lo', 'up')
        for ethernet in range(ethernets):
            self.add_interface(ethernet)

    def add_interface(self, ethernet):
        name, wire = '%s%d' % (self.prefix, ethernet), 'h%de%d' % (self.number, ethernet)
        ip('link', 'add', name, 'netns', self.namespace, 'type', 'veth', 'peer', 'name', wire,
           'netns', self.lan.switch)
        ip('-n', self.lan.switch, 'link', 'set', wire, 'master', 'br%d' % ethernet, 'up')
        ip('netns', 'exec', self.namespace, 'sh', '-c',
           'echo 0 > /proc/sys/net/ipv6/conf/%s/accept_dad' % name)
        if not self.ipv6_only:
            ip('-n', self.namespace, 'addr', 'add',
               '10.77.%d.%d/24' % (ethernet, self.number), 'brd', '+', 'dev', name)
        ip('-n', self.namespace, 'link', 'set', name, 'up', 'multicast', 'on')

    def command(self, *arguments):
        return ['ip', 'netns', 'exec', self.namespace, *arguments]

    def environment(self):
        return dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS='unix:path=' + self.bus)

    def start(self, name, command):
        log = open(os.path.join(self.folder, name + '.log'), 'ab')
        with log:
            self.daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment(), start_new_session=True)

    def start_bus(self):
        path = os.path.join(self.folder, 'bus.conf')
        with open(path, 'w', encoding='ascii') as file:
            file.write(BUS % self.bus)
        self.start('dbus', ['dbus-daemon', '--config-file=' + path, '--nofork', '--nopidfile'])
        wait_for(lambda: os.path.exists(self.bus), 'the bus of host %d' % self.number)

    def start_avahi(self):
        path = os.path.join(self.folder, 'avahi.conf')
        yes = {True: 'yes', False: 'no'}
        with open(path, 'w', encoding='ascii') as file:
            file.write(AVAHI % ('stage%d' % self.number, yes[not self.ipv6_only],
                                yes[self.ipv6_only],
                                ','.join(['lo'] + ['%s%d' % (self.prefix, i)
                                                   for i in range(self.ethernets)])))
        # A /run of its own, where the daemon keeps its process id and its socket.
        self.start('avahi', self.command(
            'unshare', '-m', '--propagation', 'private', 'sh', '-c',
            'mount -t tmpfs tmpfs /run && mkdir -p /run/avahi-daemon && exec avahi-daemon -f "$0" '
            '--no-drop-root --no-chroot --no-rlimits --no-proc-title', path))
        wait_for(self.has_avahi, 'the Avahi daemon of host %d' % self.number)

    def has_avahi(self):
        result = subprocess.run(
            ['dbus-send', '--system', '--print-reply', '--dest=org.freedesktop.Avahi', '/',
             'org.freedesktop.Avahi.Server.GetState'], env=self.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return b'int32 2' in result.stdout

    def stop(self, name):
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def pull_plug(self, ethernet=0, pulled=True):
        """Takes the cable out of the switch, or puts it back: nobody says goodbye."""
        ip('-n', self.lan.switch, 'link', 'set', 'h%de%d' % (self.number, ethernet),
           'down' if pulled else 'up')

    def close(self):
        for name in list(self.daemons):
            self.stop(name)
        pids = subprocess.run(['ip', 'netns', 'pids', self.namespace], stdout=subprocess.PIPE,
                              check=False).stdout.split()
        for pid in pids:
            os.kill(int(pid), signal.SIGKILL)
        subprocess.run(['ip', 'netns', 'del', self.namespace], check=False)


class Lan:
    """with Lan(3) as hosts: hosts[0] is 10.77.0.1. Its switch has no memory and no delay."""

    count = 0

    def __init__(self, hosts, ethernets=1, ipv6_only=False, prefixes=None):
        Lan.count += 1
        self.name = 'tandem-%d-%d' % (os.getpid(), Lan.count)
        self.switch = self.name + '-sw'
        self.n_hosts = hosts
        self.ethernets = ethernets
        self.ipv6_only = ipv6_only
        self.prefixes = prefixes or hosts * ['eth']
        self.hosts = []
        self.folder = None

    def __enter__(self):
        need()
        self.folder = tempfile.mkdtemp(prefix='tandem-lan-')
        try:
            ip('netns', 'add', self.switch)
            for ethernet in range(self.ethernets):
                bridge = 'br%d' % ethernet
                ip('-n', self.switch, 'link', 'add', bridge, 'type', 'bridge', 'mcast_snooping',
                   '0')
                ip('-n', self.switch, 'link', 'set', bridge, 'up')
            for number in range(1, self.n_hosts + 1):
                self.hosts.append(Host(self, number, self.ethernets, self.ipv6_only,
                                       self.prefixes[number - 1]))
            for host in self.hosts:
                host.start_bus()
                host.start_avahi()
        except BaseException:
            self.__exit__()
            raise
        return self.hosts

    def __exit__(self, *reason):
        for host in self.hosts:
            host.close()
        subprocess.run(['ip', 'netns', 'del', self.switch], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
