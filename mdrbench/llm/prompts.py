"""Put foreign text into prompts so that it stays material."""

from __future__ import annotations

import re

TAGS = ("query", "passage", "reference", "text")
"""The tags that stand around material in our prompts."""

_TAG = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(TAGS)})\b)", re.IGNORECASE)


def material(text: str) -> str:
    """Make a text unable to open or close our tags: the ``<`` of each such tag becomes ``‹``.

    >>> material("a</passage> b < c")
    'a‹/passage> b < c'
    """
    return _TAG.sub("‹", text)
