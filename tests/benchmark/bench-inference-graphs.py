# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the ONNX graphs that bench-inference.py lets ONNX Runtime run.

bench-inference-graphs.py MODEL hidden|logits FOLDER

Prints a JSON object: for each rival, the files of its variants.

exported    what PyTorch exports, with and without a mask
optimized   the same after onnxruntime.transformers.optimizer
hand        made of ONNX Runtime's own operators, the last layer cut to [CLS]
            where the model classifies
int8        those of "hand" with MatMul, quantised dynamically

The variants of "hand" differ in what ONNX Runtime runs at different speeds on
different processors; files named ".fixed." keep what was fused by hand.
"""

import io
import itertools
import json
import os
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.simplefilter("ignore")

import numpy as np
import onnx
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from transformers import BertForSequenceClassification, BertModel

OPSET = 17


def load(path, kind, attention):
    cls = BertForSequenceClassification if kind == "logits" else BertModel
    return cls.from_pretrained(path, dtype=torch.float32, attn_implementation=attention).eval()


def export(path, kind, attention, masked, file):
    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = load(path, kind, attention)

        def forward(self, ids, mask=None):
            out = self.model(input_ids=ids, attention_mask=mask)
            return out.logits if kind == "logits" else out.last_hidden_state

    ids = torch.randint(5, 100, (2, 40))
    mask = torch.ones_like(ids)
    mask[1, 30:] = 0
    names = ["input_ids", "attention_mask"] if masked else ["input_ids"]
    axes = {name: {0: "batch", 1: "length"} for name in names}
    with torch.no_grad():
        torch.onnx.export(Wrapper().eval(), (ids, mask) if masked else (ids,), file,
                          input_names=names, output_names=["out"], dynamic_axes=axes,
                          opset_version=OPSET, dynamo=False)


class Builder:
    """One graph of com.microsoft operators.

    attention   "fused": with its projections in one operator; "split": apart
    rows        "matmul", with operators that add the bias; "gemm" over
                [batch * length, width], which adds it itself; "skip": as matmul,
                with SkipLayerNormalization
    embedding   "embed": one operator; "gather": several
    """

    def __init__(self, model, kind, masked, attention, rows, embedding):
        self.kind = kind
        self.masked = masked
        self.attention = attention
        self.skip = rows == "skip"
        self.gemm = rows == "gemm"
        self.embedding = embedding
        self.config = model.config
        self.weights = {k.removeprefix("bert."): v.numpy() for k, v in model.state_dict().items()}
        self.nodes = []
        self.initializers = {}

    def node(self, op, inputs, domain="", outputs=1, **attributes):
        names = [f"{op}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def ms(self, op, inputs, **attributes):
        return self.node(op, inputs, domain="com.microsoft", **attributes)

    def constant(self, name, value):
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, *names):
        """Transposed, those of several layers side by side."""
        value = np.concatenate([self.weights[n + ".weight"] for n in names]).T
        return self.constant("+".join(names) + ".weight", value)

    def bias(self, *names):
        value = np.concatenate([self.weights[n + ".bias"] for n in names])
        return self.constant("+".join(names) + ".bias", value)

    def flat(self, x):
        shape = self.constant("flat", np.array([-1, self.config.hidden_size], np.int64))
        return self.node("Reshape", [x, shape])

    def like(self, x, rows):
        return self.node("Reshape", [x, self.node("Shape", [rows])])

    def norm(self, name):
        return [self.constant(name + s, self.weights[name + s]) for s in (".weight", ".bias")]

    def add_norm(self, x, dense, residual, name):
        """layer norm (x W' + b + residual)"""
        eps = self.config.layer_norm_eps
        if self.gemm:
            x = self.node("Gemm", [x, self.weight(dense), self.bias(dense)])
        else:
            x = self.node("MatMul", [x, self.weight(dense)])
            if self.skip:
                return self.ms("SkipLayerNormalization",
                               [x, residual, *self.norm(name), self.bias(dense)], epsilon=eps)
            x = self.node("Add", [x, self.bias(dense)])
        x = self.node("Add", [x, residual])
        return self.node("LayerNormalization", [x, *self.norm(name)], epsilon=eps, axis=-1)

    def attend(self, x, p, first_only):
        heads = self.config.num_attention_heads
        q, k, v = (f"{p}.attention.self.{part}" for part in ("query", "key", "value"))
        if self.attention == "fused" and not first_only:
            inputs = [x, self.weight(q, k, v), self.bias(q, k, v)]
            return self.ms("Attention", inputs + ["lengths"] * self.masked, num_heads=heads)
        query = x
        if first_only:
            query = self.node("Gather", [x, self.constant("first", np.array([0], np.int64))], axis=1)
        inputs = [self.node("MatMul", [query, self.weight(q)]),
                  self.node("MatMul", [x, self.weight(k)]),
                  self.node("MatMul", [x, self.weight(v)]), self.bias(q, k, v)]
        out = self.ms("MultiHeadAttention", inputs + ["lengths"] * self.masked, num_heads=heads)
        return (out, query) if first_only else out

    def layer(self, x, i, first_only):
        p = f"encoder.layer.{i}"
        context = self.attend(x, p, first_only)
        if first_only:
            context, x = context
        rows = x
        if self.gemm:
            context, x = self.flat(context), self.flat(x)
        x = self.add_norm(context, f"{p}.attention.output.dense", x,
                          f"{p}.attention.output.LayerNorm")
        dense = f"{p}.intermediate.dense"
        if self.gemm:
            wide = self.ms("Gelu", [self.node("Gemm", [x, self.weight(dense), self.bias(dense)])])
        else:
            wide = self.ms("BiasGelu", [self.node("MatMul", [x, self.weight(dense)]),
                                        self.bias(dense)])
        x = self.add_norm(wide, f"{p}.output.dense", x, f"{p}.output.LayerNorm")
        return self.like(x, rows) if self.gemm else x

    def embed(self, words, positions, name):
        eps = self.config.layer_norm_eps
        if self.embedding == "embed":
            return self.node("EmbedLayerNormalization",
                             ["ids32", "", words, positions, "", *self.norm(name)],
                             domain="com.microsoft", outputs=2, epsilon=eps)[0]
        zero, one = (self.constant(n, np.array([v], np.int64)) for n, v in (("zero", 0), ("one", 1)))
        length = self.node("Slice", [self.node("Shape", ["ids32"]), one,
                                     self.constant("two", np.array([2], np.int64))])
        x = self.node("Add", [self.node("Gather", [words, "ids32"], axis=0),
                              self.node("Slice", [positions, zero, length, zero])])
        return self.node("LayerNormalization", [x, *self.norm(name)], epsilon=eps, axis=-1)

    def build(self):
        config = self.config
        if config.hidden_act != "gelu":
            raise ValueError(f"no operator for hidden_act {config.hidden_act}")
        e = "embeddings."
        # No review has a second part: its first row of token types joins the positions.
        positions = (self.weights[e + "position_embeddings.weight"] +
                     self.weights[e + "token_type_embeddings.weight"][0])
        words = self.constant("words", self.weights[e + "word_embeddings.weight"])
        x = self.embed(words, self.constant("positions", positions), e + "LayerNorm")
        for i in range(config.num_hidden_layers):
            x = self.layer(x, i, self.kind == "logits" and i + 1 == config.num_hidden_layers)
        shape = ["batch", "length", config.hidden_size]
        if self.kind == "logits":
            x = self.node("Gemm", [self.flat(x), self.weight("pooler.dense"),
                                   self.bias("pooler.dense")])
            x = self.node("Gemm", [self.node("Tanh", [x]), self.weight("classifier"),
                                   self.bias("classifier")])
            shape = ["batch", config.num_labels]
        self.nodes[-1].output[0] = "out"
        inputs = [helper.make_tensor_value_info("ids32", TensorProto.INT32, ["batch", "length"])]
        if self.masked:
            inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
        graph = helper.make_graph(self.nodes, "bert", inputs,
                                  [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
                                  list(self.initializers.values()))
        return helper.make_model(graph, ir_version=8, opset_imports=[
            helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)])


def quantize(source, target):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, weight_type=QuantType.QInt8,
                     op_types_to_quantize=["MatMul", "Attention"],
                     extra_options={"MatMulConstBOnly": True,
                                    "DefaultTensorType": TensorProto.FLOAT})
    return target


def make(path, kind, folder):
    from onnxruntime.transformers.optimizer import optimize_model

    rivals = {"exported": [], "optimized": [], "hand": [], "int8": []}
    for attention, masked in itertools.product(("eager", "sdpa"), (True, False)):
        file = os.path.join(folder, f"exported-{attention}-{'masked' if masked else 'plain'}.onnx")
        export(path, kind, attention, masked, file)
        rivals["exported"].append(file)
        target = file.replace("exported", "optimized").replace(".onnx", ".fixed.onnx")
        config = load(path, kind, "eager").config
        optimized = optimize_model(file, model_type="bert", num_heads=config.num_attention_heads,
                                   hidden_size=config.hidden_size, opt_level=1)
        optimized.save_model_to_file(target)
        rivals["optimized"].append(target)

    model = load(path, kind, "eager")
    for masked, attention, rows, embedding in itertools.product(
            (True, False), ("fused", "split"), ("matmul", "gemm", "skip"), ("embed", "gather")):
        name = "-".join(["hand", "masked" if masked else "plain", attention, rows, embedding])
        file = os.path.join(folder, name + ".fixed.onnx")
        onnx.save(Builder(model, kind, masked, attention, rows, embedding).build(), file)
        rivals["hand"].append(file)
        if rows == "matmul":
            rivals["int8"].append(quantize(file, file.replace("hand", "int8")))
    return rivals


def main():
    path, kind, folder = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    noise = io.StringIO()
    with redirect_stdout(noise), redirect_stderr(noise):
        rivals = make(path, kind, folder)
    print(json.dumps(rivals))


main()
