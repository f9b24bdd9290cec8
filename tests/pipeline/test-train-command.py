#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem train as people run it, with a model of two layers and reviews that are made up."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree

import made_up
import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
FOLDER = tempfile.mkdtemp(prefix='tandem-train-')
WORDS = made_up.WORDS
TIMEOUT = 300


def path(*names):
    return os.path.join(FOLDER, *names)


def write(name, text):
    with open(path(name), 'w', encoding='utf-8') as file:
        file.write(text)
    return path(name)


def read(*names):
    with open(os.path.join(*names), 'rb') as file:
        return file.read()


def make_reviews(n, seed):
    """Texts in which some words tell the class, and most do not."""
    chance = random.Random(seed)
    for _ in range(n):
        label = chance.random() < 0.5
        yield label, made_up.make_text(chance, label, 3)


def write_csv(name, n, seed):
    rows = ('%s,%s\n' % (text, 'positive' if label else 'negative')
            for label, text in make_reviews(n, seed))
    return write(name, 'review,sentiment\n' + ''.join(rows))


def write_config(name, width):
    return write(name, json.dumps({
        'model_type': 'bert', 'num_hidden_layers': 2, 'hidden_size': width,
        'num_attention_heads': 2, 'intermediate_size': 2 * width, 'vocab_size': len(WORDS) + 5,
        'max_position_embeddings': 40, 'type_vocab_size': 2, 'hidden_act': 'gelu',
        'layer_norm_eps': 1e-12, 'hidden_dropout_prob': 0.1,
        'attention_probs_dropout_prob': 0.1}))


DATA = write_csv('reviews.csv', 400, 3)
CONFIG = write_config('config.json', 16)
WIDE = write_config('wide.json', 32)
VOCAB = write('vocab.txt', '\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + WORDS) + '\n')
RANDOM = ['--init', 'random', '--config', CONFIG, '--vocab', VOCAB]
BASE = ['--data', DATA, '--max-length', '32', '--batch', '16', '--micro-batch', '4',
        '--learning-rate', '5e-3']
TRAIN = BASE + RANDOM + ['--epochs', '8', '--checkpoint-every', '10']


def start(*args, **kwargs):
    return subprocess.Popen([TOOL, 'train', *args], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **kwargs)


def finish(process):
    out, errors = process.communicate(timeout=TIMEOUT)
    return process.returncode, out.decode(), errors.decode()


def train(*args, **kwargs):
    return finish(start(*args, **kwargs))


def train_well(*args):
    status, out, errors = train(*args)
    assert status == 0 and errors == '', (status, out, errors)
    return out


_reference = []


def get_reference():
    """The folder of a training that nobody disturbed."""
    if not _reference:
        folder = path('reference')
        out = train_well(*TRAIN, '--output', folder, '--stages', '0-0,1-', '--metrics',
                         path('reference.jsonl'))
        _reference.append((folder, out))
    return _reference[0]


def get_weights(folder):
    return read(folder, 'model.safetensors')


def assert_same(folder):
    reference = get_reference()[0]
    assert get_weights(folder) == get_weights(reference), 'other weights'
    steps = [name for name in os.listdir(os.path.join(reference, 'checkpoint'))
             if name.startswith('step-')]
    assert len(steps) == 1, steps
    for stage in ('stage-0.safetensors', 'stage-1.safetensors'):
        assert read(reference, 'checkpoint', steps[0], stage) == \
            read(folder, 'checkpoint', steps[0], stage), stage
    assert read(folder, 'checkpoint', 'state.json') == \
        read(reference, 'checkpoint', 'state.json'), 'another state'


@tap.case('learns')
def test_learns():
    folder, out = get_reference()
    with open(path('reference.jsonl'), encoding='utf-8') as file:
        lines = [json.loads(line) for line in file]
    measured = [line for line in lines if line['event'] == 'evaluation']
    steps = [line for line in lines if line['event'] == 'step']
    assert len(measured) == 8 and max(line['accuracy'] for line in measured) > 0.95, measured
    n = int(re.search(r'^(\d+) reviews to learn from, (\d+) held out', out).group(1))
    assert 340 < n < 380, out
    assert [line['step'] for line in steps] == list(range(1, len(steps) + 1))
    assert len(steps) == (8 * n + 15) // 16 and sum(s['sequences'] for s in steps) == 8 * n
    assert steps[-1]['loss'] < 0.2 < steps[0]['loss'], (steps[0], steps[-1])
    assert 'step %d/%d, loss ' % (len(steps), len(steps)) in out, out
    assert '\033' not in out and '\r' not in out, out
    picture = xml.etree.ElementTree.fromstring(read(folder, 'learning-curve.svg'))
    assert picture.tag.endswith('svg')
    inspect = subprocess.run([TOOL, 'inspect', '--json', folder], stdout=subprocess.PIPE,
                             timeout=TIMEOUT, check=True)
    model = json.loads(inspect.stdout)
    assert model['kind'] == 'model' and model['classifier'], model


@tap.case('transformers-load-it')
def test_transformers():
    python = os.environ.get('TANDEM_TEST_PYTHON')
    if python is None:
        raise tap.Skip('TANDEM_TEST_PYTHON names no Python with transformers')
    code = '''
import sys, torch, transformers
folder = sys.argv[1]
model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
    folder, output_loading_info=True)
assert not any(info.values()), info
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
texts = [line.rsplit(',', 1) for line in open(sys.argv[2]).read().splitlines()[1:]]
right = 0
model.eval()
for text, label in texts:
    logits = model(**tokenizer(text, return_tensors='pt', truncation=True, max_length=32)).logits
    right += model.config.id2label[int(logits.argmax())] == label
assert right > 0.95 * len(texts), right
'''
    result = subprocess.run([python, '-c', code, get_reference()[0], DATA],
                            stderr=subprocess.PIPE, timeout=TIMEOUT, check=False,
                            env=dict(os.environ, HF_HUB_OFFLINE='1'))
    assert result.returncode == 0, result.stderr.decode()


@tap.case('kill-and-resume')
def test_kill():
    folder, metrics, n_killed, delay = path('killed'), path('killed.jsonl'), 0, 0.15
    process = start(*TRAIN, '--output', folder, '--stages', '0-0,1-', '--metrics', metrics)
    options = os.path.join(folder, 'checkpoint', 'options.json')
    while not os.path.exists(options):
        assert process.poll() is None
        time.sleep(0.01)
    while True:
        time.sleep(delay)
        process.kill()
        status, _, errors = finish(process)
        if status == 0:
            break
        assert status == -signal.SIGKILL, (status, errors)
        n_killed += 1
        # Longer from time to time, so that it ends on slow machines, too.
        delay = 0.05 + delay * 1.2 if n_killed % 4 == 0 else delay * 1.05
        process = start('--resume', '--output', folder)
    print('# killed %d times' % n_killed)
    assert n_killed > 0
    assert_same(folder)
    assert read(metrics) == read(path('reference.jsonl'))


@tap.case('interrupt-and-resume')
def test_interrupt():
    folder, n_interrupted = path('interrupted'), 0
    args = [*TRAIN, '--stages', '0-0,1-']
    for delay in (0.3, 0.2, 0.25, None):
        process = start(*args, '--output', folder)
        args = ['--resume']
        if delay is not None:
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
        status, _, errors = finish(process)
        if status == 0:
            break
        assert status == 130, (status, errors)
        if not os.path.exists(os.path.join(folder, 'checkpoint', 'options.json')):
            args = [*TRAIN, '--stages', '0-0,1-']
            continue
        n_interrupted += 1
        assert 'tandem train --resume --output ' + folder in errors, errors
    print('# interrupted %d times' % n_interrupted)
    assert status == 0
    assert_same(folder)


@tap.case('finished-is-finished')
def test_finished():
    folder = path('finished')
    shutil.copytree(get_reference()[0], folder)
    os.remove(os.path.join(folder, 'model.safetensors'))
    out = train_well('--resume', '--output', folder, '--split', '0-0,1-')
    assert 'left' not in out.split('\n', 1)[1], out
    assert_same(folder)
    for layers in ('0-0', '1-1'):
        assert os.path.exists(os.path.join(folder, 'finished-layers-%s.safetensors' % layers))


@tap.case('schedules-and-stages')
def test_schedules():
    weights = {}
    for schedule, stages in (('gpipe', '0-0,1-'), ('1f1b-flush', '0-'), ('1f1b-flush', '0-0,1-1')):
        folder = path('%s-%s' % (schedule, stages))
        train_well(*BASE, *RANDOM, '--epochs', '2', '--schedule', schedule, '--stages', stages,
                   '--output', folder)
        weights[schedule, stages] = get_weights(folder)
    assert len(set(weights.values())) == 1
    folder = path('1f1b')
    out = train_well(*BASE, *RANDOM, '--epochs', '2', '--schedule', '1f1b', '--stages', '0-0,1-',
                     '--output', folder)
    steps = int(re.search(r'step (\d+)/(\d+),', out).group(2))
    assert steps > 150, out


@tap.case('early-stopping')
def test_patience():
    out = train_well(*BASE, *RANDOM, '--epochs', '40', '--patience', '2', '--output',
                     path('patient'))
    assert 4 < out.count(' held out are right') < 20, out
    # The best one is not the last, by what patience means.
    *_, best = re.findall(r'step (\d+): .* the best so far', out)
    assert f'the model of step {best} is in ' in out, out
    again = train_well(*BASE, *RANDOM, '--epochs', '40', '--patience', '2', '--keep', 'last',
                       '--output', path('patient-last'))
    *_, last = re.findall(r'step (\d+): ', again)
    assert last != best and f'the model of step {last} is in ' in again, again


@tap.case('distillation-and-projection')
def test_distillation():
    teacher = path('teacher')
    train_well(*BASE, '--init', 'random', '--config', WIDE, '--vocab', VOCAB, '--epochs', '6',
               '--output', teacher)
    rows = [('\t'.join(('pos' if label else 'neg', str(i), '9', 'train', text)))
            for i, (label, text) in enumerate(make_reviews(300, 5))]
    rows += ['\t'.join(('unsup', str(i), '0', 'train', text))
             for i, (_, text) in enumerate(make_reviews(100, 6))]
    data = write('mixed.tsv', '\n'.join(rows) + '\n')
    args = ['--data', data, '--max-length', '32', '--init', 'project', '--config', CONFIG, '--from',
            teacher, '--epochs', '8', '--task', 'distill', '--teacher', teacher, '--batch', '16',
            '--learning-rate', '5e-3', '--alpha', '0.3']
    folder, metrics = path('student'), path('student.jsonl')
    out = train_well(*args, '--output', folder, '--metrics', metrics)
    # A quarter has no label: hardly any step of 16 can say how many are right, and those that do
    # know it of all.
    told = [step['accuracy'] for step in map(json.loads, read(metrics).splitlines())
            if 'accuracy' in step and 'sequences' in step]
    assert len(told) < 20 and all(accuracy > 0.5 for accuracy in told[5:]), told
    best = [float(text) for text in re.findall(r'([0-9.]+) % of ', out)]
    assert max(best) > 90.0, out
    logits = read(folder, 'teacher.safetensors')

    # The teacher's hidden states, too: whatever the stages, the same model.
    hidden = [*args, '--hidden', '0.5', '--hidden-layers', '0:0']
    metrics = path('hidden.jsonl')
    train_well(*hidden, '--metrics', metrics, '--output', path('hidden'))
    losses = [step['hidden_loss'] for step in map(json.loads, read(metrics).splitlines())
              if step['event'] == 'step']
    assert 0 < losses[-1] < 0.8 * losses[0], losses
    train_well(*hidden, '--stages', '0-0,1-', '--output', path('hidden-split'))
    weights = read(path('hidden'), 'model.safetensors')
    assert weights != read(folder, 'model.safetensors')
    assert weights == read(path('hidden-split'), 'model.safetensors')
    again = os.stat(os.path.join(folder, 'teacher.safetensors')).st_mtime_ns
    train_well(*args, '--output', folder, '--force')
    assert os.stat(os.path.join(folder, 'teacher.safetensors')).st_mtime_ns == again
    assert read(folder, 'teacher.safetensors') == logits

    status, _, errors = train(*BASE[2:], '--data', data, *RANDOM, '--output', path('unlabelled'))
    assert status == 1 and 'mixed.tsv, line 301' in errors and 'label' in errors, errors


@tap.case('further-training-and-exclusion')
def test_further():
    rows = ['\t'.join(('pos' if label else 'neg', str(i), '9', 'train', text))
            for i, (label, text) in enumerate(make_reviews(100, 7))]
    data = write('named.tsv', '\n'.join(rows) + '\n')
    name = 'train/%s/4_9.txt' % rows[4].split('\t')[0]
    exclude = write('exclude.tsv', '# remark\n%s\ttest/pos/9_9.txt\nnamed.tsv:7\n' % name)
    out = train_well('--data', data, '--max-length', '32', '--from', get_reference()[0],
                     '--epochs', '1', '--exclude', exclude, '--output', path('further'))
    n, held_out = map(int, re.search(r'^(\d+) reviews .*, (\d+) held out, 2 left', out).groups())
    assert n + held_out == 98, out
    assert float(re.search(r'([0-9.]+) % of ', out).group(1)) > 90.0, out


# What is wrong, the exit status, and what the sentence must hold.
WRONG = [
    (['--output', 'x', *RANDOM], 2, '--data'),
    (['--data', DATA, *RANDOM], 2, '--output'),
    ([*BASE, '--output', 'x'], 2, '--from'),
    ([*BASE, '--output', 'x', '--init', 'random'], 2, '--vocab'),
    ([*BASE, '--output', 'x', '--init', 'magic'], 2, 'model|random|project'),
    ([*TRAIN, '--output', 'x', '--epochs', 'many'], 2, '--epochs=many'),
    ([*TRAIN, '--output', 'x', '--epochs', '0'], 2, '--epochs=0'),
    ([*TRAIN, '--output', 'x', '--holdout', 'nan'], 2, '--holdout=nan'),
    ([*TRAIN, '--output', 'x', '--micro-batch', '5'], 2, '--micro-batch'),
    ([*TRAIN, '--output', 'x', '--task', 'distill'], 2, '--teacher'),
    ([*TRAIN, '--output', 'x', '--hidden', '1'], 2, '--hidden goes'),
    ([*TRAIN, '--output', 'x', '--hidden-layers', '0:1'], 2, '--hidden-layers goes'),
    ([*TRAIN, '--output', 'x', 'more'], 2, '"more"'),
    ([*TRAIN, '--output', 'x', '--resume', '--force'], 2, '--force'),
    (['--resume', '--output', 'nowhere'], 2, 'nowhere holds no training'),
    ([*TRAIN, '--output', 'x', '--data', 'nowhere.csv'], 1, 'nowhere.csv'),
    ([*TRAIN, '--output', 'x', '--labels', 'a,b,c'], 1, '--labels'),
    ([*TRAIN, '--output', 'x', '--stages', '0-0'], 1, '--stages'),
    ([*TRAIN, '--output', 'x', '--stages', '1,0'], 1, '--stages'),
    ([*TRAIN, '--output', 'x', '--split', '0-7'], 1, '0-7'),
    ([*TRAIN, '--output', 'x', '--max-length', '512'], 1, '40 positions'),
    ([*TRAIN, '--output', 'x', '--exclude', VOCAB], 1, 'vocab.txt'),
    ([*BASE, '--output', 'x', '--from', 'nowhere'], 1, 'nowhere'),
    ([*TRAIN, '--output', 'x', '--metrics', '/nowhere/m'], 1, '/nowhere/m'),
]


@tap.case('wrong-options')
def test_wrong():
    for args, wanted, part in WRONG:
        status, _, errors = train(*args, cwd=FOLDER)
        assert status == wanted and part in errors, (args, status, errors)
        assert errors.startswith('tandem train: '), errors
        assert len(errors.splitlines()) == wanted, errors
        assert not os.path.exists(path('x', 'config.json')), args
        shutil.rmtree(path('x'), ignore_errors=True)


@tap.case('wrong-data')
def test_wrong_data():
    for text, part in (('good,positive\nbad,fine\n', 'line 3'), ('good,positive\nbad\n', 'line 3'),
                       ('good,positive\nnone,\n', 'line 3'), ('"open,positive\n', 'line 2'),
                       ('', 'no reviews')):
        data = write('wrong.csv', 'review,sentiment\n' + text)
        status, _, errors = train('--data', data, *RANDOM, '--output', path('wrong'))
        assert status == 1 and part in errors, (text, status, errors)
        assert 'wrong.csv' in errors or part == 'no reviews', errors
        shutil.rmtree(path('wrong'), ignore_errors=True)
    data = write_csv('few.csv', 3, 1)
    status, _, errors = train('--data', data, *RANDOM, '--max-length', '32', '--output',
                              path('wrong'))
    assert status == 1 and '--holdout' in errors, errors


@tap.case('resume-agrees')
def test_agrees():
    folder = path('agrees')
    shutil.copytree(get_reference()[0], folder)
    for args, status, part in (
            (['--batch', '32'], 2, '--batch=16'), (['--seed', '9'], 2, '--seed=1'),
            (['--data', write_csv('other.csv', 400, 8)], 1, 'reviews are not those')):
        result = train('--resume', '--output', folder, *args)
        assert result[0] == status and part in result[2], result
    train_well('--resume', '--output', folder, '--batch', '16', '--learning-rate', '0.005')
    status, _, errors = train(*TRAIN, '--output', folder)
    assert status == 1 and '--resume' in errors and '--force' in errors, errors
    write('agrees/checkpoint/state.json', '{"version": 1}')
    status, _, errors = train('--resume', '--output', folder)
    assert status == 1 and 'state.json' in errors, errors
    assert_same_weights = get_weights(folder) == get_weights(get_reference()[0])
    assert assert_same_weights


@tap.case('one-at-a-time')
def test_lock():
    folder = path('locked')
    first = start(*TRAIN, '--epochs', '200', '--output', folder)
    while not os.path.exists(os.path.join(folder, 'checkpoint', 'options.json')):
        assert first.poll() is None
        time.sleep(0.01)
    status, _, errors = train('--resume', '--output', folder)
    first.kill()
    finish(first)
    assert status == 1 and 'another training' in errors, errors


@tap.case('divergence-names-the-step')
def test_divergence():
    folder = path('diverged')
    status, _, errors = train(*BASE, *RANDOM, '--epochs', '8', '--learning-rate', '10', '--warmup',
                              '0', '--max-norm', '0', '--weight-decay', '1', '--output', folder)
    if status == 0:
        raise AssertionError('it did not diverge')
    assert status == 1 and re.search(r'in step \d+: ', errors), errors


def limit_files():
    """Files can have 24 KB from here on, less than a checkpoint: like a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (24 << 10, 24 << 10))


@tap.case('full-disk')
def test_full_disk():
    folder = path('full')
    process = start(*TRAIN, '--output', folder, '--stages', '0-0,1-')
    state = os.path.join(folder, 'checkpoint', 'state.json')
    while not (os.path.exists(state) and b'"step" : 0,' not in read(state)):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    status, _, errors = finish(process)
    assert status == 130, (status, errors)
    status, _, errors = train('--resume', '--output', folder, preexec_fn=limit_files)
    assert status == 1 and 'checkpoint' in errors, (status, errors)
    train_well('--resume', '--output', folder)
    assert_same(folder)


try:
    tap.run()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
