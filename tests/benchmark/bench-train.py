# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the speed of training with PyTorch, in one run.

Rival and Tandem are processes of one thread each that stay alive and take turns: in
every round each trains whole passes over the same batches for a short time. Ratios
are of one round, and their medians are what counts: the machine may change its
speed between rounds, hardly within one.

real-256, real-512   IMDB train reviews in random order at their lengths, at most so
                     many tokens; the rival pads each batch to its longest review
128, 256, 512        reviews of exactly so many tokens: nothing is padded

A step is forward pass, backward pass and AdamW on a batch, with the dropout of the
model's configuration and without. A second is one of the processor's time, so that
what else runs on the machine does not count; where nothing does, it is a second on
the wall, and --wall takes those. PyTorch is timed in the fastest of its variants, see
bench-train-rival.py.
"""

import argparse
import json
import lzma
import os
import random
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))

sys.path.insert(0, os.path.join(os.path.dirname(HERE), "python"))

try:
    import numpy as np
    import tokenizers
    import torch
    import transformers
    from plain_model import write_plain
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

BATCH = 32
RATE, DECAY = 1e-5, 0.01
WORKLOADS = [("real-256", 256, False), ("real-512", 512, False),
             ("128", 128, True), ("256", 256, True), ("512", 512, True)]
# Of losses: before any update, and behind some, where AdamW of the rival has gone on with
# words that did not occur again.
WORST_FIRST, WORST_LATER, CHECKED_STEPS = 1e-4, 2e-3, 3


def find_data():
    data = os.environ.get("TANDEM_TEST_DATA", os.path.join(os.path.dirname(SOURCE), "shared", "data"))
    path = os.path.join(data, "imdb", "train.tsv.xz")
    return path if os.path.exists(path) else None


def find_models():
    for path in (os.environ.get("TANDEM_TEST_MODEL"),
                 os.path.join(SOURCE, "pipelines", "models", "tinybert-imdb")):
        if path and os.path.exists(os.path.join(path, "config.json")):
            return [path]
    return []


def read_reviews(path):
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    random.Random(1).shuffle(rows)
    return [(row[4], int(row[0] == "pos")) for row in rows]


def write_workload(path, chosen):
    data = np.array([len(chosen)] + [len(ids) for ids, _ in chosen] + [label for _, label in chosen],
                    "<u4").tobytes()
    data += np.concatenate([np.array(ids, "<i4") for ids, _ in chosen]).tobytes()
    with open(path, "wb") as file:
        file.write(data)


def make_workloads(reviews, model, names, n_batches, folder):
    backend = transformers.AutoTokenizer.from_pretrained(model).backend_tokenizer
    backend.enable_truncation(512)
    backend.no_padding()
    n = n_batches * BATCH
    # One review in ten has 512 tokens at least.
    some = reviews[:20 * n]
    encoded = backend.encode_batch_fast([text for text, _ in some])
    tokens = [(e.ids, label) for e, (_, label) in zip(encoded, some)]
    workloads = []
    for name, most, exact in WORKLOADS:
        if names and name not in names:
            continue
        chosen = [(ids[:most - 1] + ids[-1:] if len(ids) > most else ids, label)
                  for ids, label in tokens if not exact or len(ids) >= most][:n]
        path = os.path.join(folder, f"workload-{name}")
        write_workload(path, chosen)
        workloads.append({"name": name, "path": path, "lengths": [len(ids) for ids, _ in chosen]})
    return workloads


# PyTorch frees and asks for tens of megabytes in every step. With these, the C library keeps
# them, and the rival is up to a tenth faster.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
               "MALLOC_TOP_PAD_": str(1 << 28)}


class Contender:
    """The process of one implementation."""

    def __init__(self, name, command, core, clock):
        self.name = name
        self.clock = clock
        self.variants = {}
        self.shares = []        # of a core, that each turn had
        env = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
        if command[0] == sys.executable:
            env.update(KEEP_MEMORY)
        self.command = command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}))

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command}: exited with {self.process.wait()}")
        return json.loads(line)

    def tune(self, w, workload, drops, seconds):
        rates = self.ask("tune", w, drops, seconds)
        best = max(rates, key=rates.get)
        self.variants[f"{workload['name']}{' dropout' if drops else ''}"] = best
        self.ask("use", w, drops, best)

    def rate(self, w, drops, seconds):
        answer = self.ask("go", w, drops, seconds)
        self.shares.append(answer["cpu_seconds"] / answer["seconds"])
        return answer["samples"] / answer[self.clock]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def verify(contenders, workloads):
    """Whether all of full precision compute the same losses; else their speed says nothing."""
    good = True
    for w, workload in enumerate(workloads):
        n = CHECKED_STEPS if w == 0 else 1
        expected = np.array(contenders[0].ask("loss", w, n)["losses"])
        for contender in contenders[1:]:
            got = np.array(contender.ask("loss", w, n)["losses"])
            off = np.abs(got - expected) / np.abs(expected)
            exact = "f32" in contender.name
            ok = not exact or (off[0] <= WORST_FIRST and off.max() <= WORST_LATER)
            good &= ok
            print(f"# {workload['name']}: loss {expected[0]:.6f}, {contender.name} is off by "
                  f"{', '.join(f'{x:.1e}' for x in off)}{'' if ok else ': too much'}")
    return good


def load_of_others():
    with open("/proc/loadavg") as file:
        return file.read().split()[0]


def spread(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"


def show(title, rates, contenders):
    tandem = rates["Tandem f32"]
    print(f"\n{title}")
    print(f"  {'':14} {'samples/s':>10}   Tandem f32 is so many times as fast")
    for contender in contenders:
        own = rates[contender.name]
        print(f"  {contender.name:14} {statistics.median(own):10,.1f}   "
              f"{spread([t / r for t, r in zip(tandem, own)])}")
    shares = [s for c in contenders for s in c.shares]
    print(f"  share of its core that a process had: {spread(shares)}")
    for contender in contenders:
        contender.shares.clear()


def start_contenders(args, model, workloads, core):
    clock = "seconds" if args.wall else "cpu_seconds"
    rest = [str(RATE), str(DECAY), str(BATCH)] + [w["path"] for w in workloads]
    contenders = [Contender("Tandem f32", [args.bench_train_stage, model, *rest], core, clock)]
    for precision in ("f32", "bf16"):
        contenders.append(Contender(f"PyTorch {precision}", [
            sys.executable, os.path.join(HERE, "bench-train-rival.py"), model, precision, *rest], core,
            clock))
    return contenders


def bench_model(args, model, reviews, core):
    name = os.path.basename(os.path.normpath(model))
    config = transformers.AutoConfig.from_pretrained(model)
    record = {"model": name, "tables": []}
    contenders = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            workloads = make_workloads(reviews, model, args.workload, args.batches, folder)
            contenders = start_contenders(args, model, workloads, core)
            print(f"\n{name}: {config.num_hidden_layers} layers, {config.hidden_size} wide, dropout "
                  f"{config.hidden_dropout_prob}, of attention {config.attention_probs_dropout_prob}",
                  flush=True)
            for w, workload in enumerate(workloads):
                for contender in contenders[1:]:
                    for drops in (0, 1):
                        contender.tune(w, workload, drops, args.seconds / 5)
            record["variants"] = {c.name: c.variants for c in contenders[1:]}
            for rival, variants in record["variants"].items():
                print(f"# {rival}, fastest variant: {variants}")
            good = verify(contenders, workloads)
            for w, workload in enumerate(workloads):
                for drops in (0, 1):
                    rates = {c.name: [] for c in contenders}
                    for _ in range(args.rounds):
                        for contender in contenders:
                            rates[contender.name].append(contender.rate(w, drops, args.seconds))
                    lengths = workload["lengths"]
                    show(f"{name}, {workload['name']} ({len(lengths)} reviews of "
                         f"{statistics.mean(lengths):.0f} tokens, batches of {BATCH}), "
                         f"{'dropout' if drops else 'no dropout'}", rates, contenders)
                    record["tables"].append({"workload": workload["name"], "dropout": bool(drops),
                                             "tokens": sum(lengths), "reviews": len(lengths),
                                             "rates": rates})
                    sys.stdout.flush()
        finally:
            for contender in contenders:
                contender.close()
    return record, good


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench_train_stage", help="the program bench-train-stage")
    parser.add_argument("models", nargs="*", help="model folders (default: TANDEM_TEST_MODEL, or the default model)")
    parser.add_argument("--seconds", type=float, default=0.5,
                        help="one turn of one contender at the least (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (default %(default)s)")
    parser.add_argument("--batches", type=int, default=3, help="batches of a pass (default %(default)s)")
    parser.add_argument("--workload", action="append", choices=[w[0] for w in WORKLOADS],
                        help="only this one; may be given more than once")
    parser.add_argument("--wall", action="store_true", help="count seconds on the wall")
    parser.add_argument("--json", metavar="FILE", help="write every round's figures to FILE")
    args = parser.parse_args()

    models = args.models or find_models()
    data = find_data()
    if not models or not data:
        print("skipped: no model (TANDEM_TEST_MODEL) or no data (TANDEM_TEST_DATA)")
        return 77
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    core = max(os.sched_getaffinity(0))
    print(f"PyTorch {torch.__version__}, load average before: {load_of_others()}")
    record = {"seconds": args.seconds, "rounds": args.rounds, "torch": torch.__version__,
              "load": load_of_others(), "models": []}
    reviews = read_reviews(data)
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            # PyTorch reads no quantized models.
            result, good = bench_model(args, write_plain(model, folder), reviews, core)
            record["models"].append(result)
            ok &= good
    if args.json:
        with open(args.json, "w") as file:
            json.dump(record, file, indent=1)
    return 0 if ok else 1


sys.exit(main())
