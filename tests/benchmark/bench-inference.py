# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the speed of inference with other implementations, in one run.

Rivals and Tandem are processes of one thread each that stay alive and take
turns: in every round each runs whole passes over the same reviews for a short
time. Ratios are of one round, and their medians are what counts: the machine
may change its speed between rounds, hardly within one.

real    IMDB test reviews at their lengths, at most 512 tokens, in batches of 32
        cut from all test reviews sorted by length: nobody pads less
256     reviews of exactly 256 tokens one by one: nothing is padded

Only real tokens count. A second is one of the processor's time, so that what else
runs on the machine does not count; where nothing does, it is a second on the
wall, and --wall takes those. Each arrangement is one process alone on a core, or two
at once on two cores, whose tokens a second add up. What the processor's
arithmetic would allow is measured too, with products of registers.
"""

import argparse
import json
import lzma
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))

sys.path.insert(0, os.path.join(os.path.dirname(HERE), "python"))

try:
    import numpy as np
    import onnx
    import onnxruntime
    import tokenizers
    import torch
    import transformers
    from plain_model import write_plain
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

RIVALS = [
    # name, backend, graphs or implementations of attention, precision, worst difference
    ("PyTorch f32", "torch", "sdpa,eager", "f32", 1e-3),
    ("PyTorch bf16", "torch", "sdpa,eager", "bf16", None),
    ("ORT exported", "onnx", "exported", "f32", 1e-3),
    ("ORT optimizer", "onnx", "optimized", "f32", 1e-3),
    ("ORT by hand", "onnx", "hand", "f32", 1e-3),
    ("ORT by hand int8", "onnx", "int8", "int8", None),
]
BATCH = 32


def find_data():
    data = os.environ.get("TANDEM_TEST_DATA", os.path.join(os.path.dirname(SOURCE), "shared", "data"))
    path = os.path.join(data, "imdb", "test.tsv.xz")
    return path if os.path.exists(path) else None


def find_models():
    for path in (os.environ.get("TANDEM_TEST_MODEL"),
                 os.path.join(SOURCE, "pipelines", "models", "tinybert-imdb")):
        if path and os.path.exists(os.path.join(path, "config.json")):
            return [path]
    return []


def tokenize(path, model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        texts = [line.rstrip("\n").split("\t")[4] for line in lines]
    # Through the Rust tokenizer itself: the wrapper's lists cost most of the time.
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(512)
    backend.no_padding()
    return [e.ids for e in backend.encode_batch_fast(texts)]


def write_workload(path, sequences):
    data = np.array([len(sequences)] + [len(s) for s in sequences], "<u4").tobytes()
    data += np.concatenate([np.array(s, "<i4") for s in sequences]).tobytes()
    with open(path, "wb") as file:
        file.write(data)


def make_workloads(sequences, config, folder):
    """As many reviews as a slow rival runs in about a second."""
    cost = flops(config, 256)["all"]
    n_batches = int(min(16, max(2, 8e6 / cost)))
    ordered = sorted(sequences, key=len)
    cuts = [ordered[i:i + BATCH] for i in range(0, len(ordered) - BATCH + 1, BATCH)]
    middle = [int((i + 0.5) * len(cuts) / n_batches) for i in range(n_batches)]
    real = [s for i in middle for s in cuts[i]]
    even = [s[:255] + s[-1:] for s in sequences if len(s) > 256][:max(8, n_batches * 8)]
    workloads = []
    for name, chosen, size in (("real", real, BATCH), ("256", even, 1)):
        path = os.path.join(folder, f"workload-{name}")
        write_workload(path, chosen)
        workloads.append({"name": name, "path": path, "size": size,
                          "lengths": [len(s) for s in chosen]})
    return workloads


def flops(config, length, classifies=None):
    """Multiplications and additions a token, of a sequence of that length.

    plain    linear layers and attention, but of a classifier's last layer only key and value
    tandem   the same without those two, which Tandem moves out of the sums over rows
    all      every layer in full
    """
    hidden, wide, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    heads = config.num_attention_heads
    full = 2 * (4 * hidden ** 2 + 2 * hidden * wide) + 4 * length * hidden
    counts = {"all": layers * full, "plain": layers * full, "tandem": layers * full}
    if classifies:
        tail = 2 * (2 * hidden ** 2 + 2 * hidden * wide + hidden ** 2) / length
        before = (layers - 1) * full + tail
        counts["plain"] = before + 4 * hidden ** 2 + 4 * hidden
        counts["tandem"] = before + 4 * heads * hidden + 4 * hidden ** 2 / length
    return counts


def mean_flops(config, lengths, classifies):
    total = sum(lengths)
    counts = [(n, flops(config, n, classifies)) for n in lengths]
    return {key: sum(n * c[key] for n, c in counts) / total for key in counts[0][1]}


class Process:
    def __init__(self, command, core):
        env = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
        self.command = command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}))

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command}: exited with {self.process.wait()}")
        return json.loads(line)

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Contender:
    """The processes of one implementation, one a core."""

    def __init__(self, name, command, cores, clock, unit="tokens"):
        self.name = name
        self.clock = clock
        self.unit = unit
        self.variants = {}
        self.shares = []        # of a core, that each turn had
        self.processes = [Process(command, core) for core in cores]

    def tune(self, w, workload, seconds):
        rates = self.processes[0].ask("tune", w, seconds)
        best = max(rates, key=rates.get)
        self.variants[workload["name"]] = os.path.basename(best)
        for process in self.processes:
            process.ask("use", w, best)

    def rate(self, w, seconds, n):
        for process in self.processes[:n]:
            process.tell("go", w, seconds)
        answers = [process.answer() for process in self.processes[:n]]
        self.shares += [a["cpu_seconds"] / a["seconds"] for a in answers]
        return sum(a[self.unit] / a[self.clock] for a in answers)


def results_of(contender, w, folder):
    path = os.path.join(folder, "results")
    contender.processes[0].ask("check", w, 4, path)
    return np.fromfile(path, "<f4")


def verify(contenders, limits, workloads, folder):
    """Each rival computes the same as Tandem; else its speed says nothing, and it is
    left out. Returns those that stay, and whether all of full precision do."""
    failed, left_out = False, set()
    for w, workload in enumerate(workloads):
        expected = results_of(contenders[0], w, folder)
        for contender in contenders[1:]:
            if contender.name not in limits:
                continue
            got = results_of(contender, w, folder)
            if got.shape != expected.shape:
                raise RuntimeError(f"{contender.name} gives {got.size} numbers, Tandem {expected.size}")
            worst = float(np.abs(got - expected).max())
            relative = float(np.sqrt(np.mean((got - expected) ** 2) / np.mean(expected ** 2)))
            limit = limits[contender.name]
            # Coarser numbers may be far off in a few places.
            ok = worst <= limit if limit else relative <= 0.3
            failed |= limit is not None and not ok
            if not ok:
                left_out.add(contender.name)
            print(f"# {workload['name']}: {contender.name} differs from Tandem by {worst:.1e} at "
                  f"most, {100 * relative:.2g} % in the mean{'' if ok else ': too much, left out'}")
    return [c for c in contenders if c.name not in left_out], not failed


def load_of_others():
    with open("/proc/loadavg") as file:
        return file.read().split()[0]


def spread(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"


def start_contenders(args, model, kind, workloads, cores, folder):
    clock = "seconds" if args.wall else "cpu_seconds"
    files = [str(x) for w in workloads for x in (w["path"], w["size"])]
    made = subprocess.run([sys.executable, os.path.join(HERE, "bench-inference-graphs.py"), model, kind,
                           folder], stdout=subprocess.PIPE, check=True, text=True)
    graphs = json.loads(made.stdout)
    contenders = [Contender("Tandem f32", [args.bench_stage, model, "f32", "1", kind, *files], cores, clock)]
    if args.tool:
        quantized = os.path.join(folder, "int8")
        subprocess.run([args.tool, "quantize", model, "--output", quantized],
                       stdout=subprocess.DEVNULL, check=True)
        contenders.append(Contender("Tandem int8", [args.bench_stage, quantized, "f32", "1", kind, *files],
                                    cores, clock))
    with open("/proc/cpuinfo") as file:
        flags = file.read().split()
    if "avx512_bf16" in flags or "amx_bf16" in flags:
        contenders.append(Contender("Tandem bf16", [args.bench_stage, model, "bf16", "1", kind, *files],
                                    cores, clock))
    for name, backend, variants, precision, limit in RIVALS:
        if args.rivals not in name:
            continue
        names = ",".join(graphs[variants]) if backend == "onnx" else variants
        script = os.path.join(HERE, "bench-inference-rival.py")
        contenders.append(Contender(name, [sys.executable, script, backend, model, precision, kind,
                                           names, *files], cores, clock))
    peaks = [Contender("peak f32", [args.peak, "f32"], cores, clock, "operations")]
    if "avx512_bf16" in flags:
        peaks.append(Contender("peak bf16", [args.peak, "bf16"], cores, clock, "operations"))
    return contenders, peaks


def measure(args, contenders, peaks, w, n):
    rates = {c.name: [] for c in contenders + peaks}
    for _ in range(args.rounds):
        for contender in contenders:
            rates[contender.name].append(contender.rate(w, args.seconds, n))
        for peak in peaks:
            rates[peak.name].append(peak.rate(w, args.seconds / 4, n))
    return rates


def show(title, rates, contenders, peaks, counts):
    tandem = rates["Tandem f32"]
    print(f"\n{title}")
    print(f"  {'':18} {'tokens/s':>10}   {'Tandem f32 is so many times as fast':36} of the f32 limit")
    limit = [p / counts["plain"] for p in rates["peak f32"]]
    for contender in contenders:
        own = rates[contender.name]
        share = spread([100 * r / l for r, l in zip(own, limit)])
        print(f"  {contender.name:18} {statistics.median(own):10,.0f}   "
              f"{spread([t / r for t, r in zip(tandem, own)]):36} {share} %")
    if "Tandem int8" in rates:
        for contender in contenders:
            if contender.name != "Tandem int8":
                ratio = [t / r for t, r in zip(rates["Tandem int8"], rates[contender.name])]
                print(f"  Tandem int8 is {spread(ratio)} times as fast as {contender.name}")
    print(f"  {'f32 limit':18} {statistics.median(limit):10,.0f}   at {counts['plain']:,.0f} FLOP a token")
    own = [100 * t * counts["tandem"] / p for t, p in zip(tandem, rates["peak f32"])]
    print(f"  Tandem's own {counts['tandem']:,.0f} FLOP a token run at {spread(own)} % of the peak")
    for peak in peaks:
        print(f"  {peak.name:18} {spread([r / 1e9 for r in rates[peak.name]])} GFLOP/s")
    shares = [s for c in contenders + peaks for s in c.shares]
    print(f"  share of its core that a process had: {spread(shares)}")
    for contender in contenders + peaks:
        contender.shares.clear()


def bench_model(args, model, reviews, cores):
    config = transformers.AutoConfig.from_pretrained(model)
    classifies = "BertForSequenceClassification" in (config.architectures or [])
    kind = "logits" if classifies else "hidden"
    name = os.path.basename(os.path.normpath(model))
    record = {"model": name, "kind": kind, "tables": []}
    contenders, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        try:
            workloads = make_workloads(reviews, config, folder)
            contenders, peaks = start_contenders(args, model, kind, workloads, cores, folder)
            for w, workload in enumerate(workloads):
                for contender in contenders:
                    if not contender.name.startswith("Tandem"):
                        contender.tune(w, workload, args.seconds / 10)
            print(f"\n{name}: {config.num_hidden_layers} layers, {config.hidden_size} wide, "
                  f"{'logits' if classifies else 'all rows of the last layer'}")
            record["variants"] = {c.name: c.variants for c in contenders if c.variants}
            for rival, variants in record["variants"].items():
                print(f"# {rival}, fastest variant: {variants}")
            limits = {rival: limit for rival, _, _, _, limit in RIVALS}
            timed, good = verify(contenders, limits | {"Tandem bf16": None, "Tandem int8": None}, workloads, folder)
            for w, workload in enumerate(workloads):
                counts = mean_flops(config, workload["lengths"], classifies)
                for n in range(1, len(cores) + 1):
                    rates = measure(args, timed, peaks, w, n)
                    title = (f"{name}, {workload['name']} ({len(workload['lengths'])} reviews, "
                             f"{sum(workload['lengths']):,} tokens, batches of {workload['size']}), "
                             f"{'one process' if n == 1 else 'two processes at once'}")
                    show(title, rates, timed, peaks, counts)
                    record["tables"].append({"workload": workload["name"], "processes": n,
                                             "flops": counts, "rates": rates})
                    sys.stdout.flush()
        finally:
            for contender in contenders + peaks:
                for process in contender.processes:
                    process.close()
    return record, good


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench_stage", help="the program bench-stage")
    parser.add_argument("peak", help="the program bench-inference-peak")
    parser.add_argument("models", nargs="*", help="model folders (default: TANDEM_TEST_MODEL, or the default model)")
    parser.add_argument("--seconds", type=float, default=0.6, help="one turn of one contender (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (default %(default)s)")
    parser.add_argument("--tool", help="the program tandem, to quantize models with: adds Tandem int8")
    parser.add_argument("--rivals", default="", metavar="TEXT", help="only those with TEXT in their name")
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
    cores = sorted(os.sched_getaffinity(0))[:2]
    print(f"PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, "
          f"load average before: {load_of_others()}")
    record = {"seconds": args.seconds, "rounds": args.rounds, "torch": torch.__version__,
              "onnxruntime": onnxruntime.__version__, "load": load_of_others(), "models": []}
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            # Rivals read no quantized models; Tandem makes one again.
            model = write_plain(model, folder)
            result, good = bench_model(args, model, tokenize(data, model), cores)
            record["models"].append(result)
            ok &= good
    if args.json:
        with open(args.json, "w") as file:
            json.dump(record, file, indent=1)
    return 0 if ok else 1


sys.exit(main())
