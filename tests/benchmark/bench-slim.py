#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures what pruning and quantizing a model did to its bytes and its speed.

Each model is a process of one thread that stays alive; all take turns, and in
every round each runs whole passes over the same reviews for a short time. Each
model encodes them with its own vocabulary. Ratios are of one round, to the
first model; their medians are what counts, since the machine may change its
speed between rounds. A second is one of the processor's time.

real    reviews at their lengths, in batches of 32
256     reviews of exactly 256 tokens one by one

Resident memory is that of the process after it ran both: all of it, and what
is neither the program's nor a file's.
"""

import argparse
import json
import lzma
import os
import statistics
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORKLOADS = (("real", "", 32), ("256", ":256", 1))
LENGTH = 256


def find_data():
    data = os.environ.get("TANDEM_TEST_DATA",
                          os.path.join(os.path.dirname(SOURCE), "shared", "data"))
    path = os.path.join(data, "imdb", "test.tsv.xz")
    return path if os.path.exists(path) else None


def take_reviews(path, n, out):
    """Every so many-th review, as a file that each model reads."""
    opener = lzma.open if path.endswith(".xz") else open
    with opener(path, "rt", encoding="utf-8", newline="\n") as lines:
        rows = list(lines)
    step = max(1, len(rows) // n)
    with open(out, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(rows[::step][:n])


class Model:
    def __init__(self, program, path, reviews, precision):
        self.path = path
        self.name = os.path.basename(os.path.normpath(path))
        weights = os.path.join(path, "model.safetensors") if os.path.isdir(path) else path
        self.bytes = os.path.getsize(weights)
        self.rates = {name: [] for name, _, _ in WORKLOADS}
        words = [word for _, suffix, size in WORKLOADS for word in (reviews + suffix, str(size))]
        env = dict(os.environ, OMP_NUM_THREADS="1")
        self.process = subprocess.Popen([program, path, precision, "1", "logits", *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=env)

    def go(self, w, seconds):
        self.process.stdin.write(f"go {w} {seconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.path}: bench-stage exited with {self.process.wait()}")
        answer = json.loads(line)
        return answer["tokens"] / answer["cpu_seconds"]

    def memory(self):
        """Kibibytes: all that is resident, and what no file holds."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            found = dict(line.split(":", 1) for line in file if ":" in line)
        return int(found["VmRSS"].split()[0]), int(found["RssAnon"].split()[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def summarize(model, first):
    ratios = {name: [own / other for own, other in zip(model.rates[name], first.rates[name])]
              for name in model.rates}
    resident, anonymous = model.memory()
    return {
        "model": model.path,
        "name": model.name,
        "bytes": model.bytes,
        "bytes_ratio": model.bytes / first.bytes,
        "milliseconds": 1000 * LENGTH / statistics.median(model.rates["256"]),
        "tokens_per_second": statistics.median(model.rates["real"]),
        # Above 1: faster than the first model.
        "speed_256": statistics.median(ratios["256"]),
        "speed_256_range": [min(ratios["256"]), max(ratios["256"])],
        "speed_real": statistics.median(ratios["real"]),
        "speed_real_range": [min(ratios["real"]), max(ratios["real"])],
        "resident_kib": resident,
        "anonymous_kib": anonymous,
        "rates": model.rates,
    }


def show(results):
    width = max(len(r["name"]) for r in results)
    print(f"{'':{width}} {'bytes':>10} {'ratio':>6} {'ms of 256':>10} {'speed':>18} "
          f"{'tokens/s':>10} {'speed':>18} {'resident':>9} {'own KiB':>9}")
    for r in results:
        one = f"{r['speed_256']:.2f} [{r['speed_256_range'][0]:.2f}..{r['speed_256_range'][1]:.2f}]"
        many = f"{r['speed_real']:.2f} [{r['speed_real_range'][0]:.2f}..{r['speed_real_range'][1]:.2f}]"
        print(f"{r['name']:{width}} {r['bytes']:10,} {r['bytes_ratio']:6.3f} {r['milliseconds']:10.3f} "
              f"{one:>18} {r['tokens_per_second']:10,.0f} {many:>18} {r['resident_kib']:9,} "
              f"{r['anonymous_kib']:9,}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench_stage", help="the program bench-stage")
    parser.add_argument("models", nargs="*", help="model folders, the first what others are "
                        "compared with (default: the default model)")
    parser.add_argument("--data", default=find_data(), help="reviews as TSV, which may be .xz")
    parser.add_argument("--reviews", type=int, default=128, help="how many (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3,
                        help="one turn of one model (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=7,
                        help="turns of each model (default %(default)s)")
    parser.add_argument("--precision", default="f32", help="f32 or bf16 (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the table and every round to FILE")
    args = parser.parse_args()

    if not args.data:
        print("skipped: no data (TANDEM_TEST_DATA, or --data)")
        return 77
    paths = args.models or [os.path.join(SOURCE, "pipelines", "models", "tinybert-imdb")]
    models = []
    with tempfile.TemporaryDirectory() as folder:
        reviews = os.path.join(folder, "reviews.tsv")
        take_reviews(args.data, args.reviews, reviews)
        try:
            for path in paths:
                models.append(Model(args.bench_stage, path, reviews, args.precision))
            for round_number in range(args.rounds + 1):
                for w, (name, _, _) in enumerate(WORKLOADS):
                    for model in models:
                        rate = model.go(w, args.seconds)
                        # The first round touches memory that later ones find there.
                        if round_number > 0:
                            model.rates[name].append(rate)
            results = [summarize(model, models[0]) for model in models]
        finally:
            for model in models:
                model.close()
    show(results)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"rounds": args.rounds, "seconds": args.seconds,
                       "precision": args.precision, "models": results}, file, indent=1)
    return 0


sys.exit(main())
