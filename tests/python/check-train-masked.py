# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares masked language models in training with those of transformers, as TAP.

Usage: check-train-masked.py RUN_TRAIN_MASKED

Models of several shapes with random weights are made. The interpreter needs
torch, transformers and safetensors; without them everything is skipped.
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
    from transformers import AlbertConfig, AlbertForMaskedLM, BertConfig, BertForMaskedLM
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

torch.set_num_threads(1)
LENGTHS = [1, 2, 37, 64, 5, 130, 90, 12, 128]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"tok{i}" for i in range(5, 500)]
ALBERT_NAMES = [
    ("albert.encoder.embedding_hidden_mapping_in", "embeddings.projection"),
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
    ("predictions.dense", "cls.predictions.transform.dense"),
    ("predictions.LayerNorm", "cls.predictions.transform.LayerNorm"),
    ("predictions.bias", "cls.predictions.bias"),
]
count = 0
failed = 0


def report(ok, text):
    global count, failed
    count += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {count} - {text}", flush=True)


def canonical(name):
    for theirs, ours in ALBERT_NAMES if name.startswith(("albert.", "predictions.")) else [("bert.", "")]:
        name = name.replace(theirs, ours)
    return name


def run(program, model, steps, sequences):
    data = np.array([len(sequences)] + [len(s) for s in sequences], "<u4").tobytes()
    data += np.concatenate(sequences).astype("<i4").tobytes()
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.safetensors")
        done = subprocess.run([program, model, str(steps), out], input=data, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        tensors = load_file(out)
    return [tensors.pop(name) for name in ("ids", "labels", "loss")] + [tensors]


def loss_of(model, lengths, ids, labels):
    total, right, start = 0.0, 0, 0
    for n in lengths:
        logits = model(input_ids=torch.tensor(ids[None, start:start + n].astype(np.int64))).logits[0]
        wanted = torch.tensor(labels[start:start + n].astype(np.int64))
        total = total + torch.nn.functional.cross_entropy(logits, wanted, reduction="sum", ignore_index=-1)
        right += int(((logits.argmax(1) == wanted) & (wanted >= 0)).sum())
        start += n
    return total, right


def parameters_of(model, get):
    return {canonical(n): get(p) for n, p in model.named_parameters() if "decoder" not in n}


def largest(got, expected, zeros):
    """The worst tensor; biases of keys have no gradient but rounding."""
    worst, where = 0.0, "nothing"
    for name, e in expected.items():
        scale = float(np.linalg.norm(e))
        if name.endswith("key.bias"):
            if not zeros:
                continue
            scale = float(np.linalg.norm(expected[name.replace("key.bias", "query.bias")]))
        error = float(np.linalg.norm(got[name].astype(np.float64) - e)) / max(scale, 1e-12)
        if error > worst:
            worst, where = error, name
    return worst, where


def check(program, folder, name, model):
    config = model.config
    rand = np.random.default_rng(1)
    lengths = [n for n in LENGTHS if n <= config.max_position_embeddings]
    sequences = [rand.integers(0, config.vocab_size, n) for n in lengths]
    model.eval()

    ids, labels, loss, got = run(program, folder, 0, sequences)
    everything = np.concatenate(sequences)
    masked = labels >= 0
    report(masked.sum() > 20 and np.array_equal(labels[masked], everything[masked]) and
           np.array_equal(ids[~masked], everything[~masked]), f"{name}: {masked.sum()} of {len(ids)} are masked")
    expected_loss, right = loss_of(model, lengths, ids, labels)
    expected_loss.backward()
    error = abs(loss[0] / float(expected_loss.detach()) - 1)
    report(error < 1e-5 and loss[1] == masked.sum() and loss[2] == right,
           f"{name}: the loss within 1e-5 ({error:.1e}), {right} right")
    expected = parameters_of(model, lambda p: p.grad.numpy())
    report(set(got) == set(expected), f"{name}: gradients of the same parameters")
    worst, where = largest(got, expected, True)
    report(worst < 1e-4, f"{name}: gradients within 1e-4 of autograd ({worst:.1e}, {where})")

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        (loss_of(model, lengths, ids, labels)[0] / int(masked.sum())).backward()
        optimizer.step()
    got = run(program, folder, 3, sequences)[3]
    worst, where = largest(got, parameters_of(model, lambda p: p.detach().numpy()), False)
    report(worst < 1e-3, f"{name}: weights after 3 steps of AdamW within 1e-3 ({worst:.1e}, {where})")


def make(folder, albert=False, **options):
    torch.manual_seed(1)
    if albert:
        model = AlbertForMaskedLM(AlbertConfig(vocab_size=500, initializer_range=0.1, pad_token_id=0, **options))
    else:
        model = BertForMaskedLM(BertConfig(vocab_size=500, initializer_range=0.1, **options))
    for p in model.parameters():
        if p.dim() == 1 and p.abs().sum() == 0:
            torch.nn.init.normal_(p, std=0.1)
    model.save_pretrained(folder)
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(VOCABULARY) + "\n")
    return model


SHAPES = {
    "tiny": dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512),
    "narrow, odd": dict(hidden_size=60, num_hidden_layers=3, num_attention_heads=3, intermediate_size=100,
                        hidden_act="gelu_new"),
    "relu": dict(hidden_size=96, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
                 hidden_act="relu", max_position_embeddings=100),
    "ALBERT": dict(albert=True, hidden_size=64, embedding_size=32, num_hidden_layers=3, num_attention_heads=4,
                   intermediate_size=128),
}


def main():
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            check(sys.argv[1], folder, name, make(folder, **shape))
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())
