"""When two texts count as the same."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b


def text_digest(text: str) -> bytes:
    """Return a digest of a text; compatibility forms (NFKC), case and white space make no difference."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return blake2b(plain.encode("utf-8"), digest_size=16).digest()
