# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reviews that are made up: some words tell the class, and most do not; and a BERT that knows their
words."""

import json
import os
import random

WORDS = [a + b + c for a in 'bdfgklmnprst' for b in 'aeiou' for c in 'nrs']


def make_text(chance, label, telling):
    """A text of class 0 or 1, with so many words that tell which."""
    words = [chance.choice(WORDS[16:]) for _ in range(chance.randint(3, 20))]
    for _ in range(telling):
        words.insert(chance.randint(0, len(words)), chance.choice(WORDS[8 * label:][:8]))
    return ' '.join(words)


def write_reviews(path, n, seed):
    """A CSV file of n labelled reviews."""
    chance = random.Random(seed)
    with open(path, 'w', encoding='utf-8') as file:
        file.write('review,sentiment\n')
        for _ in range(n):
            label = chance.random() < 0.5
            words = [chance.choice(WORDS[16:]) for _ in range(chance.randint(3, 12))]
            words += [chance.choice(WORDS[8 * label:][:8]) for _ in range(3)]
            file.write('%s,%s\n' % (' '.join(words), 'positive' if label else 'negative'))


def write_config(folder):
    """config.json and vocab.txt of a BERT of two layers for texts of up to 40 tokens."""
    with open(os.path.join(folder, 'config.json'), 'w', encoding='utf-8') as file:
        json.dump({'model_type': 'bert', 'num_hidden_layers': 2, 'hidden_size': 16,
                   'num_attention_heads': 2, 'intermediate_size': 32,
                   'vocab_size': len(WORDS) + 5, 'max_position_embeddings': 40,
                   'type_vocab_size': 2, 'hidden_act': 'gelu', 'layer_norm_eps': 1e-12,
                   'hidden_dropout_prob': 0.1, 'attention_probs_dropout_prob': 0.1}, file)
    with open(os.path.join(folder, 'vocab.txt'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + WORDS) + '\n')
