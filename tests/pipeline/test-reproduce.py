#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pipelines/reproduce with small budgets and data that is made up."""

import importlib.machinery
import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import tempfile

import tap

PROGRAM = os.path.join(tap.ROOT, 'pipelines', 'reproduce')
FOLDER = tempfile.mkdtemp(prefix='tandem-reproduce-')
OUTPUT = os.path.join(FOLDER, 'rows')


def path(*names):
    return os.path.join(FOLDER, *names)


def make_reviews(name, n, seed):
    chance = random.Random(seed)
    words = ['film', 'plot', 'the', 'a', 'of', 'scene', 'actor', 'with']
    telling = (['dull', 'awful', 'boring'], ['fine', 'superb', 'funny'])
    with open(path(name), 'w', encoding='utf-8') as file:
        for _ in range(n):
            label = chance.randint(0, 1)
            text = chance.choices(words, k=8) + [chance.choice(telling[label])]
            chance.shuffle(text)
            file.write('%s\t%s\n' % (('neg', 'pos')[label], ' '.join(text)))
    return path(name)


def make_table(name, columns, seed):
    """A table of three classes, with columns that have these names and are to be left out."""
    chance = random.Random(seed)
    lines = ["@attribute '%s' {a,b}" % column for column in columns]
    lines += ['@attribute x%d real' % i for i in range(3)] + ['@attribute class {r,s,t}', '@data']
    for i in range(60):
        numbers = [chance.gauss(2 * (i % 3 == k), 0.8) for k in range(3)]
        lines.append(','.join(['a'] * len(columns) + ['%.3f' % x for x in numbers] +
                              ['rst'[i % 3]]))
    os.makedirs(path('uci'), exist_ok=True)
    with open(path('uci', name), 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines) + '\n')


DATA = make_reviews('train.tsv', 160, 1)
TEST = make_reviews('test.tsv', 40, 2)
for file_name in ('iris.arff', 'diabetes.arff', 'heart.statlog.arff', 'sonar.arff'):
    make_table(file_name, [], 3)
make_table('vowel.arff', ['Train or Test', 'Speaker Number', 'Sex'], 4)


def run(*args):
    process = subprocess.run([PROGRAM, *args], capture_output=True, timeout=600, check=False)
    return process.returncode, process.stdout.decode(), process.stderr.decode()


def run_row(row, *args):
    status, out, errors = run(row, '--small', '--output', OUTPUT, *args)
    assert status == 0, (row, out, errors)
    return out


@tap.case('rows on reviews')
def test_reviews():
    for row in ('ga-ann', 'bat-ann', 'pso-cnn', 'pso-svm', 'pso-adam-ann', 'pso-ga-ann',
                'ga-cnn-weights'):
        out = run_row(row, '--data', DATA, '--test', TEST)
        lines = out.splitlines()
        assert len(lines) == 3 and lines[2].startswith('| random |'), out
        for line in lines[1:]:
            assert re.search(r'\| 4 \| \d+\.\d\d ± 0\.00 \| \d+\.\d\d ± 0\.00 \|$', line), out


@tap.case('the row of the transformer')
def test_bert():
    tap.need_model()
    run_row('pso-tinybert', '--data', make_reviews('few.tsv', 60, 5), '--test', TEST, '--tinybert',
            tap.MODEL)


@tap.case('rows on tables')
def test_tables():
    for row in ('iris', 'svm-vowel', 'svm-heart'):
        out = run_row(row, '--uci', path('uci'))
        assert len(out.splitlines()) == 5 and 'p = ' in out, out
    # What is there is not searched again.
    status, out, errors = run('svm-vowel', '--small', '--output', OUTPUT, '--uci', path('uci'))
    assert status == 0 and errors == '' and 'dwpso' in out, (out, errors)


@tap.case('leaves out what is in each list')
def test_exclude():
    lists = []
    for lines in (range(1, 41), range(41, 61)):
        lists += ['--exclude', path('exclude-%d.txt' % len(lists))]
        with open(lists[-1], 'w', encoding='utf-8') as file:
            # The last line is without an end.
            file.write('\n'.join('train.tsv:%d' % line for line in lines))
    output = path('excluded')
    status, out, errors = run('pso-svm', '--small', '--output', output, '--data', DATA, '--test',
                              TEST, *lists)
    assert status == 0, (out, errors)
    with open(os.path.join(output, 'svm-pso-4-1', 'options.json'), encoding='utf-8') as file:
        options = [option for option in json.load(file) if option.startswith('--exclude=')]
    assert len(options) == 1, options
    with open(options[0].split('=', 1)[1], encoding='utf-8') as file:
        assert len(file.read().split()) == 60


@tap.case('the signed rank test')
def test_wilcoxon():
    loader = importlib.machinery.SourceFileLoader('reproduce', PROGRAM)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('reproduce', loader))
    loader.exec_module(module)
    # Of five, all above 0: 2 of 32 ways to give signs are as far out.
    assert module.get_wilcoxon([1, 2, 3, 4, 5]) == 0.0625
    assert module.get_wilcoxon([-1, 0, -2, -3, -4, -5]) == 0.0625
    assert module.get_wilcoxon([0, 0]) == 1.0
    assert module.get_wilcoxon([1, -2]) == 1.0
    # Heights of maize that was crossed and self-fertilised (Darwin 1876), in eighths of an inch.
    darwin = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
    assert abs(module.get_wilcoxon(darwin) - 0.041259765625) < 1e-12
    # With ties: all above 0, ranks of sum 15, deviation sqrt (13.75 - 0.125).
    expected = 0.0591
    assert abs(module.get_wilcoxon([1, 1, 2, 3, 4]) - expected) < 2e-3
    chance = random.Random(1)
    noise = [chance.gauss(0, 1) for _ in range(30)]
    assert module.get_wilcoxon(noise) > 0.01
    assert module.get_wilcoxon([x + 2 for x in noise]) < 1e-4


@tap.case('says what is missing')
def test_missing():
    for args, words in ((['pso-svm'], '--data'), (['iris'], '--uci'), (['svm-sonar'], '--uci'),
                        (['pso-tinybert', '--data', DATA, '--test', TEST], '--tinybert'),
                        (['tree'], 'tree'), ([], 'ROW')):
        status, out, errors = run(*args, '--output', OUTPUT)
        assert status == 2 and words in errors, (args, out, errors)
    status, _, errors = run('pso-svm', '--data', path('none'), '--test', TEST, '--output', OUTPUT)
    assert status == 1 and 'none' in errors, errors


try:
    tap.run()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
