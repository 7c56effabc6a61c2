"""Normal forms of text: what is stored, and what is compared."""

from __future__ import annotations

import hashlib
import unicodedata

_WHITE_SPACE_CONTROLS = frozenset("\t\n\r\x0b\x0c\x85")
_MARKS = ("\ufeff", "\u200e", "\u200f", "\ufffd")  # byte-order mark, direction marks, replacement character
_CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
_REMOVED = str.maketrans(dict.fromkeys(set(_CONTROLS) - _WHITE_SPACE_CONTROLS | set(_MARKS), None))

_END_PUNCTUATION = " ?؟？.。!！,،:"


def clean(text: str) -> str:
    """Return text as it is stored: NFC, on one line, without control characters, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text.translate(_REMOVED)).split())


def title_key(title: str) -> str:
    """Return the form in which two titles are compared: compatibility-folded, without case and spaces."""
    spaced = clean(title.replace("_", " "))
    return unicodedata.normalize("NFKC", spaced).casefold().replace(" ", "")


def query_key(query: str) -> str:
    """Return the form in which two queries are compared: without case and final punctuation."""
    return clean(query).casefold().rstrip(_END_PUNCTUATION)


def digest(*parts: str) -> str:
    """Return the SHA-256 of some strings in hex; sorting by it gives an order that looks random and never changes."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8")).hexdigest()


def docid_order(docid: str) -> tuple[int, int]:
    """Return the sort key of a docid ``ARTICLE#PASSAGE``: by number, not by character."""
    article, passage = docid.split("#")
    return int(article), int(passage)
