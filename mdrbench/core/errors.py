"""Errors for users: what is wrong, where, and how to mend it.

The command line shows a :class:`MdrbenchError` without a traceback and exits with its ``exit_code`` (see
``docs/cli.md``). Any other exception is a bug in mdrbench and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Callable

from mdrbench.core.secrets import redact


class MdrbenchError(Exception):
    """Base of all errors that are shown to the user.

    Args:
        message: what is wrong, in one sentence.
        where: the file, line or key; ``path:line`` if there is a line.
        mend: what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, mend: str | None = None):
        self.message = redact(message)
        self.where = where and redact(where)
        self.mend = mend and redact(mend)
        super().__init__(self.message)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  mend: {self.mend}" if self.mend else text

    def __reduce__(self) -> tuple[Callable[..., MdrbenchError], tuple[object, ...]]:
        # The default pickling between processes loses keyword-only arguments.
        return _rebuild, (type(self), self.message, self.where, self.mend)


def _rebuild(kind: type[MdrbenchError], message: str, where: str | None, mend: str | None) -> MdrbenchError:
    return kind(message, where=where, mend=mend)


class UsageError(MdrbenchError):
    """The command line or a recipe is wrong."""

    exit_code = 2


class DataError(MdrbenchError):
    """A corpus, topics, qrels, run or result file is missing or malformed."""

    exit_code = 3


class SetupError(MdrbenchError):
    """Java, a package or another part of the machine is missing or does not work."""

    exit_code = 4


class StepError(MdrbenchError):
    """A step failed or an artifact is damaged."""

    exit_code = 5


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a mend with the nearest known names: ``did you mean 'bm25'? (known: bm25, mdpr)``."""
    from difflib import get_close_matches

    folded = {known_name.lower(): known_name for known_name in known}
    near = [folded[match] for match in get_close_matches(name.lower(), list(folded), n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return f"{hint}(known: {', '.join(sorted(known)) or 'none'})"
