#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tandem tune, with reviews and tables that are made up."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree

import made_up
import tap

TOOL = os.environ['TANDEM_TEST_TOOL']
FOLDER = tempfile.mkdtemp(prefix='tandem-tune-')


def path(*names):
    return os.path.join(FOLDER, *names)


def write(name, text):
    with open(path(name), 'w', encoding='utf-8') as file:
        file.write(text)
    return path(name)


def make_tsv(name, n, seed):
    chance = random.Random(seed)
    rows = []
    for _ in range(n):
        label = int(chance.random() < 0.5)
        rows.append('%s\t%s\n' % (('neg', 'pos')[label], made_up.make_text(chance, label, 2)))
    return write(name, ''.join(rows))


def make_table(name, n, seed):
    """Two columns that tell three classes, two that do not, and some that are missing."""
    chance = random.Random(seed)
    rows = ['@relation made', *('@attribute x%d real' % i for i in range(4)),
            '@attribute class {a,b,c}', '@data']
    for i in range(n):
        kind = i % 3
        numbers = [chance.gauss((0, 2, 0)[kind], 0.6), chance.gauss((0, 0, 2)[kind], 0.6),
                   chance.gauss(0, 1), chance.gauss(0, 1)]
        texts = ['%.3f' % x if chance.random() > 0.02 else '?' for x in numbers]
        rows.append(','.join(texts + ['abc'[kind]]))
    return write(name, '\n'.join(rows) + '\n')


DATA = make_tsv('reviews.tsv', 400, 3)
TEST = make_tsv('test.tsv', 100, 4)
TABLE = make_table('table.arff', 120, 5)
SPACE = 'cost=log(0.1,10); ngrams=integer(1,2)'


def run(*args, timeout=300):
    process = subprocess.run([TOOL, *args], capture_output=True, timeout=timeout, check=False)
    return process.returncode, process.stdout.decode(), process.stderr.decode()


def run_well(*args):
    status, out, errors = run(*args)
    assert status == 0 and errors == '', (args, status, out, errors)
    return out


def read_result(folder):
    with open(path(folder, 'result.json'), encoding='utf-8') as file:
        return json.load(file)


def read_log(folder, name='search.jsonl'):
    with open(path(folder, name), encoding='utf-8') as file:
        return [json.loads(line) for line in file]


def get_size(*names):
    return os.path.getsize(path(*names)) if os.path.exists(path(*names)) else 0


def forget_time(lines):
    """What does not depend on the machine, by number."""
    for line in lines:
        line.pop('seconds')
        line.get('metrics', {}).pop('fit-seconds', None)
    return sorted(lines, key=lambda line: line['trial'])


@tap.case('finds options of each model')
def test_models():
    for model, more in (('svm', ['--space', SPACE]),
                        ('ann', ['--space', 'learning-rate=log(0.003,0.03); hidden-1=integer(0,8)',
                                 '--set', 'min-texts=2', '--set', 'epochs=3']),
                        ('cnn', ['--space', 'filters=integer(2,6); widths={1,1+2}', '--set',
                                 'embedding-size=8', '--set', 'learning-rate=0.02'])):
        out = run_well('tune', '--model', model, '--data', DATA, '--test', TEST, '--holdout', '0.2',
                       '--evaluations', '5', '--output', path(model), *more)
        assert float(re.search(r'^([0-9.]+) % of 100 test', out, re.M).group(1)) > 70, out
        result = read_result(model)
        lines = read_log(model)
        assert result['search']['evaluations'] == len(lines) == 5, result
        best = min(line['values'][0] for line in lines)
        assert result['search']['best']['values'] == [best], result
        assert result['test']['accuracy'] > 0.7
        assert os.path.getsize(path(model, 'model.classifier')) > 0


@tap.case('each algorithm, with two workers as with one')
def test_algorithms():
    _, _, errors = run('tune', '--algorithm', 'oracle', '--model', 'svm', '--table', TABLE,
                       '--output', path('x'))
    assert '--algorithm' in errors, errors
    for arguments, said in ((['--model', 'nope'], '"nope"'), ([], '--model is needed')):
        status, _, errors = run('tune', *arguments, '--table', TABLE, '--output', path('x'))
        assert status == 2 and said in errors, errors
    names = re.search(r'Algorithms: (.*)\.', run_well('tune', '--help')).group(1).split(', ')
    assert {'random', 'ga', 'pso', 'dwpso', 'bat', 'cuckoo', 'pso-cs', 'pso-ga',
            'pso-adam'} <= set(names), names
    for name in names:
        found = []
        for workers in ('1', '2'):
            folder = 'algorithm-%s-%s' % (name, workers)
            run_well('tune', '--model', 'svm', '--algorithm', name, '--table', TABLE, '--folds',
                     '3', '--evaluations', '12', '--workers', workers, '--output', path(folder))
            found.append(forget_time(read_log(folder)))
        assert found[0] == found[1], name
        assert len(found[0]) == 12, (name, len(found[0]))


@tap.case('two measures, columns and a baseline')
def test_front():
    status, out, errors = run(
        'tune', '--model', 'ann', '--table', TABLE, '--select-columns', '--objective',
        'accuracy,bytes', '--algorithm', 'ga', '--evaluations', '30', '--folds', '3', '--space',
        'hidden-1=integer(2,8)', '--set', 'epochs=20', '--baseline', '--output', path('front'))
    assert status == 0, (out, errors)
    result = read_result('front')
    front = [one['values'] for one in result['search']['front']]
    assert len(front) >= 2, front
    for one in front:
        for other in front:
            assert one == other or one[0] < other[0] or one[1] < other[1], front
    for name in ('convergence.svg', 'importance.svg', 'parallel.svg', 'front.svg'):
        assert xml.etree.ElementTree.parse(path('front', name)).getroot().tag.endswith('svg'), name
    assert 'column-4' in result['search']['best']['parameters'], result
    assert result['baseline']['evaluations'] == 30, result


@tap.case('a seed of its own for what is held out')
def test_split_seed():
    def measure(name, seed, split_seed, *data):
        run_well('tune', '--model', 'svm', *data, '--algorithm', 'random', '--space', 'cost={1}',
                 '--objective', 'mse', '--evaluations', '1', '--seed', str(seed), '--split-seed',
                 str(split_seed), '--output', path(name))
        return read_log(name)[0]['values']
    for number, data in enumerate((['--data', DATA], ['--table', TABLE, '--set', 'kernel=linear'])):
        first = measure('split-%d-1' % number, 1, 7, *data)
        assert measure('split-%d-2' % number, 2, 7, *data) == first
        assert measure('split-%d-3' % number, 1, 8, *data) != first
        assert measure('split-%d-4' % number, 7, -1, *data) == first
    status, _, errors = run('tune', '--model', 'svm', '--data', DATA, '--split-seed', '-2',
                            '--output', path('split'))
    assert status == 2 and '--split-seed' in errors, (status, errors)


@tap.case('weights themselves')
def test_weights():
    run_well('tune', '--model', 'ann', '--weights', '--table', TABLE, '--folds', '3', '--set',
             'hidden-1=0', '--algorithm', 'pso', '--evaluations', '600', '--baseline', '--output',
             path('weights'))
    result = read_result('weights')
    assert len(result['held-out-searches']) == 3, result
    assert result['held-out']['accuracy'] > 0.8, result
    assert result['held-out-searches'][0]['weights'] == 15, result
    run_well('tune', '--model', 'ann', '--weights', '--data', DATA, '--algorithm', 'pso-adam',
             '--set', 'hidden-1=0', '--set', 'max-features=60', '--set', 'ngrams=1',
             '--evaluations', '200', '--output', path('words'))
    assert read_result('words')['held-out']['accuracy'] > 0.6
    assert os.path.exists(path('words', 'model.classifier'))


@tap.case('goes on after it was killed, and ends as if it had not been')
def test_resume():
    args = ['tune', '--model', 'svm', '--data', DATA, '--algorithm', 'pso', '--evaluations', '25',
            '--space', SPACE, '--output']
    run_well(*args, path('whole'))
    for name, number in (('killed', signal.SIGKILL), ('stopped', signal.SIGINT)):
        process = subprocess.Popen([TOOL, *args, path(name)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        # How many reviews there are, and the first candidate.
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=300)
        assert process.returncode != 0, (name, errors)
        run_well('tune', '--resume', '--workers', '2', '--output', path(name))
        assert forget_time(read_log(name)) == forget_time(read_log('whole')), name
        for file in ('model.classifier',):
            with open(path(name, file), 'rb') as one, open(path('whole', file), 'rb') as other:
                assert one.read() == other.read(), (name, file)
    # The same words, and others.
    run_well(*args, path('whole'), '--resume')
    status, _, errors = run('tune', '--resume', '--output', path('whole'), '--seed', '7')
    assert status == 2 and '--seed=7' in errors, errors
    status, _, errors = run(*args, path('whole'))
    assert status == 1 and '--resume' in errors, errors


@tap.case('a search for weights goes on after it was killed')
def test_resume_weights():
    table = ['--table', TABLE, '--folds', '3', '--algorithm', 'pso-cs', '--evaluations', '1500',
             '--set', 'hidden-1=5', '--baseline']
    # A gradient for each candidate is a part of the state.
    words = ['--data', DATA, '--algorithm', 'pso-adam', '--evaluations', '2500', '--set',
             'hidden-1=0', '--set', 'max-features=60', '--set', 'ngrams=1']
    for kind, args, states in (('table', table, ('search-0.json', 'search-1.json')),
                               ('words', words, ('search.json',))):
        args = ['tune', '--model', 'ann', '--weights', *args, '--output']
        run_well(*args, path(kind + '-whole'))
        expected = read_result(kind + '-whole')
        for state, number in zip(states, (signal.SIGKILL, signal.SIGINT)):
            name = '%s-%d' % (kind, number)
            process = subprocess.Popen([TOOL, *args, path(name)], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            while get_size(name, state) < 20000 and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(number)
            _, errors = process.communicate(timeout=300)
            assert process.returncode != 0, (name, errors)
            assert not os.path.exists(path(name, 'result.json')), name
            status, _, errors = run(*args, path(name))
            assert status == 1 and '--resume' in errors, (name, errors)
            run_well('tune', '--resume', '--output', path(name))
            result = read_result(name)
            for one in (expected, result):
                for search in one['held-out-searches'] + one.get('baseline-searches', []):
                    search.pop('seconds', None)
            assert result == expected, name
            assert not any(os.path.exists(path(name, file)) for file in states), name
            assert 'finished' in run_well('tune', '--resume', '--output', path(name))
    with open(path('words-whole', 'model.classifier'), 'rb') as one, \
            open(path('words-9', 'model.classifier'), 'rb') as other:
        assert one.read() == other.read()


@tap.case('a transformer, with its stages')
def test_bert():
    tap.need_model()
    run_well('tune', '--model', 'bert', '--from', tap.MODEL, '--data', make_tsv('few.tsv', 40, 6),
             '--holdout', '0.3', '--space', 'learning-rate=log(1e-5,1e-3)', '--set', 'epochs=1',
             '--set', 'max-length=16', '--evaluations', '2', '--split', '0-0,1-', '--output',
             path('bert'))
    for name in ('model/config.json', 'model/model.safetensors', 'model-layers-0-0.safetensors',
                 'model-layers-1-1.safetensors'):
        assert os.path.exists(path('bert', name)), name


@tap.case('an ALBERT, with its stages')
def test_albert():
    write('vocab.txt', '\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + made_up.WORDS) + '\n')
    write('albert.json', json.dumps({
        'model_type': 'albert', 'num_hidden_layers': 2, 'num_hidden_groups': 1,
        'inner_group_num': 1, 'embedding_size': 8, 'hidden_size': 16, 'num_attention_heads': 2,
        'intermediate_size': 32, 'vocab_size': len(made_up.WORDS) + 5, 'max_position_embeddings': 40,
        'type_vocab_size': 2, 'hidden_act': 'gelu_new', 'layer_norm_eps': 1e-12,
        'hidden_dropout_prob': 0, 'attention_probs_dropout_prob': 0,
        'classifier_dropout_prob': 0.1}))
    data = make_tsv('albert.tsv', 120, 7)
    status, out, errors = run('train', '--init', 'random', '--config', path('albert.json'),
                              '--vocab', path('vocab.txt'), '--data', data, '--max-length', '24',
                              '--epochs', '1', '--output', path('albert'))
    assert status == 0, (out, errors)
    run_well('tune', '--model', 'bert', '--from', path('albert'), '--data', data, '--holdout',
             '0.2', '--space', 'learning-rate=log(1e-3,2e-2)', '--set', 'epochs=8', '--set',
             'batch-size=8', '--set', 'max-length=24', '--evaluations', '3', '--split', '0-0,1-',
             '--output', path('albert-tuned'))
    assert read_result('albert-tuned')['search']['best']['values'][0] < 0.2
    with open(path('albert-tuned', 'model', 'config.json'), encoding='utf-8') as file:
        assert json.load(file)['model_type'] == 'albert'
    for layers in ('0-0', '1-1'):
        assert os.path.exists(path('albert-tuned', 'model-layers-%s.safetensors' % layers))


@tap.case('documented commands')
def test_documented():
    with open(os.path.join(tap.ROOT, 'docs', 'tuning.md'), encoding='utf-8') as file:
        blocks = re.findall(r'^```sh\n(.*?)^```', file.read(), re.M | re.S)
    commands = [line for block in blocks for line in block.splitlines()
                if line.startswith('tandem tune')]
    assert len(commands) >= 6, commands
    os.mkdir(path('documented'))
    for command in commands:
        args = shlex.split(command)[1:]
        args = [{'aclImdb': DATA, 'iris.arff': TABLE}.get(arg, arg) for arg in args]
        # As they are, but not for as long.
        if '--evaluations' in args:
            args[args.index('--evaluations') + 1] = '3'
        elif '--resume' not in args:
            args += ['--evaluations', '3']
        process = subprocess.run([TOOL, *args], cwd=path('documented'), capture_output=True,
                                 timeout=300, check=False)
        assert process.returncode == 0, (command, process.stderr.decode())


@tap.case('candidates that fail, and data that is wrong')
def test_wrong():
    status, out, errors = run('tune', '--model', 'svm', '--table', TABLE, '--select-columns',
                              '--space', 'cost=log(0.1,10)', '--evaluations', '60', '--algorithm',
                              'random', '--folds', '2', '--output', path('failing'))
    # Of 16 choices of columns one has none: it fails, and the search goes on.
    assert status == 0 and 'left out' in errors, (out, errors)
    assert read_result('failing')['search']['failures'] > 0
    bad = write('bad.arff', '@attribute x real\n@attribute y {a,b}\n@data\n1,a\n2,c\n')
    for args, status, words in [
            ([], 2, '--model'), (['--model', 'tree'], 2, '--model'),
            (['--model', 'svm'], 2, '--data'),
            (['--model', 'svm', '--data', DATA, '--table', TABLE], 2, '--table'),
            (['--model', 'cnn', '--table', TABLE], 2, '--model'),
            (['--model', 'bert', '--data', DATA], 2, '--from'),
            (['--model', 'svm', '--data', DATA, '--objective', 'beauty'], 2, 'beauty'),
            (['--model', 'svm', '--data', DATA, '--objective', 'mse,bytes,accuracy'], 2, '3'),
            (['--model', 'svm', '--data', DATA, '--evaluations', '0'], 2, '--evaluations'),
            (['--model', 'svm', '--data', DATA, '--weights'], 2, '--weights'),
            (['--model', 'svm', '--data', DATA, '--set', 'cost'], 2, '--set=cost'),
            (['--model', 'svm', '--data', DATA, '--set', 'cost=-1'], 1, 'cost'),
            (['--model', 'svm', '--data', DATA, '--space', 'cost=log(1,'], 1, 'line 1'),
            (['--model', 'svm', '--data', DATA, '--space', 'colour={red,blue}'], 1, 'colour'),
            (['--model', 'svm', '--data', DATA, '--space', 'absent.space'], 1, 'no such file'),
            (['--model', 'svm', '--table', TABLE, '--space', 'kernel={rbf,rbff}'], 1, 'rbff'),
            (['--model', 'svm', '--table', TABLE, '--space', 'cost=log(1e-30,1)'], 1, 'e-30'),
            (['--model', 'svm', '--table', TABLE, '--test', TEST], 2, '--test'),
            (['--model', 'svm', '--data', DATA, '--test', path('absent')], 1, 'absent'),
            (['--model', 'svm', '--table', TABLE, '--space', 'column-9=integer(0,1)'], 1,
             'column-9'),
            (['--model', 'svm', '--table', write('semicolon.csv', 'x;y\n1;a\n2;b\n')], 1,
             'commas'),
            (['--model', 'svm', '--table', bad], 1, 'line 5'),
            (['--model', 'svm', '--table', TABLE, '--class', 'none'], 1, 'none'),
            (['--model', 'svm', '--data', path('absent.tsv')], 1, 'absent.tsv')]:
        result, out, errors = run('tune', *args, '--output', path('wrong'))
        assert result == status and words in errors, (args, result, out, errors)


try:
    tap.run()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
