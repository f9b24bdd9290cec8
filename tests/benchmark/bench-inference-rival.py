# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a model with another implementation for as long as it is told, on one thread.

bench-inference-rival.py onnx|torch MODEL f32|bf16 hidden|logits VARIANTS FILE SIZE [FILE SIZE ...]

Speaks what bench-stage speaks. Its VARIANTS are the ways of running the model
among which the best is to be found, a comma between them: ONNX files, or
implementations of attention in transformers. Two more commands serve that:

    tune W SECONDS   tokens a second of each variant that can run workload W
    use W VARIANT    run workload W with it from now on
"""

import json
import os
import sys
import time
import warnings

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.simplefilter("ignore")

import numpy as np


class Workload:
    """Batches of sequences, filled up with zeros to the longest of each."""

    def __init__(self, path, size):
        words = np.fromfile(path, "<i4")
        n = int(words[0])
        lengths = words[1:1 + n]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        ids = words[1 + n:]
        self.batches = []
        self.padded = False
        for first in range(0, n, size):
            rows = range(first, min(first + size, n))
            longest = int(lengths[first:first + size].max())
            batch = np.zeros((len(rows), longest), np.int64)
            for row, i in enumerate(rows):
                batch[row, :lengths[i]] = ids[starts[i]:starts[i + 1]]
            counts = lengths[first:first + size].astype(np.int32)
            self.padded |= bool((counts != longest).any())
            self.batches.append((batch, counts))


def mask_of(batch, counts):
    return (np.arange(batch.shape[1])[None] < counts[:, None]).astype(np.int64)


class OnnxVariant:
    def __init__(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # What was fused by hand stays as it is; the name of the file says so.
        if ".fixed." in os.path.basename(path):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self.session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self.inputs = [i.name for i in self.session.get_inputs()]

    def prepare(self, workload):
        """The inputs of every batch, in the types that the graph asks for."""
        makers = {
            "input_ids": lambda b, c: b,
            "attention_mask": mask_of,
            "token_type_ids": lambda b, c: np.zeros_like(b),
            "ids32": lambda b, c: b.astype(np.int32),
            "lengths": lambda b, c: c,
            "mask32": lambda b, c: mask_of(b, c).astype(np.int32),
        }
        return [{name: makers[name](b, c) for name in self.inputs} for b, c in workload.batches]

    def run(self, batch):
        return self.session.run(None, batch)[0]


class TorchVariant:
    def __init__(self, model_path, precision, kind, attention):
        import torch
        import transformers
        from transformers import BertForSequenceClassification, BertModel

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        self.torch = torch
        self.kind = kind
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        cls = BertForSequenceClassification if kind == "logits" else BertModel
        self.model = cls.from_pretrained(model_path, dtype=torch.float32,
                                         attn_implementation=attention).to(self.dtype).eval()
        self.traced = {}

    def trace(self, masked):
        if masked not in self.traced:
            torch, model = self.torch, self.model

            class Wrapper(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.model = model

                def forward(self, ids, mask=None):
                    out = self.model(input_ids=ids, attention_mask=mask)
                    return out.logits if "logits" in out else out.last_hidden_state

            ids = torch.randint(5, 100, (2, 40))
            mask = torch.ones_like(ids)
            mask[1, 30:] = 0
            example = (ids, mask) if masked else (ids,)
            traced = torch.jit.trace(Wrapper().eval(), example, check_trace=False)
            self.traced[masked] = torch.jit.freeze(traced)
        return self.traced[masked]

    def prepare(self, workload):
        from_numpy = self.torch.from_numpy
        traced = self.trace(workload.padded)
        return [(traced, (from_numpy(b), from_numpy(mask_of(b, c))) if workload.padded
                 else (from_numpy(b),)) for b, c in workload.batches]

    def run(self, batch):
        return batch[0](*batch[1]).float().numpy()


class Rival:
    def __init__(self, kind, workloads, names, load):
        self.kind = kind
        self.workloads = workloads
        self.names = names
        self.load = load
        self.variants = {}      # those loaded
        self.chosen = {}
        self.prepared = {}

    def takes(self, w, name):
        """Without a mask nothing can be padded; the name of a graph says which has none."""
        return not self.workloads[w].padded or "-plain" not in os.path.basename(name)

    def batches(self, w, name):
        if name not in self.variants:
            self.variants[name] = self.load(name)
        if (w, name) not in self.prepared:
            self.prepared[w, name] = self.variants[name].prepare(self.workloads[w])
        return self.prepared[w, name]

    def measure(self, w, name, seconds, step=1):
        """Whole passes over every step-th batch; tokens a second."""
        batches = self.batches(w, name)[::step]
        variant = self.variants[name]
        tokens = sum(int(counts.sum()) for _, counts in self.workloads[w].batches[::step])
        passes, start = 0, time.monotonic()
        while True:
            for batch in batches:
                variant.run(batch)
            passes += 1
            elapsed = time.monotonic() - start
            if elapsed >= seconds:
                return passes * tokens, elapsed

    def go(self, w, seconds):
        start = time.process_time()
        tokens, elapsed = self.measure(w, self.chosen[w], seconds)
        return {"tokens": tokens, "seconds": elapsed, "cpu_seconds": time.process_time() - start}

    def tune(self, w, seconds):
        names = [n for n in self.names if self.takes(w, n)]
        for turn in range(3):
            rates = {}
            for name in names:
                tokens, elapsed = self.measure(w, name, seconds if turn > 0 else 0, 4)
                rates[name] = max(tokens / elapsed, rates.get(name, 0))
            # The first turn is slower than the rest for all, but not by that much.
            names = [n for n in names if rates[n] > 0.8 * max(rates.values())]
        return rates

    def check(self, w, n, path):
        name = self.chosen[w]
        results = []
        for batch, (_, counts) in zip(self.batches(w, name)[:n], self.workloads[w].batches):
            out = self.variants[name].run(batch)
            if self.kind == "hidden":
                out = np.concatenate([rows[:count] for rows, count in zip(out, counts)])
            results.append(out.astype("<f4").ravel())
        np.concatenate(results).tofile(path)
        return {"bytes": sum(r.nbytes for r in results)}

    def answer(self, words):
        command, w = words[0], int(words[1])
        if command == "go":
            return self.go(w, float(words[2]))
        if command == "tune":
            return self.tune(w, float(words[2]))
        if command == "check":
            return self.check(w, int(words[2]), words[3])
        if command == "use":
            self.chosen[w] = words[2]
            self.batches(w, words[2])
            # Only what runs needs memory.
            kept = self.chosen.values()
            self.variants = {k: v for k, v in self.variants.items() if k in kept}
            self.prepared = {k: v for k, v in self.prepared.items() if self.chosen.get(k[0]) == k[1]}
            return {"variant": words[2]}
        raise ValueError(f"not a command: {words}")


def main():
    backend, model, precision, kind, names = sys.argv[1:6]
    files = sys.argv[6:]
    workloads = [Workload(f, int(size)) for f, size in zip(files[::2], files[1::2])]
    rival = Rival(kind, workloads, names.split(","), lambda name: (
        OnnxVariant(name) if backend == "onnx" else TorchVariant(model, precision, kind, name)))
    for line in sys.stdin:
        print(json.dumps(rival.answer(line.split())), flush=True)


main()
