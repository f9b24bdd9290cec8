# SPDX-License-Identifier: LGPL-2.1-or-later
"""Models that other programs read, of those that Tandem quantized or pruned.

write_plain(folder, to) writes a folder whose weights are dense floats, as
docs/quantization.md and docs/slimming.md say what is stored. A model that is
that already stays where it is. Returns the folder to use.
"""

import json
import os
import shutil
import struct

import numpy as np

TYPES = {"F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "BF16": "<u2"}


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[start:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        tensors[name] = values
    return metadata, tensors


def expand(tensors, metadata):
    """Sparse tensors: a mask of bits, the lowest first, and the values."""
    for key in [key for key in metadata if key.startswith("tandem.sparse.")]:
        name = key[len("tandem.sparse."):]
        shape = [int(n) for n in metadata[key].removeprefix("bitmask ").split(",")]
        mask = np.unpackbits(tensors.pop(name + ".mask"), bitorder="little")[:np.prod(shape)]
        values = tensors.pop(name + ".values")
        dense = np.zeros(int(np.prod(shape)), "<f4")
        dense[mask == 1] = values
        tensors[name] = dense.reshape(shape)


def multiply(tensors):
    """int8 tensors: a scale for each row."""
    for name in [name for name in tensors if name.endswith(".scale")]:
        base = name[:-len(".scale")]
        tensors[base] = tensors[base].astype("<f4") * tensors.pop(name).astype("<f4")[:, None]


def write(path, tensors):
    header, parts, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        data = np.ascontiguousarray(tensors[name], "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def is_plain(folder):
    path = os.path.join(folder, "model.safetensors")
    if not os.path.exists(path):
        return True
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        metadata = json.loads(file.read(length)).get("__metadata__", {})
    return not any(key == "tandem.quantization" or key.startswith("tandem.sparse.")
                   for key in metadata)


def write_plain(folder, to):
    if is_plain(folder):
        return folder
    out = os.path.join(to, os.path.basename(os.path.normpath(folder)))
    os.makedirs(out, exist_ok=True)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and name != "model.safetensors":
            shutil.copy(path, out)
    metadata, tensors = read(os.path.join(folder, "model.safetensors"))
    expand(tensors, metadata)
    multiply(tensors)
    write(os.path.join(out, "model.safetensors"), tensors)
    return out
