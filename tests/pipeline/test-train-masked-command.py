#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem train --task masked-lm as people run it: texts without labels, then a classifier."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
FOLDER = tempfile.mkdtemp(prefix='tandem-train-masked-')
WORDS = [a + b for a in 'bdfgklmnprst' for b in 'aeiou']
TIMEOUT = 300


def path(*names):
    return os.path.join(FOLDER, *names)


def write(name, text):
    with open(path(name), 'w', encoding='utf-8') as file:
        file.write(text)
    return path(name)


def make_text(chance, start):
    """Each word follows from the word before it."""
    return ' '.join(WORDS[(start + i) % 20] for i in range(chance.randint(10, 20)))


def write_data(name, labels, n):
    chance = random.Random(3)
    rows = ((chance.choice(labels), i, make_text(chance, chance.randint(0, 19))) for i in range(n))
    return write(name, ''.join('%s\t%d\t0\ttrain\t%s\n' % row for row in rows))


CONFIG = write('config.json', json.dumps({
    'model_type': 'bert', 'num_hidden_layers': 2, 'hidden_size': 32, 'num_attention_heads': 2,
    'intermediate_size': 64, 'vocab_size': len(WORDS) + 5, 'max_position_embeddings': 40,
    'type_vocab_size': 2, 'hidden_act': 'gelu', 'layer_norm_eps': 1e-12,
    'hidden_dropout_prob': 0.1, 'attention_probs_dropout_prob': 0.1}))
VOCAB = write('vocab.txt', '\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + WORDS) + '\n')
TEXTS = write_data('texts.tsv', ['unsup'], 800)
REVIEWS = write_data('reviews.tsv', ['pos', 'neg'], 100)
BASE = ['--max-length', '32', '--batch', '8', '--micro-batch', '4', '--learning-rate', '5e-3']
RANDOM = ['--init', 'random', '--config', CONFIG, '--vocab', VOCAB]
# Many of the texts are equal, and all copies of one that is held out are.
TRAIN = ['--data', TEXTS, *BASE, *RANDOM, '--task', 'masked-lm', '--epochs', '16', '--dropout', '0',
         '--holdout', '0.04', '--checkpoint-every', '100']


def start(*args):
    return subprocess.Popen([TOOL, 'train', *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    out, errors = process.communicate(timeout=TIMEOUT)
    return process.returncode, out.decode(), errors.decode()


def train_well(*args):
    status, out, errors = finish(start(*args))
    assert status == 0 and errors == '', (status, out, errors)
    return out


def get_weights(folder):
    with open(os.path.join(folder, 'model.safetensors'), 'rb') as file:
        return file.read()


_reference = []


def get_reference():
    if not _reference:
        folder = path('reference')
        out = train_well(*TRAIN, '--output', folder, '--metrics', path('reference.jsonl'))
        _reference.append((folder, out))
    return _reference[0]


@tap.case('learns')
def test_learns():
    folder, out = get_reference()
    with open(path('reference.jsonl'), encoding='utf-8') as file:
        lines = [json.loads(line) for line in file]
    measured = [line['loss'] for line in lines if line['event'] == 'evaluation']
    print('# losses', measured)
    assert len(measured) == 16 and measured[-1] < 0.8 * measured[0], measured
    assert all(0 <= line['accuracy'] <= 1 for line in lines if 'accuracy' in line)
    assert out.count('of masked words held out is ') == 16, out
    with open(os.path.join(folder, 'config.json'), encoding='utf-8') as file:
        assert json.load(file)['architectures'] == ['BertForMaskedLM']


@tap.case('transformers-load-it')
def test_transformers():
    python = os.environ.get('TANDEM_TEST_PYTHON')
    if python is None:
        raise tap.Skip('TANDEM_TEST_PYTHON names no Python with transformers')
    code = '''
import sys, torch, transformers
folder = sys.argv[1]
model, info = transformers.BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
assert not any(info.values()), info
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
words = sys.argv[2].split()
right = 0
for start in range(20):
    text = [words[(start + i) % 20] for i in range(16)]
    wanted, text[8] = text[8], '[MASK]'
    logits = model.eval()(**tokenizer(' '.join(text), return_tensors='pt')).logits[0, 9]
    right += tokenizer.convert_ids_to_tokens(int(logits.argmax())) == wanted
assert right > 10, right
'''
    result = subprocess.run([python, '-c', code, get_reference()[0], ' '.join(WORDS)],
                            stderr=subprocess.PIPE, timeout=TIMEOUT, check=False,
                            env=dict(os.environ, HF_HUB_OFFLINE='1'))
    assert result.returncode == 0, result.stderr.decode()


@tap.case('kill-and-resume')
def test_kill():
    folder, n_killed = path('killed'), 0
    process = start(*TRAIN, '--output', folder)
    options = os.path.join(folder, 'checkpoint', 'options.json')
    while not os.path.exists(options):
        assert process.poll() is None
        time.sleep(0.01)
    for delay in (0.1, 0.15, 0.2, 0.4, None):
        if delay is not None:
            time.sleep(delay)
            process.kill()
        status, _, errors = finish(process)
        if status == 0:
            break
        assert status == -signal.SIGKILL, (status, errors)
        n_killed += 1
        process = start('--resume', '--output', folder)
    print('# killed %d times' % n_killed)
    assert status == 0 and get_weights(folder) == get_weights(get_reference()[0])


@tap.case('goes-on')
def test_further():
    """From the head of the folder, and as a classifier."""
    out = train_well('--data', TEXTS, *BASE, '--from', get_reference()[0], '--task', 'masked-lm',
                     '--epochs', '1', '--output', path('further'))
    with open(path('reference.jsonl'), encoding='utf-8') as file:
        first = [json.loads(line) for line in file][0]['loss']
    assert float(re.search(r'held out is ([0-9.]+)', out).group(1)) < 0.8 * first, out
    train_well('--data', REVIEWS, *BASE, '--from', get_reference()[0], '--epochs', '1', '--output',
               path('classifier'))
    with open(path('classifier', 'config.json'), encoding='utf-8') as file:
        assert json.load(file)['architectures'] == ['BertForSequenceClassification']
    train_well('--data', TEXTS, *BASE, '--from', path('classifier'), '--task', 'masked-lm',
               '--epochs', '1', '--output', path('back'))


@tap.case('wrong-options')
def test_wrong():
    for args, part in ((['--stages', '0-0,1-'], 'one stage'), (['--teacher', 'x'], '--teacher')):
        status, _, errors = finish(start(*TRAIN, '--output', path('x'), *args))
        assert status == 2 and part in errors, (args, status, errors)
    status, _, errors = finish(start('--data', TEXTS, *BASE, *RANDOM, '--output', path('x')))
    assert status == 1 and 'masked-lm' in errors, errors


try:
    tap.run()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
