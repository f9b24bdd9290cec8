# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trains a model with PyTorch for as long as it is told, on one thread.

bench-train-rival.py MODEL f32|bf16 RATE DECAY SIZE FILE...

Speaks what bench-train-stage speaks. bf16 is autocast over float32 weights. Two more
commands find the fastest way:

    tune W DROPOUT SECONDS   samples a second of each variant
    use W DROPOUT VARIANT    train workload W with it from now on

Variants are implementations of attention and of AdamW. With "sparse" the word
embeddings have sparse gradients and SparseAdam, which like Tandem touches only
the words that occurred; elsewhere AdamW goes over all of them.
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
import torch
import transformers

VARIANTS = ["sdpa-fused", "sdpa-foreach", "sdpa-fused-sparse", "eager-fused", "eager-foreach"]


class Workload:
    """Batches of labelled sequences, filled up with zeros to the longest of each."""

    def __init__(self, path, size):
        words = np.fromfile(path, "<i4")
        n = int(words[0])
        lengths, labels, ids = words[1:1 + n], words[1 + n:1 + 2 * n], words[1 + 2 * n:]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        self.n = n
        self.batches = []
        for first in range(0, n, size):
            counts = lengths[first:first + size]
            batch = np.zeros((size, int(counts.max())), np.int64)
            for row in range(size):
                batch[row, :counts[row]] = ids[starts[first + row]:starts[first + row + 1]]
            mask = (np.arange(batch.shape[1])[None] < counts[:, None]).astype(np.int64)
            # Without padding there is no need for a mask, and attention may be faster.
            self.batches.append({
                "input_ids": torch.from_numpy(batch),
                "attention_mask": None if mask.all() else torch.from_numpy(mask),
                "labels": torch.from_numpy(labels[first:first + size].astype(np.int64))})


class Trainer:
    def __init__(self, path, precision, rate, decay, variant):
        words = variant.split("-")
        self.bf16 = precision == "bf16"
        self.model = transformers.BertForSequenceClassification.from_pretrained(
            path, dtype=torch.float32, attn_implementation=words[0])
        rest = list(self.model.parameters())
        self.optimizers = []
        if "sparse" in words:
            table = self.model.bert.embeddings.word_embeddings
            table.sparse = True
            rest = [p for p in rest if p is not table.weight]
            self.optimizers.append(torch.optim.SparseAdam([table.weight], lr=rate))
        groups = [{"params": [p for p in rest if p.dim() == 2], "weight_decay": decay},
                  {"params": [p for p in rest if p.dim() != 2], "weight_decay": 0.0}]
        self.optimizers.append(torch.optim.AdamW(groups, lr=rate, **{words[1]: True}))

    def step(self, batch, drops):
        # Evaluation mode has no dropout at all, which costs less than a rate of 0.
        if self.model.training != drops:
            self.model.train(drops)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.model(**batch).loss
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss


class Rival:
    def __init__(self, workloads, load):
        self.workloads = workloads
        self.load = load
        self.trainers = {}
        self.chosen = {}

    def measure(self, w, drops, name, seconds, n=None):
        """Whole passes; samples, and seconds on the wall and of the processor."""
        work = self.workloads[w]
        if name not in self.trainers:
            self.trainers[name] = self.load(name)
        trainer = self.trainers[name]
        samples, start, cpu_start = 0, time.monotonic(), time.process_time()
        while True:
            for batch in work.batches[:n]:
                trainer.step(batch, drops)
                samples += len(batch["labels"])
            elapsed = time.monotonic() - start
            if elapsed >= seconds:
                return {"samples": samples, "seconds": elapsed,
                        "cpu_seconds": time.process_time() - cpu_start}

    def tune(self, w, drops, seconds):
        rates = {}
        for turn in range(3):
            # Those that were slow in the first turn need no more.
            names = [n for n in VARIANTS if turn == 0 or rates[n] > 0.85 * max(rates.values())]
            for name in names:
                if name not in self.trainers:
                    self.measure(w, drops, name, 0, 1)      # warms up
                got = self.measure(w, drops, name, seconds, 1)
                rates[name] = max(got["samples"] / got["cpu_seconds"], rates.get(name, 0))
        return rates

    def losses(self, w, n):
        trainer = self.load(self.chosen[w, False])
        batches = self.workloads[w].batches
        return {"losses": [float(trainer.step(batches[i % len(batches)], False).detach())
                           for i in range(n)]}

    def answer(self, words):
        command, w = words[0], int(words[1])
        if command == "go":
            drops = words[2] == "1"
            return self.measure(w, drops, self.chosen[w, drops], float(words[3]))
        if command == "tune":
            return self.tune(w, words[2] == "1", float(words[3]))
        if command == "use":
            self.chosen[w, words[2] == "1"] = words[3]
            return {"variant": words[3]}
        if command == "loss":
            return self.losses(w, int(words[2]))
        raise ValueError(f"not a command: {words}")


def main():
    path, precision = sys.argv[1:3]
    rate, decay, size = float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rival = Rival([Workload(f, size) for f in sys.argv[6:]],
                  lambda name: Trainer(path, precision, rate, decay, name))
    for line in sys.stdin:
        print(json.dumps(rival.answer(line.split())), flush=True)


main()
