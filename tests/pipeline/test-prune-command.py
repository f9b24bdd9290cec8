#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem prune as people run it, with a random model of two layers and reviews that are made up."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree

import made_up
import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
FOLDER = tempfile.mkdtemp(prefix='tandem-prune-')
TIMEOUT = 300


def path(*names):
    return os.path.join(FOLDER, *names)


def run(*args, status=0, command='prune'):
    result = subprocess.run([TOOL, command, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            timeout=TIMEOUT, check=False, text=True)
    assert result.returncode == status, (args, result.returncode, result.stdout, result.stderr)
    return result


def refused(*args, why, status=2):
    result = run(*args, status=status)
    assert why in result.stderr, result.stderr


def inspect(model):
    return json.loads(run('--json', model, command='inspect').stdout)


def sparsity(model):
    tensors = [t for t in inspect(model)['tensors'] if t['sparse']]
    n = sum(t['shape'][0] * t['shape'][1] for t in tensors)
    return 1 - sum(t['nonzero'] for t in tensors) / n if n else 0


def prepare():
    made_up.write_reviews(path('reviews.csv'), 160, 3)
    made_up.write_config(FOLDER)
    run('--init', 'random', '--config', path('config.json'), '--vocab', path('vocab.txt'), '--data',
        path('reviews.csv'), '--output', path('model'), '--epochs', '1', '--max-length', '40',
        command='train')
    shutil.rmtree(path('model', 'checkpoint'))


DATA = path('reviews.csv')
MODEL = path('model')
TRAIN = ['--data', DATA, '--epochs', '2', '--', '--max-length', '40', '--batch', '8',
         '--micro-batch', '4', '--keep', 'last']


@tap.case('at-once')
def test_at_once():
    said = json.loads(run(MODEL, '-o', path('zeros'), '-s', '0.75', '--json').stdout)
    assert said['parameters'] == said['parameters_before']
    assert said['bytes'] == os.path.getsize(path('zeros', 'model.safetensors'))
    assert abs(sparsity(path('zeros')) - 0.75) < 1e-3
    run(MODEL, '-o', path('small'), '-s', '0.5', '-m', 'heads,neurons')
    config = inspect(path('small'))['config']
    assert config['layer_heads'] == [1, 1], config
    assert config['layer_intermediate_sizes'] == [16, 16], config
    run(MODEL, '-o', path('uneven'), '-s', '0.5', '-m', 'neurons', '--scope', 'global')
    run(MODEL, '-o', path('flat'), '-s', '0.5', '-m', 'layers')
    assert inspect(path('flat'))['config']['num_hidden_layers'] == 1
    run(MODEL, '-o', path('half'), '-s', '0.5', '--half')
    assert {t['dtype'] for t in inspect(path('half'))['tensors']} == {'F16'}
    # Once more: what is zero stays zero, and heads may go on top.
    run(path('zeros'), '-o', path('both'), '-s', '0.5', '-m', 'heads')
    assert sparsity(path('both')) > 0.5


@tap.case('vocabulary')
def test_vocabulary():
    with open(path('few.csv'), 'w', encoding='utf-8') as file:
        file.write('review,sentiment\n%s,positive\n' % ' '.join(made_up.WORDS[:10]))
    run(MODEL, '-o', path('words'), '-m', 'vocabulary', '-d', path('few.csv'))
    with open(path('words', 'vocab.txt'), encoding='utf-8') as file:
        assert file.read().split() == ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + made_up.WORDS[:10]
    assert inspect(path('words'))['config']['vocab_size'] == 15


@tap.case('bytes')
def test_bytes():
    wanted = os.path.getsize(os.path.join(MODEL, 'model.safetensors')) * 3 // 4
    run(MODEL, '-o', path('bytes'), '-b', str(wanted))
    assert wanted * 0.8 < os.path.getsize(path('bytes', 'model.safetensors')) <= wanted
    refused(MODEL, '-o', path('none'), '-b', '100', why='cannot be reached', status=1)
    refused(MODEL, '-o', path('none'), '-m', 'heads', '--milliseconds', '0.0000001',
            why='cannot be reached', status=1)
    run(MODEL, '-o', path('zero'), '--milliseconds', '1e6')
    assert sparsity(path('zero')) < 0.01, sparsity(path('zero'))
    run(MODEL, '-o', path('fast'), '-m', 'neurons', '--milliseconds', '1e6')
    assert inspect(path('fast'))['config']['intermediate_size'] == 32


@tap.case('recovery')
def test_recovery():
    run(MODEL, '-o', path('learned'), '-s', '0.6', '-g', '0.5', *TRAIN)
    assert abs(sparsity(path('learned')) - 0.6) < 0.01, sparsity(path('learned'))
    # A later training keeps the masks.
    run('--from', path('learned'), '--data', DATA, '--epochs', '1', '--max-length', '40', '--output',
        path('later'), command='train')
    assert abs(sparsity(path('later')) - 0.6) < 0.01, sparsity(path('later'))
    # On two stages the weights are the same to the bit.
    run(MODEL, '-o', path('split'), '-s', '0.6', '-g', '0.5', *TRAIN, '--stages', '0-0,1-1')
    with open(path('learned', 'model.safetensors'), 'rb') as left:
        with open(path('split', 'model.safetensors'), 'rb') as right:
            assert left.read() == right.read()
    run(MODEL, '-o', path('smaller'), '-s', '0.5', '-m', 'neurons,heads', *TRAIN)
    assert inspect(path('smaller'))['config']['layer_intermediate_sizes'] == [16, 16]


@tap.case('resume')
def test_resume():
    """Killed between two checkpoints, it comes to the same weights."""
    process = subprocess.Popen([TOOL, 'prune', MODEL, '-o', path('killed'), '-s', '0.6', '-g', '0.5',
                                *TRAIN], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        folder = path('killed', 'checkpoint')
        steps = [name for name in (os.listdir(folder) if os.path.isdir(folder) else [])
                 if name.startswith('step-') and int(name[5:]) >= 5]
        if steps:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run('--resume', '-o', path('killed'))
    with open(path('learned', 'model.safetensors'), 'rb') as left:
        with open(path('killed', 'model.safetensors'), 'rb') as right:
            assert left.read() == right.read()


@tap.case('split')
def test_split():
    """Stage files of each, in a pipeline: what comes out is what the whole model says."""
    def classify(*stages):
        line = ['gst-launch-1.0', '-q', 'reviewsrc', 'location=' + DATA, '!', 'tokenize',
                'model=' + stages[0], '!', 'microbatch', 'size=4']
        for stage in stages:
            line += ['!', 'bertstage', 'model=' + stage]
        out = path('results.json')
        line += ['!', 'sentimentsink', 'format=json', 'ordered=true', 'location=' + out]
        subprocess.run(line, check=True, timeout=TIMEOUT)
        with open(out, encoding='utf-8') as file:
            return file.read()

    for name in ['zeros', 'small', 'uneven', 'half', 'both', 'words', 'learned', 'smaller']:
        run('--layers', '0-0,1-1', '--output', path('stages'), '--force', path(name),
            command='split')
        parts = [path('stages', '%s-layers-%d-%d.safetensors' % (name, i, i)) for i in range(2)]
        assert classify(*parts) == classify(path(name)), name


@tap.case('quantized')
def test_quantized():
    """First prune, then quantize; the other way round the floats are pruned that int8 stands for."""
    pruned, folder = path('first'), path('then')
    run(MODEL, '-o', pruned, '-s', '0.5')
    said = json.loads(run(pruned, '-o', folder, '--json', command='quantize').stdout)
    for name, member in (pruned, 'bytes_before'), (folder, 'bytes'):
        # The file has a header, too.
        assert 0 < os.path.getsize(os.path.join(name, 'model.safetensors')) - said[member] < 12000
    for method in 'magnitude', 'neurons':
        again = path('again-' + method)
        run(folder, '-o', again, '-m', method, '-s', '0.7', '--half')
        report = json.loads(run(again, '--json', command='inspect').stdout)
        tensors = {tensor['name']: tensor for tensor in report['tensors']}
        weight = tensors['encoder.layer.0.output.dense.weight']
        assert weight['dtype'] == 'F16' and report['quantization'] is None, report
        assert not any(name.endswith('.scale') for name in tensors), tensors
        if method == 'magnitude':
            left = weight['nonzero'] / (weight['shape'][0] * weight['shape'][1])
            assert weight['sparse'] and abs(left - 0.3) < 0.01, weight


@tap.case('refused')
def test_refused():
    out = ['-o', path('none')]
    refused(MODEL, *out, '-s', '0.5', '-e', '2', why='needs --data')
    refused(MODEL, *out, '-s', '0.5', '-d', DATA, why='--data goes with --epochs')
    refused(MODEL, *out, why='one of --sparsity, --bytes and --milliseconds')
    refused(MODEL, *out, '-s', '0.5', '-b', '5M', why='one of --sparsity, --bytes')
    refused(MODEL, *out, '-s', '1.5', why='--sparsity=1.5 is not a number')
    refused(MODEL, *out, '-b', 'much', why='--bytes=much is no size')
    refused(MODEL, *out, '-m', 'magnitude,heads', '-s', '0.5', why='prune again')
    refused(MODEL, *out, '-m', 'weights', '-s', '0.5', why='--method=weights is none of')
    refused(MODEL, *out, '-m', 'vocabulary', why='needs --data')
    refused(MODEL, *out, '-m', 'vocabulary', '-s', '0.5', '-d', DATA, why='takes no --sparsity')
    refused(MODEL, *out, '-s', '0.5', '-g', '0.5', why='--gradual goes with')
    refused(MODEL, *out, '-s', '0.5', '--', '--batch', '8', why='goes with --epochs')
    refused(MODEL, '-s', '0.5', why='--output is needed')
    refused(*out, '-s', '0.5', why='one MODEL is needed')
    refused('/nowhere', *out, '-s', '0.5', why='/nowhere', status=1)
    assert not os.path.exists(path('none'))


@tap.case('mask-of-another-model')
def test_mask():
    """The masks of one model are refused by the stage of another."""
    masks = None
    for folder, _, files in os.walk(path('learned', 'checkpoint')):
        if 'masks.safetensors' in files:
            masks = os.path.join(folder, 'masks.safetensors')
    assert masks
    line = ['gst-launch-1.0', 'reviewsrc', 'location=' + DATA, '!', 'tokenize', 'model=' + MODEL,
            '!', 'microbatch', '!', 'bertstage', 'trainable=true', 'model=' + path('half'),
            'mask=' + masks, '!', 'sentimentloss']
    result = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT,
                            check=False, text=True)
    assert result.returncode != 0
    assert 'the masks are those of the model' in result.stdout, result.stdout


@tap.case('picture')
def test_picture():
    run('--svg', path('zeros.svg'), path('zeros'), command='inspect')
    root = xml.etree.ElementTree.parse(path('zeros.svg')).getroot()
    assert root.tag.endswith('svg')
    run('--svg', '/nowhere/zeros.svg', path('zeros'), command='inspect', status=1)


try:
    prepare()
    tap.run()
finally:
    shutil.rmtree(FOLDER)
