#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that find each other, on a network of namespaces with real Avahi daemons."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.environ['TANDEM_SOURCE_ROOT'], 'tests', 'pipeline'))

import tap
from lan import Lan
from launch import Launch, cluster_key

READER = ('fdsrc ! lineparse ! tokenize model=%s ! bertstage model=%s layers=0-0 ! tcpactsink '
          'discovery-timeout=60000' % (tap.MODEL, tap.MODEL))
SECOND_STAGE = 'bertstage model=%s layers=1-' % tap.MODEL
RESULTS = 'sentimentsink format=json ordered=false location=RESULTS'
REVIEW = 'What a wonderful film.\n'


def listen(name, address='0.0.0.0'):
    return ('tcpactsrc address=%s port=0 advertise=true device-name=%s'
            % (address, name))


def ids(*launches):
    return sorted(result['id'] for launch in launches for result in launch.read_results())


@tap.case('three-hosts')
def test_three_hosts():
    """Each finds the next one, whoever came first; these are clones of one machine."""
    tap.need_model()
    with Lan(3) as hosts, Launch(hosts[0], READER) as first, \
            Launch(hosts[2], '%s ! %s' % (listen('third'), RESULTS)) as third, \
            Launch(hosts[1], '%s ! %s ! tcpactsink' % (listen('second'), SECOND_STAGE)) as second:
        begin = time.monotonic()
        first.say(REVIEW * 3)
        message = first.wait(state='connected')
        assert (message['name'], message['address']) == ('second', '10.77.0.2'), message
        print('# from the first review to the connection: %.1f s' % (message['at'] - begin))
        message = second.wait(state='connected')
        assert (message['name'], message['address']) == ('third', '10.77.0.3'), message
        refused = [m for m in first.messages() if m['state'] == 'refused']
        assert all(m['name'] == 'third' and 'takes logits' in m['reason'] for m in refused), refused
        first.say(REVIEW * 2)
        for launch in (first, second, third):
            launch.finish()
        assert ids(third) == list(range(5))


@tap.case('goodbye')
def test_goodbye():
    """Who stops is forgotten at once; who takes another stream is not connected to."""
    tap.need_model()
    with Lan(2) as hosts, \
            Launch(hosts[1], '%s ! %s ! fakesink' % (listen('kitchen'), SECOND_STAGE)) as stage:
        stage.wait(state='announced', name='kitchen')
        with Launch(hosts[0], READER.replace(' layers=0-0', '')) as reader:
            reader.say(REVIEW)
            message = reader.wait(state='refused', name='kitchen')
            assert 'serves layers 1-1 of model' in message['reason'], message
            begin = time.monotonic()
            stage.interrupt()
            message = reader.wait(state='looking', candidates='0')
            print('# forgotten after %.1f s' % (message['at'] - begin))
            assert 'Interrupt' in stage.text() or stage.process.returncode is not None
        assert 'Refused the client' not in stage.text()


@tap.case('name-collision')
def test_collision():
    """The second one of a name gets a number, and both are found."""
    tap.need_model()
    line = '%s ! %s ! %s' % (listen('twin'), SECOND_STAGE, RESULTS)
    with Lan(3) as hosts, Launch(hosts[1], line) as one:
        one.wait(state='announced', name='twin')
        with Launch(hosts[2], line) as two, Launch(hosts[2], line) as three:
            names = [launch.wait(state='announced')['name'] for launch in (two, three)]
            assert sorted(names) == ['twin #2', 'twin #3'], names
            with Launch(hosts[0], READER) as reader:
                reader.say(REVIEW)
                reader.wait(state='connected')
                reader.wait_candidates(3)
                reader.finish()
            assert len(ids(one, two, three)) == 1


@tap.case('daemon-restart')
def test_daemon_restart():
    """First the daemon of the one that is announced, then that of the one that searches."""
    tap.need_model()
    with Lan(2) as hosts, \
            Launch(hosts[1], '%s ! %s ! %s' % (listen('kitchen'), SECOND_STAGE, RESULTS)) as stage:
        stage.wait(state='announced')
        hosts[1].stop('avahi')
        message = stage.wait(state='not-announced')
        assert 'Start the service avahi-daemon' in message['reason'], message
        hosts[0].stop('avahi')
        with Launch(hosts[0], READER) as reader:
            reader.say(REVIEW)
            message = reader.wait(state='looking', candidates='0')
            if 'reason' not in message:
                message = reader.wait(state='looking', candidates='0')
            assert 'Start the service avahi-daemon' in message['reason'], message
            hosts[0].start_avahi()
            reader.wait(state='looking')
            begin = time.monotonic()
            hosts[1].start_avahi()
            stage.wait(state='announced', name='kitchen')
            message = reader.wait(state='connected', name='kitchen')
            print('# connected %.1f s after the daemon was there' % (message['at'] - begin))
            hosts[0].stop('avahi')
            reader.say(REVIEW)
            stage.wait_results(2)
            reader.finish()
        stage.finish()
        assert ids(stage) == [0, 1]


def take_over(hosts, first, second, reader, strike):
    """Strikes the one that serves; the other one goes on where it ended."""
    reader.say(REVIEW * 5)
    serving = reader.wait(state='connected')['name']
    left, heir = (first, second) if serving == 'first' else (second, first)
    left.wait_results(5)
    # What was answered is acknowledged when the next one went through.
    reader.say(REVIEW)
    left.wait_results(6)
    time.sleep(0.3)
    begin = time.monotonic()
    strike(hosts[1] if serving == 'first' else hosts[2], left)
    reader.say(REVIEW * 5)
    message = reader.wait(state='connected')
    assert message['name'] != serving, message
    print('# another device took over after %.1f s' % (message['at'] - begin))
    heir.wait_results(5)
    reader.finish()
    heir.finish()
    assert ids(left) == list(range(6)), ids(left)
    assert ids(heir) == list(range(6, 11)), ids(heir)
    return message['at'] - begin


def run_take_over(strike):
    tap.need_model()
    lines = ['%s ! %s ! %s' % (listen(name), SECOND_STAGE, RESULTS)
             for name in ('first', 'second')]
    with Lan(3) as hosts, Launch(hosts[1], lines[0]) as first, \
            Launch(hosts[2], lines[1]) as second:
        first.wait(state='announced')
        second.wait(state='announced')
        with Launch(hosts[0], READER) as reader:
            took = take_over(hosts, first, second, reader, strike)
        if strike is pull_plug:
            check_stale(hosts, lines)
        return took


def kill(host, launch):
    launch.kill()


def pause(host, launch):
    """Its kernel goes on, and takes what comes."""
    launch.pause()


def pull_plug(host, launch):
    host.pull_plug()


def check_stale(hosts, lines):
    """A host that vanished is announced for minutes: it is tried, and passed over."""
    with Launch(hosts[2], lines[1]) as again:
        again.wait(state='announced')
        with Launch(hosts[0], READER) as reader:
            begin = time.monotonic()
            reader.say(REVIEW)
            message = reader.wait(state='connected')
            print('# past the stale record after %.1f s' % (message['at'] - begin))
            reader.finish()
        again.finish()
        assert len(ids(again)) == 1


@tap.case('process-dies')
def test_process_dies():
    assert run_take_over(kill) < 2


@tap.case('process-dies-in-mid-stream')
def test_mid_stream():
    """Killed with micro-batches in its hands: nothing is missing. What it had written and not
    acknowledged comes twice, at most as much as may be in flight."""
    tap.need_model()
    count, window = 600, 8
    lines = ['%s ! %s ! %s' % (listen(name), SECOND_STAGE, RESULTS)
             for name in ('first', 'second')]
    with Lan(3) as hosts, Launch(hosts[1], lines[0]) as first, \
            Launch(hosts[2], lines[1]) as second:
        first.wait(state='announced')
        second.wait(state='announced')
        with Launch(hosts[0], READER + ' window=%d' % window) as reader:
            reader.say(REVIEW)
            serving = reader.wait(state='connected')['name']
            left, heir = (first, second) if serving == 'first' else (second, first)
            left.wait_results(1)
            reader.say(REVIEW * (count - 1))
            left.wait_results(50)
            left.kill()
            reader.wait(state='connected', name='second' if serving == 'first' else 'first')
            reader.finish()
        heir.finish()
        twice = len(ids(left, heir)) - count
        print('# %d by the first one, %d twice' % (len(ids(left)), twice))
        assert set(ids(left, heir)) == set(range(count))
        assert 50 <= len(ids(left)) < count and 0 <= twice <= window, twice


@tap.case('host-vanishes')
def test_host_vanishes():
    assert run_take_over(pull_plug) < 3


@tap.case('process-paused')
def test_process_paused():
    assert run_take_over(pause) < 3


@tap.case('two-interfaces')
def test_two_interfaces():
    """One device on two Ethernets is one candidate, and is reached by the one that works."""
    tap.need_model()
    with Lan(2, ethernets=2) as hosts, \
            Launch(hosts[1], '%s ! %s ! %s' % (listen('kitchen'), SECOND_STAGE, RESULTS)) as stage:
        stage.wait(state='announced')
        with Launch(hosts[0], READER.replace(' layers=0-0', '')) as looking:
            looking.say(REVIEW)
            looking.wait(state='refused', name='kitchen')
            looking.wait_quiet()
            assert {m['candidates'] for m in looking.messages()} <= {'0', '1'}, looking.messages()
        hosts[1].pull_plug(0)
        with Launch(hosts[0], READER) as reader:
            reader.say(REVIEW)
            reader.wait(state='connected', name='kitchen')
            reader.finish()
        stage.finish()
        assert ids(stage) == [0]


@tap.case('ipv6-only')
def test_ipv6_only():
    """There are only addresses that are valid on one link."""
    tap.need_model()
    with Lan(2, ipv6_only=True) as hosts, \
            Launch(hosts[1], '%s ! %s ! %s' % (listen('kitchen', '::'), SECOND_STAGE,
                                               RESULTS)) as stage, \
            Launch(hosts[0], READER) as reader:
        reader.say(REVIEW * 3)
        message = reader.wait(state='connected', name='kitchen')
        assert message['address'].startswith('fe80::'), message
        reader.finish()
        stage.finish()
        assert ids(stage) == [0, 1, 2]


@tap.case('loopback')
def test_loopback():
    """A stage that listens on loopback is found on its own host, and nowhere else."""
    tap.need_model()
    with Lan(2) as hosts, \
            Launch(hosts[1], 'tcpactsrc port=0 advertise=true device-name=kitchen ! %s ! %s'
                   % (SECOND_STAGE, RESULTS)) as stage:
        stage.wait(state='announced', name='kitchen')
        with Launch(hosts[0], READER) as far, Launch(hosts[1], READER) as near:
            far.say(REVIEW)
            near.say(REVIEW)
            message = near.wait(state='connected', name='kitchen')
            assert message['address'] == '127.0.0.1', message
            far.wait_quiet()
            assert {m['candidates'] for m in far.messages()} == {'0'}, far.messages()
            near.finish()
        stage.finish()
        assert ids(stage) == [0]


@tap.case('static-list')
def test_static_list():
    """Without any daemon a list does; one that names a device by its mDNS address, too, is one."""
    tap.need_model()
    with Lan(2) as hosts:
        hosts[1].stop('avahi')
        hosts[0].stop('dbus')
        line = listen('kitchen').replace('port=0', 'port=10300')
        with Launch(hosts[1], '%s ! %s ! %s' % (line, SECOND_STAGE, RESULTS)) as stage, \
                Launch(hosts[0], READER + ' peers=10.77.0.9,10.77.0.2') as reader:
            stage.wait(state='not-announced')
            reader.say(REVIEW)
            reader.wait(state='refused', address='10.77.0.9')
            reader.wait(state='connected', address='10.77.0.2')
            reader.finish()
            stage.finish()
            assert ids(stage) == [0]


with cluster_key():
    tap.run()
