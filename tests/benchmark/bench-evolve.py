#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The optimizers beside those of pagmo2 and NiaPy: medians and quartiles on usual functions.

All get the same number of evaluations, the same population and otherwise their defaults; the optimum of
each seed is somewhere in the middle half of each range, the same for all. Errors below 1e-8 count as 0,
as in the CEC's competitions. Needs pygmo and NiaPy for rivals (--rivals FILE keeps what they gave)."""

import argparse
import json
import math
import os
import subprocess
import sys

FUNCTIONS = {'sphere': 100.0, 'rosenbrock': 30.0, 'rastrigin': 5.12, 'ackley': 32.0, 'griewank': 600.0}
# Each rival, and whom it is compared with.
RIVALS = {'pagmo2 PSO': 'pso', 'pagmo2 SGA': 'ga', 'NiaPy bat': 'bat', 'NiaPy cuckoo': 'cuckoo'}
MASK = (1 << 64) - 1
PRECISION = 1e-8


def mix(z):
    z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
    z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
    return z ^ (z >> 31)


def make_shift(seed, bound, n):
    return [0.5 * bound * (2.0 * ((mix((seed * 1000003 + (i + 1) * 0x9e3779b97f4a7c15) & MASK) >> 11) *
                                  2.0 ** -53) - 1.0) for i in range(n)]


def make_function(name, n, seed):
    """As in bench-evolve.c."""
    import numpy
    shift = numpy.array(make_shift(seed, FUNCTIONS[name], n))
    roots = numpy.sqrt(numpy.arange(1, n + 1))

    def function(x):
        z = x - shift
        if name == 'sphere':
            return float(z @ z)
        if name == 'rosenbrock':
            z = z + 1.0
            a, b = z[:-1], z[1:] - z[:-1] * z[:-1]
            return float(100.0 * (b @ b) + ((1.0 - a) @ (1.0 - a)))
        if name == 'rastrigin':
            return float(10.0 * n + z @ z - 10.0 * numpy.cos(2.0 * math.pi * z).sum())
        if name == 'ackley':
            return float(20.0 + math.e - 20.0 * math.exp(-0.2 * math.sqrt(z @ z / n)) -
                         math.exp(numpy.cos(2.0 * math.pi * z).sum() / n))
        return float(1.0 + z @ z / 4000.0 - numpy.cos(z / roots).prod())
    return function


def run_pygmo(rival, function, n, bound, options, seed):
    import pygmo

    class Problem:
        def fitness(self, x):
            return [function(x)]

        def get_bounds(self):
            return [-bound] * n, [bound] * n

    generations = options.budget // options.population - 1
    kind = pygmo.pso if rival.endswith('PSO') else pygmo.sga
    population = pygmo.population(pygmo.problem(Problem()), size=options.population, seed=seed)
    return pygmo.algorithm(kind(gen=generations, seed=seed)).evolve(population).champion_f[0]


def run_niapy(rival, function, n, bound, options, seed):
    from niapy.algorithms.basic import BatAlgorithm, CuckooSearch
    from niapy.problems import Problem
    from niapy.task import Task

    class Shifted(Problem):
        def _evaluate(self, x):
            return function(x)

    kind = BatAlgorithm if rival.endswith('bat') else CuckooSearch
    task = Task(Shifted(dimension=n, lower=-bound, upper=bound), max_evals=options.budget)
    return float(kind(population_size=options.population, seed=seed).run(task)[1])


def get_seeds(rival, n, options):
    """How many: NiaPy takes long in many dimensions."""
    return options.slow_seeds if rival.startswith('NiaPy') and n > 10 else options.seeds


def get_key(rival, name, n, options):
    return '%s %s %d %d %d %d' % (rival, name, n, options.budget, options.population,
                                  get_seeds(rival, n, options))


def run_rival(rival, name, n, options):
    run = run_pygmo if rival.startswith('pagmo2') else run_niapy
    return [run(rival, make_function(name, n, seed), n, FUNCTIONS[name], options, seed)
            for seed in range(1, get_seeds(rival, n, options) + 1)]


def run_ours(algorithm, name, n, seeds, options):
    result = subprocess.run([options.program, algorithm, name, str(n), str(options.budget),
                             str(options.population), '1', str(seeds)],
                            stdout=subprocess.PIPE, check=True)
    return [float(line) for line in result.stdout.split()]


def get_quartiles(values):
    values = sorted(value if value >= PRECISION else 0.0 for value in values)
    last = len(values) - 1

    def at(part):
        low = int(part * last)
        return values[low] + (part * last - low) * (values[min(low + 1, last)] - values[low])
    return [at(part) for part in (0.25, 0.5, 0.75)]


def show(quartiles):
    return '%.3g (%.3g to %.3g)' % (quartiles[1], quartiles[0], quartiles[2])


def measure_rivals(options):
    known = {}
    if options.rivals and os.path.exists(options.rivals):
        with open(options.rivals, encoding='utf-8') as file:
            known = json.load(file)
    for n in (10, 30):
        for rival in RIVALS:
            for name in FUNCTIONS:
                key = get_key(rival, name, n, options)
                if key not in known:
                    print('running', key, file=sys.stderr, flush=True)
                    known[key] = run_rival(rival, name, n, options)
                if options.rivals:
                    with open(options.rivals, 'w', encoding='utf-8') as file:
                        json.dump(known, file)
    return known


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('program', help='the program bench-evolve')
    parser.add_argument('--seeds', type=int, default=50)
    parser.add_argument('--slow-seeds', type=int, default=15,
                        help='seeds of NiaPy in 30 dimensions, and of what is compared with it')
    parser.add_argument('--budget', type=int, default=20000)
    parser.add_argument('--population', type=int, default=30)
    parser.add_argument('--rivals', help='a file with what rivals gave; it is made')
    parser.add_argument('--all', action='store_true', help='also the algorithms without a rival')
    options = parser.parse_args()
    known = measure_rivals(options)
    worse = []
    print('| function | ours | median (quartiles) | rival | median (quartiles) |\n|---|---|---|---|---|')
    for rival, algorithm in RIVALS.items():
        for n in (10, 30):
            for name in FUNCTIONS:
                key = get_key(rival, name, n, options)
                ours = get_quartiles(run_ours(algorithm, name, n,
                                              get_seeds(rival, n, options), options))
                theirs = get_quartiles(known[key])
                print('| %s, %d | %s | %s | %s | %s |' % (name, n, algorithm, show(ours), rival,
                                                         show(theirs)), flush=True)
                if ours[1] > theirs[1]:
                    worse.append('%s on %s in %d' % (algorithm, name, n))
    if options.all:
        print('\n| function | %s |\n|---|%s' % (' | '.join(OTHERS), '---|' * len(OTHERS)))
        for n in (10, 30):
            for name in FUNCTIONS:
                row = [show(get_quartiles(run_ours(algorithm, name, n, options.seeds, options)))
                       for algorithm in OTHERS]
                print('| %s, %d | %s |' % (name, n, ' | '.join(row)), flush=True)
    print('\nworse than its rival: %s' % (', '.join(worse) or 'none'))


OTHERS = ['random', 'dwpso', 'pso-cs', 'pso-ga', 'pso-adam']

if __name__ == '__main__':
    main()
