# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reviews that are made up: some words tell the class, and most do not."""

WORDS = [a + b + c for a in 'bdfgklmnprst' for b in 'aeiou' for c in 'nrs']


def make_text(chance, label, telling):
    """A text of class 0 or 1, with so many words that tell which."""
    words = [chance.choice(WORDS[16:]) for _ in range(chance.randint(3, 20))]
    for _ in range(telling):
        words.insert(chance.randint(0, len(words)), chance.choice(WORDS[8 * label:][:8]))
    return ' '.join(words)
