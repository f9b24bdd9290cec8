#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem fit, and what it makes as a teacher, with reviews that are made up."""

import json
import os
import random
import re
import shutil
import subprocess
import tempfile

import made_up
import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
FOLDER = tempfile.mkdtemp(prefix='tandem-fit-')
WORDS = made_up.WORDS


def path(*names):
    return os.path.join(FOLDER, *names)


def write(name, text):
    with open(path(name), 'w', encoding='utf-8') as file:
        file.write(text)
    return path(name)


def make_rows(n, seed):
    """Labels and texts."""
    chance = random.Random(seed)
    for _ in range(n):
        label = int(chance.random() < 0.5)
        yield label, made_up.make_text(chance, label, 3)


def write_tsv(name, rows):
    return write(name, ''.join('%s\t%s\n' % (['neg', 'pos'][label], text)
                               for label, text in rows))


DATA = write_tsv('reviews.tsv', make_rows(400, 3))
UNLABELLED = write('texts.tsv', ''.join('unsup\t%d\t0\ttrain\t%s\n' % (i, text) for i, (_, text)
                                        in enumerate(make_rows(200, 4))))


def run(*args):
    process = subprocess.run([TOOL, *args], capture_output=True, timeout=300, check=False)
    return process.returncode, process.stdout.decode(), process.stderr.decode()


def run_well(*args):
    status, out, errors = run(*args)
    assert status == 0 and errors == '', (status, out, errors)
    return out


def get_accuracy(out):
    return float(re.search(r'^([0-9.]+) % of \d+ reviews held out', out, re.M).group(1))


@tap.case('learns')
def test_learns():
    for extra in ([], ['--weighting', 'tfidf'], ['--weighting', 'binary', '--loss', 'squared-hinge'],
                  ['--ngrams', '1', '--min-texts', '1', '--cost', '1']):
        out = run_well('fit', '--data', DATA, '--output', path('some.ngrams'), *extra)
        assert get_accuracy(out) > 85, (extra, out)


@tap.case('the same reviews give the same file')
def test_same():
    files = []
    for name in ('a.ngrams', 'b.ngrams'):
        run_well('fit', '--data', DATA, '--holdout', '0', '--output', path(name))
        with open(path(name), 'rb') as file:
            files.append(file.read())
    assert files[0] == files[1]


@tap.case('neighbours are held out together')
def test_blocks():
    # Only the name of its film tells a review's class here; who knows no review of a film knows nothing.
    chance = random.Random(5)
    rows = []
    for film in range(200):
        label = int(chance.random() < 0.5)
        rows += [(label, ' '.join(chance.choices(WORDS, k=6)) + ' film%d' % film)
                 for _ in range(20)]
    data = write_tsv('films.tsv', rows)
    out = run_well('fit', '--data', data, '--ngrams', '1', '--holdout', '0.2', '--output',
                   path('films.ngrams'))
    assert get_accuracy(out) < 75, out
    chance.shuffle(rows)
    out = run_well('fit', '--data', write_tsv('mixed.tsv', rows), '--ngrams', '1', '--holdout',
                   '0.2', '--output', path('mixed.ngrams'))
    assert get_accuracy(out) > 95, out


@tap.case('teaches')
def test_teaches():
    config = write('config.json', json.dumps({
        'model_type': 'bert', 'num_hidden_layers': 2, 'hidden_size': 16,
        'num_attention_heads': 2, 'intermediate_size': 32, 'vocab_size': len(WORDS) + 5,
        'max_position_embeddings': 40, 'type_vocab_size': 2, 'hidden_act': 'gelu',
        'layer_norm_eps': 1e-12, 'hidden_dropout_prob': 0.1,
        'attention_probs_dropout_prob': 0.1}))
    vocab = write('vocab.txt', '\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + WORDS) + '\n')
    # Without labels, from the teacher alone.
    texts = write('learn.tsv', ''.join(
        'unsup\t%d\t0\ttrain\t%s\n' % (i, text)
        for i, (_, text) in enumerate(make_rows(1200, 6))))
    teacher = path('teacher.ngrams')
    run_well('fit', '--data', DATA, '--holdout', '0', '--output', teacher)
    held_out = write_tsv('more.tsv', make_rows(80, 7))
    out = run_well('train', '--task', 'distill', '--teacher', teacher, '--data', held_out, '--data',
                   texts, '--holdout', '0.5', '--alpha', '0', '--init', 'random', '--config',
                   config, '--vocab', vocab, '--max-length', '32', '--batch', '16',
                   '--micro-batch', '4', '--learning-rate', '5e-3', '--epochs', '4',
                   '--truncation-side', 'left', '--output', path('student'))
    best = max(float(x) for x in re.findall(r'([0-9.]+) % of \d+ reviews held out', out))
    assert best > 80, out
    with open(path('student', 'tokenizer_config.json'), encoding='utf-8') as file:
        assert json.load(file)['truncation_side'] == 'left'


@tap.case('the recipe of the default model')
def test_recipe():
    chance = random.Random(8)
    good, bad = ('wonderful', 'superb', 'funny'), ('dull', 'awful', 'boring')
    text = 'a %s film with a %s ending and %s acting'
    rows = [(i % 2, text % tuple(chance.choices(good if i % 2 else bad, k=3))) for i in range(64)]
    data = write('labelled.tsv', ''.join('%s\t%s %d\n' % (('neg', 'pos')[label], text, i)
                                         for i, (label, text) in enumerate(rows)))
    recipe = os.path.join(tap.ROOT, 'pipelines', 'train-sentiment')
    encoder = os.path.join(tap.ROOT, 'pipelines', 'models', 'tinybert-imdb')
    process = subprocess.run(
        [recipe, '--data', data, '--unlabelled', UNLABELLED, '--encoder', encoder, '--output',
         path('recipe'), '--test', data, '--epochs', '2'], capture_output=True, timeout=300,
        check=False)
    out, errors = process.stdout.decode(), process.stderr.decode()
    assert process.returncode == 0, (out, errors)
    assert re.search(r'^64 reviews, \d+ of 64 labelled right', errors, re.M), errors
    for name in ('config.json', 'model.safetensors', 'vocab.txt', 'tokenizer_config.json'):
        assert os.path.exists(path('recipe', 'model', name)), name
    # 16-bit floats, half of them, and these in 8 bits.
    sizes = [os.path.getsize(path('recipe', name, 'model.safetensors'))
             for name in ('model', 'pruned', 'int8')]
    assert sizes[0] < 9e6 and sizes[1] < 0.6 * sizes[0] and sizes[2] < 0.6 * sizes[1], sizes
    for args, words in (([], '--data'), (['--data'], '--data'), (['--data', data], '--encoder'),
                        (['--what'], '--what')):
        process = subprocess.run([recipe, *args], capture_output=True, timeout=60, check=False)
        assert process.returncode == 2 and words in process.stderr.decode(), (args, process)


@tap.case('says what is wrong')
def test_wrong():
    bad = write('bad.ngrams', 'no safetensors file')
    one = write_tsv('one.tsv', [(1, 'good film %d' % i) for i in range(40)])
    for args, status, words in [
            (['fit'], 2, '--data'),
            (['fit', '--data', DATA], 2, '--output'),
            (['fit', '--data', DATA, '--output', 'x', '--ngrams', '9'], 2, '--ngrams'),
            (['fit', '--data', DATA, '--output', 'x', '--cost', '0'], 2, '--cost'),
            (['fit', '--data', DATA, '--output', 'x', '--folds', '0'], 2, '--folds'),
            (['fit', '--data', DATA, '--output', 'x', '--loss', 'mine'], 2, '--loss=mine'),
            (['fit', '--data', DATA, '--output', 'x', '--holdout', '2'], 2, '--holdout'),
            (['fit', '--data', DATA, '--output', 'x', 'more'], 2, '--data'),
            (['fit', '--data', path('none.tsv'), '--output', path('x')], 1, 'none.tsv'),
            (['fit', '--data', UNLABELLED, '--output', path('x')], 1, 'texts.tsv'),
            (['fit', '--data', one, '--output', path('x')], 1, 'both classes'),
            (['fit', '--data', DATA, '--min-texts', '1000', '--output', path('x')], 1, '1000'),
            (['fit', '--data', DATA, '--output', path('no', 'folder', 'x')], 1, 'no'),
            (['train', '--task', 'distill', '--teacher', bad, '--data', DATA, '--init', 'random',
              '--config', path('config.json'), '--vocab', path('vocab.txt'), '--max-length', '32',
              '--output', path('y')], 1, 'bad.ngrams')]:
        result, out, errors = run(*args)
        assert result == status and words in errors, (args, result, out, errors)
        assert not os.path.exists(path('x')), args


try:
    tap.run()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
