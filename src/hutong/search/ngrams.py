"""How text is searched: in one spelling, by every two neighboring characters.

PostgreSQL's own parsers take a run of Chinese for one word, and the trigram extension is neither in the embedded server
nor of use for the usual Chinese word, which has two characters. Pairs of characters find any part of any text, and what
they find is looked at again, so that nothing is found which does not hold the text.
"""

from __future__ import annotations

import unicodedata

TERMS_MAX = 8


def fold(text: str) -> str:
    """The one spelling: full width as half, capitals as small letters, one blank between words."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def grams(words: str) -> list[str]:
    """The pairs of neighboring characters in each word, and each character beyond ASCII, which may be a word by itself.

    Args:
        words: Folded.
    """
    found: set[str] = set()
    for word in words.split(" "):
        found.update(word[place : place + 2] for place in range(len(word) - 1))
        found.update(character for character in word if not character.isascii())
    return sorted(found)


def terms(text: str) -> list[str]:
    """What a search asks for: each of these must occur."""
    return fold(text).split(" ")[:TERMS_MAX]


def needed(asked: list[str]) -> list[str]:
    """The pairs that whatever holds all terms must have. A single ASCII letter has none and is looked for without."""
    found: set[str] = set()
    for term in asked:
        found.update([term] if len(term) == 1 and not term.isascii() else ())
        found.update(term[place : place + 2] for place in range(len(term) - 1))
    return sorted(found)
