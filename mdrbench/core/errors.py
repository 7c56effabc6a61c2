"""User mistakes and broken surroundings: what is wrong, where, and how to mend it.

Every error derived from :class:`MdrbenchError` is shown without a traceback and ends the process with its
``exit_code`` (the table in ``docs/cli.md``). Anything else is a bug of mdrbench and keeps its traceback.
"""

from __future__ import annotations


class MdrbenchError(Exception):
    """Base of all errors meant for the user's eyes.

    Args:
        message: what is wrong, in one sentence.
        where: the file, line or key it is about (``path:line`` where there is a line).
        mend: what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, mend: str | None = None):
        super().__init__(message)
        self.message = message
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  mend: {self.mend}" if self.mend else text

    def __reduce__(self):  # keyword-only arguments do not survive the default pickling between processes
        return _rebuild, (type(self), self.message, self.where, self.mend)


def _rebuild(kind: type[MdrbenchError], message: str, where: str | None, mend: str | None) -> MdrbenchError:
    return kind(message, where=where, mend=mend)


class UsageError(MdrbenchError):
    """The command line or a recipe asks for something that does not exist or makes no sense."""

    exit_code = 2


class DataError(MdrbenchError):
    """A corpus, topics, qrels, run or result file is missing or malformed."""

    exit_code = 3


class SetupError(MdrbenchError):
    """Java, a package or another part of the machine is missing or unusable."""

    exit_code = 4


class StepError(MdrbenchError):
    """A step failed or an artifact is damaged."""

    exit_code = 5


def did_you_mean(name: str, known: list[str]) -> str:
    """A hint with the nearest known names, e.g. ``did you mean 'bm25'? (known: bm25, mdpr)``."""
    from difflib import get_close_matches

    folded = {known_name.lower(): known_name for known_name in known}
    near = [folded[match] for match in get_close_matches(name.lower(), list(folded), n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return f"{hint}(known: {', '.join(sorted(known)) or 'none'})"
