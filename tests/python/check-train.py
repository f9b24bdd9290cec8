# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares gradients and steps of training with PyTorch, and splits with the whole, as TAP.

Usage: check-train.py RUN_TRAIN [MODEL_FOLDER...]

Without folders, models of several shapes with random weights are made. The
interpreter needs torch, transformers and safetensors; without them everything
is skipped.
"""

import os
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

try:
    import numpy as np
    import torch
    from safetensors.numpy import load_file
    from transformers import (AlbertConfig, AlbertForSequenceClassification, AutoConfig,
                              AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification)
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

torch.set_num_threads(1)
LENGTHS = [1, 2, 37, 64, 5, 130, 90, 12, 128]
count = 0
failed = 0


def report(ok, text):
    global count, failed
    count += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {count} - {text}", flush=True)


def run_train(program, model, steps, dropout, sequences, labels, *layers):
    data = np.array([len(sequences)] + [len(s) for s in sequences], "<u4").tobytes()
    data += np.array(labels, "<i4").tobytes()
    data += np.concatenate(sequences).astype("<i4").tobytes()
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.safetensors")
        done = subprocess.run([program, model, str(steps), str(dropout), out, *layers], input=data,
                              capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        return load_file(out)


def loss_of(model, sequences, labels):
    logits = torch.cat([model(input_ids=torch.tensor(s[None].astype(np.int64))).logits for s in sequences])
    return torch.nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="sum")


ALBERT_NAMES = [
    ("albert.encoder.embedding_hidden_mapping_in", "embeddings.projection"),
    ("albert.pooler.", "pooler.dense."),
    ("albert.", ""),
    ("encoder.albert_layer_groups.", "encoder.group."),
    (".albert_layers.0.", "."),
    ("attention.query", "attention.self.query"),
    ("attention.key", "attention.self.key"),
    ("attention.value", "attention.self.value"),
    ("attention.dense", "attention.output.dense"),
    ("attention.LayerNorm", "attention.output.LayerNorm"),
    (".ffn.", ".intermediate.dense."),
    (".ffn_output.", ".output.dense."),
    ("full_layer_layer_norm", "output.LayerNorm"),
]


def canonical(name):
    if name.startswith(("albert.", "bert.")):
        for theirs, ours in ALBERT_NAMES if name.startswith("albert.") else [("bert.", "")]:
            name = name.replace(theirs, ours)
    return name


def largest(got, expected, zeros):
    """The worst tensor: the norm of its difference in units of its own norm, and its name. Biases
    of keys have no gradient but rounding: the softmax does not see them."""
    worst, where = 0.0, "nothing"
    for name, e in expected.items():
        scale = float(np.linalg.norm(e))
        if name.endswith("key.bias") and zeros:
            scale = float(np.linalg.norm(expected[name.replace("key.bias", "query.bias")]))
        error = float(np.linalg.norm(got[name].astype(np.float64) - e)) / max(scale, 1e-12)
        if error > worst:
            worst, where = error, name
    return worst, where


def check(program, folder, name):
    config = AutoConfig.from_pretrained(folder)
    rand = np.random.default_rng(1)
    longest = config.max_position_embeddings
    sequences = [rand.integers(0, config.vocab_size, n) for n in LENGTHS if n <= longest]
    labels = rand.integers(0, config.num_labels, len(sequences)).tolist()
    model = AutoModelForSequenceClassification.from_pretrained(folder, torch_dtype=torch.float32).eval()

    loss_of(model, sequences, labels).backward()
    expected = {canonical(n): p.grad.numpy() for n, p in model.named_parameters()}
    got = run_train(program, folder, 0, 0, sequences, labels)
    report(set(got) == set(expected), f"{name}: gradients of the same parameters")
    worst, where = largest(got, expected, True)
    report(worst < 1e-4, f"{name}: gradients within 1e-4 of autograd ({worst:.1e}, {where})")

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        (loss_of(model, sequences, labels) / len(sequences)).backward()
        optimizer.step()
    expected = {canonical(n): p.detach().numpy() for n, p in model.named_parameters()
                if not n.endswith("key.bias")}
    stepped = run_train(program, folder, 3, 0, sequences, labels)
    worst, where = largest(stepped, expected, False)
    report(worst < 1e-3, f"{name}: weights after 3 steps of AdamW within 1e-3 ({worst:.1e}, {where})")

    n = config.num_hidden_layers
    whole = run_train(program, folder, 3, 0.1, sequences, labels)
    splits = [(f"0-{cut - 1}", f"{cut}-") for cut in range(1, n)] + [tuple(f"{i}-{i}" for i in range(n))]
    groups = getattr(config, "num_hidden_groups", n)
    if groups < n:
        splits = [(f"0-{n // groups * cut - 1}", f"{n // groups * cut}-") for cut in range(1, groups)]
    for parts in splits if n > 1 else []:
        split = run_train(program, folder, 3, 0.1, sequences, labels, *parts)
        report(all(np.array_equal(split[k], whole[k]) for k in whole) and len(split) == len(whole),
               f"{name}: the same bits after 3 steps with dropout, split {' '.join(parts)}")
    report(any(not np.array_equal(stepped[k], whole[k]) for k in whole), f"{name}: dropout does something")


def make(folder, albert=False, **options):
    torch.manual_seed(1)
    if albert:
        model = AlbertForSequenceClassification(AlbertConfig(vocab_size=500, initializer_range=0.1, **options))
    else:
        model = BertForSequenceClassification(BertConfig(vocab_size=500, initializer_range=0.1, **options))
    for p in model.parameters():
        if p.dim() == 1 and p.abs().sum() == 0:
            torch.nn.init.normal_(p, std=0.1)
    model.save_pretrained(folder)


SHAPES = {
    "tiny": dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512),
    "narrow, odd": dict(hidden_size=60, num_hidden_layers=3, num_attention_heads=3, intermediate_size=100,
                        num_labels=5, hidden_act="gelu_new"),
    "relu": dict(hidden_size=96, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
                 hidden_act="relu", max_position_embeddings=100),
    "ALBERT, one group": dict(albert=True, hidden_size=64, embedding_size=32, num_hidden_layers=3,
                              num_attention_heads=4, intermediate_size=128),
    "ALBERT, two groups": dict(albert=True, hidden_size=60, embedding_size=24, num_hidden_layers=4,
                               num_hidden_groups=2, num_attention_heads=3, intermediate_size=100, num_labels=3),
    "wide": dict(hidden_size=768, num_hidden_layers=2, num_attention_heads=12, intermediate_size=3072),
}


def main():
    program, folders = sys.argv[1], sys.argv[2:]
    for folder in folders:
        check(program, folder, os.path.basename(os.path.normpath(folder)))
    if not folders:
        for name, shape in SHAPES.items():
            with tempfile.TemporaryDirectory() as folder:
                make(folder, **shape)
                check(program, folder, name)
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())
