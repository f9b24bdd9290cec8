#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem fit, train and tune hold out the same reviews."""

import json
import os
import random
import re
import shutil
import subprocess
import tempfile

import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
FOLDER = tempfile.mkdtemp(prefix='tandem-holdout-')
WORDS = [a + b + c for a in 'bdfgklmnprst' for b in 'aeiou' for c in 'nrs']


def write(name, text):
    path = os.path.join(FOLDER, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def make_reviews(name, n, seed):
    """Some texts are there more often than others, all over the file. Equal texts are held out
    together, so that how many are held out says which."""
    chance = random.Random(seed)
    rows = []
    for i in range(n):
        label = i % 2
        text = ' '.join(chance.choice(WORDS[20:]) for _ in range(8)) + ' ' + WORDS[label]
        rows += ['%s\t%s\n' % (('neg', 'pos')[label], text)] * (i % 11 + 1)
    chance.shuffle(rows)
    return write(name, ''.join(rows))


ONE = make_reviews('one.tsv', 60, 1)
TWO = make_reviews('two.tsv', 40, 2)
EXCLUDE = write('exclude.txt', ''.join('two.tsv:%d\n' % line for line in range(3, 60, 7)))
VOCAB = write('vocab.txt', '\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + WORDS) + '\n')
CONFIG = write('config.json', json.dumps({
    'model_type': 'bert', 'num_hidden_layers': 1, 'hidden_size': 8, 'num_attention_heads': 2,
    'intermediate_size': 8, 'vocab_size': len(WORDS) + 5, 'max_position_embeddings': 16,
    'type_vocab_size': 2, 'hidden_act': 'gelu', 'layer_norm_eps': 1e-12}))


def count(command, *args):
    """(learned from, held out, left out)"""
    process = subprocess.run([TOOL, command, *args], capture_output=True, timeout=300, check=False)
    out = process.stdout.decode() + process.stderr.decode()
    assert process.returncode == 0, (command, args, out)
    numbers = re.search(r'^(\d+) reviews to learn from, (\d+) held out, (\d+) left out$', out, re.M)
    return tuple(int(number) for number in numbers.groups())


@tap.case('fit, train and tune')
def test_same():
    found = set()
    for seed, share, data, more in ((1, '0.1', [ONE], []), (2, '0.1', [ONE], []),
                                    (1, '0.3', [ONE, TWO], ['--exclude', EXCLUDE]),
                                    (1, '0.3', [TWO, ONE], ['--exclude', EXCLUDE]),
                                    (5, '0.05', [ONE, TWO], [])):
        args = [arg for path in data for arg in ('--data', path)]
        args += [*more, '--seed', str(seed), '--holdout', share]
        output = os.path.join(FOLDER, 'found-%d' % len(found))
        fit = count('fit', *args, '--ngrams', '1', '--folds', '1', '--output', output + '.ngrams')
        train = count('train', *args, '--init', 'random', '--config', CONFIG, '--vocab', VOCAB,
                      '--max-length', '16', '--epochs', '1', '--output', output + '-train')
        tune = count('tune', *args, '--model', 'svm', '--space', 'cost=log(1,2)', '--set',
                     'ngrams=1', '--evaluations', '1', '--output', output + '-tune')
        weights = count('tune', *args, '--model', 'ann', '--weights', '--set', 'hidden-1=0',
                        '--set', 'max-features=20', '--set', 'ngrams=1', '--evaluations', '2',
                        '--output', output + '-weights')
        assert fit == train == tune == weights, (args, fit, train, tune, weights)
        assert fit[1] > 0 and (fit[2] > 0) == bool(more), fit
        found.add(fit)
    # The numbers tell seeds, shares and orders apart.
    assert len(found) == 5, found


try:
    tap.run()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
