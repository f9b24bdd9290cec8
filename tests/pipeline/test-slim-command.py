#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem slim as people run it, with a random model of two layers and reviews that are made up."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import made_up
import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
FOLDER = tempfile.mkdtemp(prefix='tandem-slim-')
TIMEOUT = 300


def path(*names):
    return os.path.join(FOLDER, *names)


def run(*args, status=0, command='slim'):
    result = subprocess.run([TOOL, command, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            timeout=TIMEOUT, check=False, text=True)
    assert result.returncode == status, (args, result.returncode, result.stdout, result.stderr)
    return result


def refused(*args, why, status=2):
    result = run(*args, status=status)
    assert why in result.stderr, result.stderr


def prepare():
    made_up.write_reviews(path('train.csv'), 160, 3)
    made_up.write_reviews(path('validation.csv'), 60, 4)
    made_up.write_config(FOLDER)
    run('--init', 'random', '--config', path('config.json'), '--vocab', path('vocab.txt'), '--data',
        path('train.csv'), '--output', path('model'), '--epochs', '1', '--max-length', '40',
        command='train')
    shutil.rmtree(path('model', 'checkpoint'))


MODEL = path('model')
DATA = ['--data', path('train.csv'), '--validation', path('validation.csv')]
TRAIN = ['--', '--max-length', '40', '--batch', '8', '--micro-batch', '4', '--keep', 'last']


def steps(said):
    return [step['name'] for step in said['steps']]


def check(said, output):
    """What is said of each model is so, and two devices say what the last one does."""
    for step in said['steps']:
        assert step['bytes'] == os.path.getsize(os.path.join(step['path'], 'model.safetensors'))
        assert step['milliseconds'] > 0
        assert 0 <= step['accuracy'] <= 1
    assert len(said['stages']) == 2, said['stages']
    last = said['steps'][-1]['path']

    def classify(*stages):
        line = ['gst-launch-1.0', '-q', 'reviewsrc', 'location=' + path('validation.csv'), '!',
                'tokenize', 'model=' + stages[0], '!', 'microbatch', 'size=4']
        for stage in stages:
            line += ['!', 'bertstage', 'model=' + stage]
        out = path('results.json')
        line += ['!', 'sentimentsink', 'format=json', 'ordered=true', 'location=' + out]
        subprocess.run(line, check=True, timeout=TIMEOUT)
        with open(out, encoding='utf-8') as file:
            return file.read()

    assert classify(*said['stages']) == classify(last)
    with open(os.path.join(output, 'slim.json'), encoding='utf-8') as file:
        assert json.load(file) == said


@tap.case('sequence')
def test_sequence():
    said = json.loads(run(MODEL, '-o', path('all'), *DATA, '--fine-tune', '1', '-s', '0.5', '-g',
                          '0.5', '-e', '1', '--max-loss', '100', '--json', *TRAIN).stdout)
    assert steps(said) == ['model', 'trained', 'pruned', 'quantized'], said
    check(said, path('all'))
    bytes_of = {step['name']: step['bytes'] for step in said['steps']}
    assert bytes_of['quantized'] < bytes_of['pruned'] < bytes_of['trained']
    # Done is done.
    again = json.loads(run('--resume', '-o', path('all'), '--json').stdout)
    assert again == said


@tap.case('few-steps')
def test_few_steps():
    """Without data: nothing is learned or guarded, and nothing measured but bytes and time."""
    table = run(MODEL, '-o', path('few'), '-m', 'heads,neurons').stdout
    assert 'quantized' in table and 'quantized-layers-1-1.safetensors' in table, table
    said = json.loads(run(MODEL, '-o', path('split'), '-s', '0', '-w', 'none', '--split', '0-1',
                          '--json').stdout)
    assert steps(said) == ['model'] and len(said['stages']) == 1
    assert said['steps'][0]['accuracy'] is None


@tap.case('tune')
def test_tune():
    said = json.loads(run(MODEL, '-o', path('tuned'), *DATA, '--tune', '2', '-s', '0', '-w', 'f16',
                          '--json').stdout)
    assert steps(said) == ['model', 'tuned', 'quantized'], said
    check(said, path('tuned'))


@tap.case('interrupted')
def test_interrupted():
    """Interrupted in the middle of a training, it comes to the same model."""
    options = [*DATA, '--fine-tune', '6', '-s', '0.5', '-e', '1', '--max-loss', '100', '--json', *TRAIN,
               '--checkpoint-every', '2']
    whole = json.loads(run(MODEL, '-o', path('whole'), *options).stdout)
    with open(path('said'), 'w', encoding='utf-8') as file:
        process = subprocess.Popen([TOOL, 'slim', MODEL, '-o', path('cut'), *options],
                                   stdout=subprocess.DEVNULL, stderr=file)
        deadline = time.monotonic() + TIMEOUT
        folder = path('cut', 'trained', 'checkpoint')
        while time.monotonic() < deadline and process.poll() is None:
            names = os.listdir(folder) if os.path.isdir(folder) else []
            if any(name.startswith('step-') for name in names):
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        status = process.wait(TIMEOUT)
    with open(path('said'), encoding='utf-8') as file:
        text = file.read()
    assert status == 130 and '--resume' in text, (status, text)
    refused(MODEL, '-o', path('cut'), why='holds a sequence already', status=1)
    said = json.loads(run('--resume', '-o', path('cut'), '--json').stdout)
    assert steps(said) == steps(whole)
    for one, other in zip(whole['steps'], said['steps']):
        with open(os.path.join(one['path'], 'model.safetensors'), 'rb') as left:
            with open(os.path.join(other['path'], 'model.safetensors'), 'rb') as right:
                assert left.read() == right.read(), one['name']
    # Anew: what was there is gone.
    said = json.loads(run(MODEL, '-o', path('cut'), '--force', '-s', '0', '--json').stdout)
    assert steps(said) == ['model', 'quantized']
    assert not os.path.exists(path('cut', 'trained'))


@tap.case('refused')
def test_refused():
    out = ['-o', path('none')]
    refused(MODEL, why='--output is needed')
    refused(*out, why='one MODEL is needed')
    refused('--resume', MODEL, *out, why='--resume takes no MODEL')
    refused(MODEL, *out, '-s', '1', why='--sparsity goes from 0 to below 1')
    refused(MODEL, *out, '-e', '1', why='need --data')
    refused(MODEL, *out, '--data', path('train.csv'), why='--data goes with')
    refused(MODEL, *out, *DATA, '-e', '1', '-s', '0', why='what --sparsity takes away')
    refused(MODEL, *out, *DATA, '--fine-tune', '1', '--tune', '1', why='--tune searches')
    refused(MODEL, *out, '-m', 'vocabulary', why='--method is')
    refused(MODEL, *out, '-m', 'heads', '--tensors', 'linear', why='--tensors goes with')
    refused(MODEL, *out, '-g', '0.5', why='--gradual goes with')
    refused(MODEL, *out, '-w', 'int4', why='--weights is')
    refused(MODEL, *out, '--max-loss', '-1', why='--max-loss goes')
    refused(MODEL, *out, *TRAIN, why='behind --')
    refused(MODEL, *out, '--validation', path('nowhere.csv'), why='there is no', status=1)
    refused(MODEL, *out, '--split', '0-0,1-7', why='the model has', status=1)
    refused(path('few', 'quantized'), *out, '-s', '0', why='quantized already', status=1)
    refused('--resume', *out, why='no sequence was begun', status=1)
    assert not os.path.exists(path('none'))
    os.mkdir(path('bad'))
    for text in '', '[]', '{}', '{"options": 3, "steps": {}}', '{"options": {}, "steps": [1]}':
        with open(path('bad', 'slim.json'), 'w', encoding='utf-8') as file:
            file.write(text)
        run('--resume', '-o', path('bad'), status=1)
    # What a step says goes through, and what was done stays.
    result = run(MODEL, '-o', path('broken'), *DATA, '--fine-tune', '1', '--', '--batch', '0', status=1)
    assert '"tandem train" failed' in result.stderr, result.stderr


try:
    prepare()
    tap.run()
finally:
    shutil.rmtree(FOLDER)
