# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares stages with transformers, and splits with the whole, as TAP.

Usage: check-stage.py [--all-lengths] [--albert] RUN_STAGE [MODEL_FOLDER...]

Without folders, models of several shapes with random weights are made: of BERT,
or of ALBERT with --albert, which are tried at every length up to 128. With
--all-lengths every length from 1 to the model's longest is tried, which takes
minutes. The interpreter needs torch and transformers; without them everything
is skipped. A folder may hold a model that was quantized or pruned: transformers
gets it as dense floats, and what int8 activations round may differ.
"""

import os
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

try:
    import numpy as np
    import torch
    from transformers import (AlbertConfig, AutoConfig, AutoModel, AutoModelForSequenceClassification,
                              BertConfig)
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

from plain_model import is_plain, write_plain

torch.set_num_threads(1)
LENGTHS = [1, 2, 3, 7, 16, 31, 64, 100, 129, 256, 400, 511, 512]
count = 0
failed = 0


def report(ok, text):
    global count, failed
    count += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {count} - {text}", flush=True)


def run_stage(program, model, kind, sequences, *layers):
    data = np.array([len(sequences)] + [len(s) for s in sequences], "<u4").tobytes()
    data += np.concatenate(sequences).astype("<i4").tobytes()
    done = subprocess.run([program, model, kind, *layers], input=data, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode())
    return np.frombuffer(done.stdout, "<f4")


def reference(model, kind, sequences):
    out = []
    with torch.no_grad():
        for s in sequences:
            ids = torch.tensor(s[None].astype(np.int64))
            if kind == "logits":
                out.append(model(input_ids=ids).logits[0].numpy())
            else:
                out.append(model(input_ids=ids).last_hidden_state[0].numpy().ravel())
    return np.concatenate(out)


def check(program, folder, name, all_lengths=False):
    config = AutoConfig.from_pretrained(folder)
    classifies = any(a.endswith("ForSequenceClassification") for a in config.architectures or [])
    kind = "logits" if classifies else "hidden"
    cls = AutoModelForSequenceClassification if classifies else AutoModel
    with tempfile.TemporaryDirectory() as plain:
        model = cls.from_pretrained(write_plain(folder, plain), torch_dtype=torch.float32).eval()
    rand = np.random.default_rng(1)
    longest = config.max_position_embeddings
    lengths = range(1, longest + 1) if all_lengths else [n for n in LENGTHS if n <= longest]
    sequences = [rand.integers(0, config.vocab_size, n) for n in lengths]
    whole = run_stage(program, folder, kind, sequences)
    expected = reference(model, kind, sequences)
    worst = float(np.abs(whole - expected).max())
    limit = 1e-4 if is_plain(folder) else 0.02 * float(np.abs(expected).max())
    report(worst < limit,
           f"{name}: {kind} within {limit:.1e} of transformers (largest difference {worst:.1e})")

    alone = np.concatenate([run_stage(program, folder, kind, [s]) for s in sequences])
    report(np.array_equal(alone, whole), f"{name}: the same bits alone and among batch-mates")

    n = config.num_hidden_layers
    for cut in range(1, n):
        parts = [f"0-{cut - 1}", f"{cut}-"]
        split = run_stage(program, folder, kind, sequences, *parts)
        report(np.array_equal(split, whole), f"{name}: the same bits split before layer {cut}")
    if n > 1:
        split = run_stage(program, folder, kind, sequences, *[f"{i}-{i}" for i in range(n)])
        report(np.array_equal(split, whole), f"{name}: the same bits with every layer alone")


def make(folder, config, dtype, classifies, **options):
    torch.manual_seed(1)
    config = config(vocab_size=500, initializer_range=0.1, **options)
    model = (AutoModelForSequenceClassification if classifies else AutoModel).from_config(config)
    for p in model.parameters():
        if p.dim() == 1:
            torch.nn.init.normal_(p, std=0.1) if p.abs().sum() == 0 else None
    model.to(dtype).save_pretrained(folder)


SHAPES = {
    "tiny": dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512),
    "narrow, odd": dict(hidden_size=60, num_hidden_layers=3, num_attention_heads=3, intermediate_size=100,
                        num_labels=5, hidden_act="gelu_new"),
    "relu": dict(hidden_size=96, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
                 hidden_act="relu", max_position_embeddings=100),
    "wide": dict(hidden_size=768, num_hidden_layers=2, num_attention_heads=12, intermediate_size=3072),
}


ALBERT_SHAPES = {
    "tiny": dict(embedding_size=64, hidden_size=128, num_hidden_layers=6, num_attention_heads=4,
                 intermediate_size=512),
    "groups": dict(embedding_size=30, hidden_size=60, num_hidden_layers=5, num_hidden_groups=3,
                   num_attention_heads=3, intermediate_size=100, num_labels=5),
    "wide embeddings, hidden": dict(embedding_size=200, hidden_size=48, num_hidden_layers=2,
                                    num_hidden_groups=2, num_attention_heads=3, intermediate_size=64,
                                    hidden_act="gelu"),
}


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    all_lengths, albert = "--all-lengths" in sys.argv, "--albert" in sys.argv
    program, folders = arguments[0], arguments[1:]
    config, shapes = (AlbertConfig, ALBERT_SHAPES) if albert else (BertConfig, SHAPES)
    for folder in folders:
        check(program, folder, os.path.basename(os.path.normpath(folder)), all_lengths)
    if not folders:
        for name, shape in shapes.items():
            if albert:
                shape["max_position_embeddings"] = 128
            for dtype in (torch.float32, torch.float16, torch.bfloat16) if name == "tiny" else (torch.float32,):
                with tempfile.TemporaryDirectory() as folder:
                    make(folder, config, dtype, "hidden" not in name, **shape)
                    check(program, folder, f"{name}, {str(dtype)[6:]}", all_lengths or albert)
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())
