#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the ids of libtandem with those of Hugging Face's fast tokenizer.

check-tokenizer.py LIBRARY VOCABULARY awkward|code-points|reviews [FILE.tsv.xz ...]
check-tokenizer.py - VOCABULARY fixture > tests/unit/data/text-awkward.txt

Speaks TAP. The fixture is for tests without Python: a line is the flags, the longest length,
the UTF-8 text as hexadecimal digits, and the ids. Exits with 77 (skipped) where a Python package is missing.
"""

import ctypes
import lzma
import random
import sys

try:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
except ImportError:
    print("1..0 # SKIP the Python package tokenizers is not there")
    sys.exit(77)

LOWER, STRIP, CJK, CLEAN = 1, 2, 4, 8
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class Tandem:
    def __init__(self, library, vocabulary, flags):
        self.lib = ctypes.CDLL(library)
        self.glib = ctypes.CDLL("libglib-2.0.so.0")
        self.glib.g_bytes_new.restype = ctypes.c_void_p
        self.lib.tandem_tokenizer_new.restype = ctypes.c_void_p
        self.lib.tandem_tokenizer_new.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        self.lib.tandem_tokenizer_encode.restype = ctypes.c_size_t
        self.lib.tandem_tokenizer_encode.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ssize_t, ctypes.c_uint,
            ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)), ctypes.c_void_p]
        self.glib.g_free.argtypes = [ctypes.c_void_p]
        data = "".join(entry + "\n" for entry in vocabulary).encode()
        self.tokenizer = self.lib.tandem_tokenizer_new(
            self.glib.g_bytes_new(data, ctypes.c_size_t(len(data))), flags, None)
        assert self.tokenizer

    def encode(self, text, max_length):
        data = text.encode()
        ids = ctypes.POINTER(ctypes.c_int32)()
        n = self.lib.tandem_tokenizer_encode(self.tokenizer, data, len(data), max_length,
                                             ctypes.byref(ids), None)
        result = ids[:n]
        self.glib.g_free(ids)
        return result


def reference(vocabulary, flags):
    index = {entry: i for i, entry in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(index, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(
        clean_text=bool(flags & CLEAN), handle_chinese_chars=bool(flags & CJK),
        strip_accents=bool(flags & STRIP), lowercase=bool(flags & LOWER))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([s for s in SPECIALS if s in index])
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(s, index[s]) for s in ("[CLS]", "[SEP]")])
    return tokenizer


def compare(name, tandem, tokenizer, texts, max_length=0):
    if max_length:
        tokenizer.enable_truncation(max_length)
    else:
        tokenizer.no_truncation()
    differ = 0
    tokens = 0
    for start in range(0, len(texts), 1000):
        part = texts[start:start + 1000]
        for text, encoding in zip(part, tokenizer.encode_batch(part)):
            ids = tandem.encode(text, max_length)
            tokens += len(ids)
            if ids != encoding.ids:
                differ += 1
                if differ <= 10:
                    print("# %a\n#   tandem    %s\n#   reference %s"
                          % (text[:200], ids[:40], encoding.ids[:40]))
    print("# %s: %d texts, %d tokens, %d differ" % (name, len(texts), tokens, differ))
    return differ == 0


ALL_FLAGS = [("uncased", LOWER | STRIP | CJK | CLEAN), ("cased", CJK | CLEAN),
             ("lower", LOWER | CJK | CLEAN), ("strip", STRIP | CJK | CLEAN),
             ("dirty", LOWER | STRIP), ("none", 0)]


def code_points():
    return [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def check_code_points(library, vocabulary):
    random.seed(1)
    marks = [c for c in code_points() if 0x300 <= c < 0x3100 or 0xA800 <= c < 0x12000
             or 0x16F00 <= c < 0x17000 or 0x1D000 <= c < 0x1F000]
    for name, flags in ALL_FLAGS:
        # The vocabulary holds every code point that normalisation yields, at both places of a
        # word, so that no difference hides behind [UNK]; a zero byte cannot stand in an entry.
        # Four MiB of entries are the limit, hence the parts.
        chunks = [(0, 0x3400), (0x3400, 0xAC00), (0xAC00, 0x10000), (0x10000, 0x20000),
                  (0x20000, 0x30000), (0x30000, 0x40000), (0xE0000, 0xF0000), (0xF0000, 0x110000)]
        ok = True
        for low, high in chunks:
            texts = ["a%sb" % chr(c) for c in code_points() if low <= c < high]
            used = set("ab")
            tokenizer = reference(vocabulary, flags)
            for text in texts:
                used.update(tokenizer.normalizer.normalize_str(text))
            used -= set("\n\r\0 ")
            local = SPECIALS + [e for u in sorted(used) for e in (u, "##" + u)]
            ok = compare("%s %X-%X" % (name, low, high), Tandem(library, local, flags),
                         reference(local, flags), texts) and ok
        # Canonical ordering: runs of marks with a few letters among them.
        pool = [chr(c) for c in marks]
        used = set("aeb")
        for c in pool:
            used.update(tokenizer.normalizer.normalize_str(c))
        used -= set("\n\r\0 ")
        local = SPECIALS + [e for u in sorted(used) for e in (u, "##" + u)]
        texts = ["".join(random.choice("aeb") if random.random() < 0.1 else random.choice(pool)
                         for _ in range(random.randint(1, 12))) for _ in range(30000)]
        ok = compare("%s runs of marks" % name, Tandem(library, local, flags),
                     reference(local, flags), texts) and ok
        yield "code-points/" + name, ok


EXCEPTIONS = ("\u061d\u07fd\u0890\u08d4\u09fd\u166d\u1734\u1715\u180f\u1c89\u1dfb\u2160\u216f"
              "\u24b6\u24cf\u2e43\u2e5d\ua7cb\ua7cc\ua7dc\U0001057f\U000105c9\U00010d50"
              "\U00010d65\U000111c9\U00011938\U00016ea0\U00016eb8\U00016ff0\U0001e944"
              "\U0002b820\U0002ceb0\u9fff\ufaff\uf8ff\U000e0001\U0010fffd")


def awkward_texts():
    random.seed(2)
    alphabet = (["[SEP]", "[CLS]", "[MASK]", "[UNK]", "[PAD]", "[sep]", "[", "]", "##", "#", "ing",
                 "un", "able", " ", "  ", "\t", "\n", "\r\n", "\0", "\x07", "\x7f", "\x85",
                 "\u00a0", "\u00ad", "\u200b", "\u200d", "\u2028", "\u3000", "\ufeff", "\ufffd",
                 "\u00e9", "e\u0301", "\u0130", "I\u0307", "\u0131", "\u00df", "\u1e9e", "\u03a3",
                 "\u03c2", "\u4e2d", "\u6587", "\uf900", "\u3042", "\u30ab\u3099", "\uac00",
                 "\u0e01\u0e33", "\u0939\u093f", "\U0001f600", "\U0001f468\u200d\U0001f469", "--",
                 "...", "\u2026", "\u2014", "\u201c", "$", "^", "`", "\u037e", "\u1fef", "\u2160",
                 "\u24b6", "\U00010400", "\U0002f800", "\ufb01", "\uff21", "\u0345", "\u302e"]
                + list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'\"<>/"))
    yield from ("", " ", "\0", "a" * 100, "a" * 101, "\u00e9" * 100, "\u00e9" * 101,
                "e\u0301" * 100, "e\u0301" * 101, "\u4e2d" * 300, "x" * 5000, "\u0301" * 300,
                "\U0001f600" * 100, "\U0001f600" * 101, "\uac00" * 34, "\u302e\u302f" * 60,
                "a\0" * 200, "[SEP", "SEP]", "[[SEP]]", "[SEP][SEP]", "a[SEP]b", "[S EP]")
    # What Unicode versions disagree about, and marks that stripping leaves.
    yield from ("a%sb" % c for c in EXCEPTIONS)
    yield from ("a\u302e\u302f\u0301", "a\u302f\u302e", "a\U0001d16d\u302e\U0001d165",
                "a\u302e\u0941\U0001d165", "a\u302e \U0001d165")
    for _ in range(40000):
        yield "".join(random.choice(alphabet) for _ in range(random.randint(1, 30)))


def check_awkward(library, vocabulary):
    texts = list(awkward_texts())
    for name, flags in ALL_FLAGS:
        tandem, tokenizer = Tandem(library, vocabulary, flags), reference(vocabulary, flags)
        yield "awkward/" + name, compare(name, tandem, tokenizer, texts)
    for length in (2, 3, 5, 16):
        yield ("awkward/truncated-%d" % length,
               compare("truncated to %d" % length, tandem, tokenizer, texts, length))


def check_reviews(library, vocabulary, paths):
    flags = LOWER | STRIP | CJK | CLEAN
    tandem, tokenizer = Tandem(library, vocabulary, flags), reference(vocabulary, flags)
    for path in paths:
        with lzma.open(path, "rt", encoding="utf-8", newline="\n") as file:
            texts = [line.rstrip("\n").split("\t")[4] for line in file]
        for length in (0, 512):
            yield ("reviews/%s/%d" % (path.rsplit("/", 1)[-1], length),
                   compare("%s at %d" % (path, length), tandem, tokenizer, texts, length))


def print_fixture(vocabulary):
    """The vocabulary has to hold what EXCEPTIONS become, else [UNK] would hide it."""
    texts = [text for text in awkward_texts() if len(text) <= 400][:200]
    for name, flags in ALL_FLAGS:
        tokenizer = reference(vocabulary, flags)
        for i, text in enumerate(texts):
            length = 0 if i % 4 else 2 + i % 11
            if length:
                tokenizer.enable_truncation(length)
            else:
                tokenizer.no_truncation()
            ids = tokenizer.encode(text).ids
            print(flags, length, text.encode().hex() or "-", " ".join(map(str, ids)))


def main():
    library, vocabulary_path, what = sys.argv[1:4]
    with open(vocabulary_path, encoding="utf-8", newline="\n") as file:
        vocabulary = file.read().rstrip("\n").split("\n")
    if what == "fixture":
        print_fixture(vocabulary)
        return
    checks = {"awkward": lambda: check_awkward(library, vocabulary),
              "code-points": lambda: check_code_points(library, vocabulary),
              "reviews": lambda: check_reviews(library, vocabulary, sys.argv[4:])}[what]
    failed = 0
    n = 0
    for n, (name, ok) in enumerate(checks(), 1):
        print("%s %d - %s" % ("ok" if ok else "not ok", n, name), flush=True)
        failed += not ok
    print("1..%d" % n)
    sys.exit(1 if failed or n == 0 else 0)


main()
