# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares losses, schedules and exported models with PyTorch and transformers, as TAP.

Usage: check-train-parts.py LIBTANDEM

The interpreter needs torch and transformers; without them everything is skipped.
"""

import ctypes
import json
import os
import sys
import tempfile
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_size_t, c_uint, c_uint64, c_void_p

os.environ.setdefault("HF_HUB_OFFLINE", "1")

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    import transformers
    from transformers import (AlbertConfig, AlbertForMaskedLM, AlbertForSequenceClassification, AutoTokenizer,
                              BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, BertTokenizer)
except ImportError as error:
    print(f"1..0 # SKIP {error}")
    sys.exit(0)

torch.set_num_threads(1)
torch.manual_seed(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
count = 0
failed = 0


def report(ok, text):
    global count, failed
    count += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {count} - {text}", flush=True)


class Loss(ctypes.Structure):
    _fields_ = [("sum", c_double), ("n_rows", c_uint64), ("n_labelled", c_uint64), ("n_correct", c_uint64)]


class Error(ctypes.Structure):
    _fields_ = [("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p)]


def declare(lib):
    lib.tandem_schedule_get_rate.restype = c_double
    lib.tandem_schedule_get_rate.argtypes = [c_double, c_uint64, c_uint64, c_int, c_uint64]
    lib.tandem_schedule_get_clip_scale.restype = c_double
    lib.tandem_schedule_get_clip_scale.argtypes = [c_double, c_double]
    lib.tandem_loss_cross_entropy.argtypes = [c_void_p, c_void_p, c_size_t, c_uint, c_void_p, c_double, c_void_p,
                                              c_void_p]
    lib.tandem_loss_distillation.argtypes = [c_void_p, c_void_p, c_void_p, c_size_t, c_uint, c_void_p, c_double,
                                             c_double, c_double, c_void_p, c_void_p]
    lib.tandem_loss_hidden.argtypes = [c_void_p, c_void_p, c_void_p, c_size_t, c_uint, c_double, c_void_p, c_void_p]
    lib.tandem_loss_vocabulary.argtypes = [c_void_p, c_void_p, c_size_t, c_uint, c_void_p, c_void_p, c_uint, c_void_p,
                                           c_void_p, c_void_p, c_void_p, c_void_p]
    for name, arguments in {
        "tandem_model_open": [c_char_p, c_void_p, c_void_p],
        "tandem_model_get_tokenizer": [c_void_p, c_void_p],
        "tandem_model_init_random": [c_char_p, c_uint, c_uint, c_uint64, c_void_p],
        "tandem_model_init_from": [c_void_p, c_char_p, c_uint, c_uint, c_uint64, c_void_p],
    }.items():
        getattr(lib, name).restype = c_void_p
        getattr(lib, name).argtypes = arguments
    lib.tandem_model_export.argtypes = [c_void_p, c_char_p, c_void_p, c_void_p, c_int, c_char_p, c_uint, c_void_p,
                                        c_void_p]
    lib.tandem_model_create.argtypes = [c_char_p, c_void_p, c_void_p, c_void_p, c_int, c_char_p, c_uint, c_void_p,
                                        c_void_p]


def call(function, *arguments):
    """Calls a function whose last argument is a GError **."""
    error = POINTER(Error)()
    result = function(*arguments, ctypes.byref(error))
    if error:
        raise RuntimeError(error.contents.message.decode())
    return result


def pointer(array):
    return array.ctypes.data_as(c_void_p)


def difference(found, expected):
    expected = np.asarray(expected, np.float64)
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def check_schedules(lib):
    parameter = torch.nn.Parameter(torch.zeros(1))
    worst = 0.0
    for warmup, total, cosine in [(0, 50, 0), (7, 50, 0), (7, 50, 1), (0, 33, 1), (49, 50, 1)]:
        optimizer = torch.optim.SGD([parameter], lr=3e-4)
        make = transformers.get_cosine_schedule_with_warmup if cosine else \
            transformers.get_linear_schedule_with_warmup
        schedule = make(optimizer, warmup, total)
        rates = []
        for _ in range(total + 1):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        for step in range(total + 1):
            # In warm-up one step ahead.
            expected = rates[step + 1] if step < warmup else rates[step]
            found = lib.tandem_schedule_get_rate(3e-4, warmup, total, cosine, step)
            worst = max(worst, abs(found - expected) / 3e-4)
    report(worst < 1e-12, f"rates are those of transformers (largest difference {worst:.1e} of the highest)")

    worst = 0.0
    for norm, limit in [(0.3, 1.0), (1.0, 1.0), (5.0, 1.0), (123.0, 0.5)]:
        gradient = torch.ones(16, dtype=torch.float64) * norm / 4
        parameter = torch.nn.Parameter(torch.zeros(16, dtype=torch.float64))
        parameter.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_([parameter], limit)
        found = lib.tandem_schedule_get_clip_scale(float(gradient.norm()), limit)
        worst = max(worst, float((parameter.grad / gradient - found).abs().max()))
    report(worst < 1e-12, f"clipping is clip_grad_norm_'s (largest difference {worst:.1e})")


def run_loss(function, shape, *arguments):
    loss = Loss()
    gradient = np.full(shape, np.nan, np.float32)
    call(function, ctypes.byref(loss), *arguments, pointer(gradient))
    return loss, gradient


def check_losses(lib):
    rand = np.random.default_rng(1)
    for classes, smoothing in [(2, 0.0), (2, 0.1), (5, 0.2), (1000, 0.1)]:
        x = rand.normal(0, 3, (64, classes)).astype(np.float32)
        teacher = rand.normal(0, 3, (64, classes)).astype(np.float32)
        y = rand.integers(-1, classes, 64).astype(np.int32)
        labels = torch.tensor(y.astype(np.int64))
        xt = torch.tensor(x.astype(np.float64), requires_grad=True)
        expected = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, ignore_index=-1, reduction="sum")(xt, labels)
        expected.backward()
        loss, gradient = run_loss(lib.tandem_loss_cross_entropy, x.shape, pointer(x), 64, classes, pointer(y), smoothing)
        errors = abs(loss.sum / expected.item() - 1), difference(gradient, xt.grad)
        correct = int(((xt.argmax(1) == labels) & (labels >= 0)).sum())
        report(max(errors) < 1e-6 and loss.n_correct == correct and loss.n_labelled == int((y >= 0).sum()),
               f"cross-entropy, {classes} classes, smoothing {smoothing}: loss off by {errors[0]:.1e}, gradient by "
               f"{errors[1]:.1e}")

        alpha, heat = 0.3, 2.5
        xt = torch.tensor(x.astype(np.float64), requires_grad=True)
        tt = torch.tensor(teacher.astype(np.float64))
        hard = torch.nn.CrossEntropyLoss(label_smoothing=smoothing, ignore_index=-1, reduction="sum")(xt, labels)
        soft = F.kl_div(F.log_softmax(xt / heat, 1), F.softmax(tt / heat, 1), reduction="sum") * heat ** 2
        expected = alpha * hard + (1 - alpha) * soft
        expected.backward()
        loss, gradient = run_loss(lib.tandem_loss_distillation, x.shape, pointer(x), pointer(teacher), 64, classes,
                                  pointer(y), smoothing, alpha, heat)
        errors = abs(loss.sum / expected.item() - 1), difference(gradient, xt.grad)
        report(max(errors) < 1e-6, f"distillation, {classes} classes, smoothing {smoothing}: loss off by "
               f"{errors[0]:.1e}, gradient by {errors[1]:.1e}")

    x = rand.normal(0, 1, (33, 128)).astype(np.float32)
    teacher = rand.normal(0, 1, (33, 128)).astype(np.float32)
    xt = torch.tensor(x.astype(np.float64), requires_grad=True)
    expected = 33 * F.mse_loss(xt, torch.tensor(teacher.astype(np.float64)))
    expected.backward()
    loss, gradient = run_loss(lib.tandem_loss_hidden, x.shape, pointer(x), pointer(teacher), 33, 128, 1.0)
    errors = abs(loss.sum / expected.item() - 1), difference(gradient, xt.grad)
    report(max(errors) < 1e-6, f"hidden states: loss off by {errors[0]:.1e}, gradient by {errors[1]:.1e}")


def check_vocabulary(lib):
    rand = np.random.default_rng(2)
    n, width, vocab = 500, 128, 30522
    x = rand.normal(0, 1, (n, width)).astype(np.float32)
    weight = rand.normal(0, 0.05, (vocab, width)).astype(np.float32)
    bias = rand.normal(0, 0.5, vocab).astype(np.float32)
    y = np.where(rand.random(n) < 0.5, rand.integers(0, vocab, n), -1).astype(np.int32)
    xt, wt, bt = (torch.tensor(a.astype(np.float64), requires_grad=True) for a in (x, weight, bias))
    expected = F.cross_entropy(F.linear(xt, wt, bt), torch.tensor(y.astype(np.int64)), ignore_index=-1,
                               reduction="sum")
    expected.backward()
    loss = Loss()
    d_x, d_weight, d_bias = np.zeros_like(x), np.zeros_like(weight), np.zeros_like(bias)
    call(lib.tandem_loss_vocabulary, ctypes.byref(loss), pointer(x), n, width, pointer(weight), pointer(bias), vocab,
         pointer(y), pointer(d_x), pointer(d_weight), pointer(d_bias))
    errors = [abs(loss.sum / expected.item() - 1), difference(d_x, xt.grad), difference(d_weight, wt.grad),
              difference(d_bias, bt.grad)]
    report(max(errors) < 1e-5, "masked tokens: loss, d_x, d_weight and d_bias off by " +
           ", ".join(f"{e:.1e}" for e in errors))


def make_source(folder, cls, config):
    model = cls(config)
    model.save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(97 + i) for i in range(26)] + \
        ["##" + chr(97 + i) for i in range(26)] + ["word", "##ing", "\u00fcber"]
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("".join(w + "\n" for w in words))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump({"do_lower_case": False, "tokenizer_class": "BertTokenizer"}, file)
    return model


def load(cls, folder):
    model, info = cls.from_pretrained(folder, output_loading_info=True)
    problems = [k for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for k in info[key]]
    return model.float().eval(), problems


def same(a, b, tolerance):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.allclose(a[k].float(), b[k].float(), rtol=tolerance, atol=tolerance / 8)
                                        for k in a)


SMALL = dict(vocab_size=100, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
             max_position_embeddings=64)
CLASSIFIER, MASKED_LM = 1, 2


def check_export(lib, name, cls, config, flags, f16, base):
    source, target = os.path.join(base, "source"), os.path.join(base, "target")
    original = make_source(source, cls, config)
    model = call(lib.tandem_model_open, source.encode(), None)
    tensors = call(lib.tandem_model_init_from, model, None, flags, 0, 1)
    call(lib.tandem_model_export, model, None, tensors, None, f16, target.encode(), 0, None)
    loaded, problems = load(cls, target)
    # A new head differs from the old one; all else is the same.
    ok = flags == MASKED_LM or same(original, loaded, 1e-3 if f16 else 0)
    report(ok and not problems, f"{name}: transformers loads the export as it is {problems or ''}")
    saved = json.load(open(os.path.join(target, "config.json")))
    report(saved["architectures"] == [cls.__name__] and saved["torch_dtype"] == ("float16" if f16 else "float32") and
           loaded.config.id2label == original.config.id2label, f"{name}: the configuration says what it is")
    text = "Words \u00fcber words, ABC"
    before, after = BertTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained(target)
    report(before(text)["input_ids"] == after(text)["input_ids"] and
           len(set(after(text)["input_ids"])) > 3, f"{name}: the tokenizer is the same")


def check_models(lib):
    labels = {0: "negative", 1: "positive"}
    bert = BertConfig(**SMALL, id2label=labels, label2id={v: k for k, v in labels.items()})
    albert = AlbertConfig(**SMALL, embedding_size=16, id2label=labels, label2id={v: k for k, v in labels.items()})
    for name, cls, config, flags, f16 in [
        ("BERT", BertForSequenceClassification, bert, CLASSIFIER, 0),
        ("BERT in F16", BertForSequenceClassification, bert, CLASSIFIER, 1),
        ("BERT without head", BertForMaskedLM, bert, MASKED_LM, 0),
        ("ALBERT", AlbertForSequenceClassification, albert, CLASSIFIER, 0),
        ("ALBERT without head", AlbertForMaskedLM, albert, MASKED_LM, 0),
    ]:
        with tempfile.TemporaryDirectory() as base:
            check_export(lib, name, cls, config, flags, f16, base)

    with tempfile.TemporaryDirectory() as base:
        source, target = os.path.join(base, "source"), os.path.join(base, "target")
        make_source(source, BertModel, BertConfig(**SMALL))
        model = call(lib.tandem_model_open, source.encode(), None)
        tokenizer = call(lib.tandem_model_get_tokenizer, model)
        config = json.dumps(BertConfig(**{**SMALL, "hidden_size": 256, "num_attention_heads": 4}).to_dict()).encode()
        tensors = call(lib.tandem_model_init_random, config, CLASSIFIER, 3, 7)
        names = (c_char_p * 4)(b"bad", b"so so", b"good", None)
        call(lib.tandem_model_create, config, tokenizer, tensors, names, 0, target.encode(), 0, None)
        loaded, problems = load(BertForSequenceClassification, target)
        reference = BertForSequenceClassification(loaded.config).state_dict()
        close = all(abs(float(v.std() - reference[k].std())) < 0.002 and abs(float(v.mean() - reference[k].mean())) < 0.002
                    for k, v in loaded.state_dict().items() if v.is_floating_point() and v.numel() > 1000)
        equal = all(torch.equal(v, reference[k]) for k, v in loaded.state_dict().items() if v.dim() == 1)
        report(close and equal and not problems, "a random model has the distribution of transformers' own")
        report(loaded.config.id2label == {0: "bad", 1: "so so", 2: "good"}, "a random model has the labels given")


def check_projection(lib):
    width, narrow = 96, 24
    with tempfile.TemporaryDirectory() as base:
        source = os.path.join(base, "source")
        target = os.path.join(base, "target")
        original = make_source(source, BertModel, BertConfig(**{**SMALL, "hidden_size": width, "vocab_size": 700}))
        with torch.no_grad():
            words = original.embeddings.word_embeddings.weight
            words.mul_(torch.linspace(3, 0.2, width)).add_(torch.linspace(0, 1, width))
            original.save_pretrained(source)
        model = call(lib.tandem_model_open, source.encode(), None)
        config = json.dumps(BertConfig(**{**SMALL, "hidden_size": narrow, "vocab_size": 700}).to_dict()).encode()
        tensors = call(lib.tandem_model_init_from, model, config, CLASSIFIER, 0, 7)
        call(lib.tandem_model_export, model, config, tensors, None, 0, target.encode(), 0, None)
        loaded, problems = load(BertForSequenceClassification, target)
        wide = words.detach().double()
        covariance = torch.cov(wide.T, correction=0)
        axes = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :narrow]
        axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
        found = loaded.bert.embeddings
        errors = [difference((wide @ axes).numpy(), found.word_embeddings.weight.detach().double().numpy()),
                  difference((original.embeddings.position_embeddings.weight.double() @ axes).detach().numpy(),
                             found.position_embeddings.weight.detach().double().numpy())]
        report(max(errors) < 1e-5 and not problems, "a narrower model has the principal components of the wider one's "
               f"embeddings (off by {errors[0]:.1e}, {errors[1]:.1e})")


def main():
    lib = ctypes.CDLL(sys.argv[1])
    declare(lib)
    check_schedules(lib)
    check_losses(lib)
    check_vocabulary(lib)
    check_models(lib)
    check_projection(lib)
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())
