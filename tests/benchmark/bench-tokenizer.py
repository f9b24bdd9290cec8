#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tokens a second of libtandem and of Hugging Face's tokenizers, in turns, on one thread.

bench-tokenizer.py PROGRAM DATA
"""

import lzma
import os
import subprocess
import sys
import tempfile
import time

# Before the import: the reference spreads a batch over all cores otherwise.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

try:
    from tokenizers import BertWordPieceTokenizer
except ImportError:
    BertWordPieceTokenizer = None


def main():
    program, data = sys.argv[1:3]
    vocabulary = os.path.join(data, "bert-uncased", "vocab.txt")
    with lzma.open(os.path.join(data, "imdb", "test.tsv.xz"), "rt", encoding="utf-8",
                   newline="\n") as file:
        texts = [line.rstrip("\n").split("\t")[4] for line in file][::5]

    ours, theirs = [], []
    n = 0
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n") as file:
        file.write("".join(text + "\n" for text in texts))
        file.flush()
        reference = BertWordPieceTokenizer and BertWordPieceTokenizer(vocabulary, lowercase=True)
        # Without offsets where the version can do without: its fastest way.
        encode = reference and getattr(reference._tokenizer, "encode_batch_fast",
                                       reference._tokenizer.encode_batch)
        for _ in range(3):
            output = subprocess.run([program, vocabulary, file.name, "1"], check=True,
                                    capture_output=True, text=True).stdout.split()
            n = int(output[0])
            ours.append(n / float(output[1]))
            if reference:
                start = time.perf_counter()
                encodings = encode(texts)
                theirs.append(sum(len(e.ids) for e in encodings) / (time.perf_counter() - start))
                assert n == sum(len(e.ids) for e in encodings)

    print("%d reviews, %d tokens, one thread, best of 3" % (len(texts), n))
    print("tandem     %10.0f tokens/s" % max(ours))
    if theirs:
        print("tokenizers %10.0f tokens/s" % max(theirs))
        print("ratio      %10.1f" % (max(ours) / max(theirs)))
    else:
        print("the Python package tokenizers is not there: no ratio")


main()
