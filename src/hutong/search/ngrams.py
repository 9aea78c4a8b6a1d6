"""Text for searching: one spelling, indexed by every two neighboring characters.

PostgreSQL's own parsers take a run of Chinese for one term, and the trigram extension is neither in the embedded server
nor of use for a usual Chinese term, which has two characters. Pairs of characters find any part of any text. The text
itself is compared afterwards, so that a search returns nothing that does not contain its terms.
"""

from __future__ import annotations

import unicodedata

TERMS_MAX = 8


def fold(text: str) -> str:
    """Return a text in one spelling: full width as half, capitals as small letters, one blank between terms."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def grams_of(folded: str) -> list[str]:
    """Return the grams of a folded text: pairs of neighboring characters, and each character beyond ASCII.

    A single Chinese character may be a whole term.
    """
    grams: set[str] = set()
    for term in folded.split(" "):
        grams.update(_pairs(term))
        grams.update(character for character in term if not character.isascii())
    return sorted(grams)


def terms_of(text: str) -> list[str]:
    """Return the terms of a search, each of which must occur."""
    return fold(text).split(" ")[:TERMS_MAX]


def required_grams(terms: list[str]) -> list[str]:
    """Return the grams of every text that contains all terms.

    A single ASCII letter has none, so the index cannot help to find it.
    """
    grams: set[str] = set()
    for term in terms:
        grams.update([term] if len(term) == 1 and not term.isascii() else ())
        grams.update(_pairs(term))
    return sorted(grams)


def _pairs(term: str) -> set[str]:
    return {term[place : place + 2] for place in range(len(term) - 1)}
