"""OpenAI's Batch API: many questions in a file, at a lower price, answered within a day.

The questions are written as JSON Lines and uploaded (``POST /files``, purpose ``batch``), and a batch is made of the
file (``POST /batches``, window ``24h``). It is asked for (``GET /batches/ID``) until it has ended; then its output file
and its error file are read, whose lines come in any order. Which questions are in which batch is kept in the store of
answers before a batch is made, with a mark that the batch carries in its metadata. So a run that was killed at any
point waits for the same batch when it is run again. https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from mdrbench.core.console import say
from mdrbench.core.errors import MdrbenchError, StepError
from mdrbench.llm.answers import Answers
from mdrbench.llm.completions import Endpoint, Failed
from mdrbench.llm.replies import Reply
from mdrbench.llm.spending import Budget, bound_tokens

if TYPE_CHECKING:
    from mdrbench.llm.local import Asked
    from mdrbench.llm.settings import Settings

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""Of one batch, by OpenAI's documentation."""

POLL_S = 30.0
"""Seconds between two looks at a batch."""

LASTS_S = 3 * 86_400.0
"""Seconds after which a reservation for a batch counts as lost: a batch ends within a day."""

ENDED = ("completed", "failed", "expired", "cancelled")

Found = TypeVar("Found")


class Batches:
    """Asks many questions through batches.

    Args:
        body: the body of a request for a question.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: Endpoint,
        answers: Answers,
        budget: Budget,
        body: Callable[[Asked], dict[str, Any]],
        counts: Counter[str],
    ):
        self.settings, self.endpoint, self.store, self.budget = settings, endpoint, answers, budget
        self.body = body
        self.counts = counts

    def answers(self, asked: list[Asked]) -> Iterator[tuple[str, Reply, None]]:
        """Yield the key of each question with its answer. Lines without an answer are asked again.

        Raises:
            StepError: the budget has no room for the questions (nothing is uploaded then), a batch was cancelled, or
                questions still have no answer after ``retries`` repetitions.
            SetupError: the endpoint refuses a batch or the requests in it.
        """
        left = {one.key: one for one in asked}
        for _ in range(self.settings.retries + 1):
            failed: dict[str, str] = {}
            under_way = self._under_way(left)
            fresh = [one for key, one in left.items() if key not in set().union(*under_way.values())]
            most = [bound_tokens(one.messages) for one in fresh]
            room = [one.sampling["max_tokens"] for one in fresh]
            with self.budget.reserved(sum(most), sum(room), len(fresh), LASTS_S, self.settings.batch_price) as paid:
                for lines in _cut([(one.key, self._line(one)) for one in fresh]):
                    if not paid.sent:
                        paid.keep()
                    under_way[self._submit(lines)] = set(lines)
                taken = [0, 0]
                own = {one.key: (tokens, limit) for one, tokens, limit in zip(fresh, most, room, strict=True)}
                for batch, keys in under_way.items():
                    for key, reply in self._collected(batch, keys, failed):
                        if key in own:
                            counted = reply.input_tokens, reply.output_tokens
                            for at in (0, 1):
                                taken[at] += own[key][at] if counted[at] is None else counted[at] or 0
                        yield key, reply, None
                paid.settle(*taken)
            if not failed:
                return
            self.counts["failed"] += len(failed)
            left = {key: left[key] for key in failed}
            reason, number = Counter(failed.values()).most_common(1)[0]
            say(f"{len(failed)} questions of the batch have no answer ({number}: {reason})")
        raise StepError(
            f"{len(left)} questions have no answer after {self.settings.retries + 1} batches: {reason}",
            mend=f"run the command again: the answers so far are kept in {self.store.path}",
        )

    def _under_way(self, asked: Iterable[str]) -> dict[str, set[str]]:
        """Return the batches that an earlier run made of some of the questions: batch -> keys."""
        known = self.store.batched(list(asked))
        names = {mark: name or self._lost(mark) for mark, name in set(known.values())}
        found: dict[str, set[str]] = {}
        for key, (mark, _) in known.items():
            if (batch := names[mark]) is not None:
                found.setdefault(batch, set()).add(key)
        for batch, keys in found.items():
            say(f"batch {batch}: made by an earlier run for {len(keys)} of the questions, and paid; it is awaited")
        return found

    def _lost(self, mark: str) -> str | None:
        """Return the name of a batch whose maker was killed before it had been noted; None if it was not made."""
        if (batch := self._patiently(self.endpoint.batch_of, mark)) is not None:
            self.store.name_batch(mark, batch)
        return batch

    def _line(self, one: Asked) -> bytes:
        line = {"custom_id": one.key, "method": "POST", "url": "/v1/chat/completions", "body": self.body(one)}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def _submit(self, lines: dict[str, bytes]) -> str:
        """Make a batch of some lines; return its name."""
        file = self._patiently(self.endpoint.upload, b"".join(lines.values()))
        mark = secrets.token_hex(8)
        self.store.put_batch(mark, list(lines))

        tried = False

        def made() -> str:
            nonlocal tried
            if tried and (batch := self.endpoint.batch_of(mark)) is not None:  # it was made, and the reply was lost
                return batch
            tried = True
            return self.endpoint.make_batch(file, mark)

        try:
            batch = self._patiently(made)
        except MdrbenchError:
            self.store.drop_batched(list(lines))
            raise
        self.store.name_batch(mark, batch)
        say(f"batch {batch}: {len(lines)} questions; it goes on if this command is stopped, and is awaited by the next")
        return batch

    def _collected(self, batch: str, keys: set[str], failed: dict[str, str]) -> Iterator[tuple[str, Reply]]:
        """Wait for a batch; yield its answers to the questions, and put those without one into ``failed``."""
        ended = self._ended(batch)
        refusal: MdrbenchError | None = None
        missing = dict.fromkeys(keys, "it is not in the batch's files")
        for file in filter(None, (ended.output_file_id, ended.error_file_id)) if ended else ():
            for key, outcome in self._patiently(self._outcomes, file, keys):
                if isinstance(outcome, Reply):
                    missing.pop(key, None)
                    yield key, outcome
                elif isinstance(outcome, MdrbenchError):
                    refusal = outcome
                elif key in missing:
                    missing[key] = outcome
        self.store.drop_batched(list(keys))
        if ended is not None and ended.status == "failed":
            raise self.endpoint.batch_refused(batch, ended)
        if ended is not None and ended.status == "cancelled":
            raise StepError(
                f"batch {batch} was cancelled; {len(keys) - len(missing)} of {len(keys)} questions were answered",
                mend="run the command again to ask the others; the answers so far are kept and paid",
            )
        if refusal is not None:
            raise refusal
        failed |= missing

    def _ended(self, batch: str) -> Any:
        """Wait until a batch has ended; return it, None if the endpoint does not know it any more."""
        told = ""
        while True:
            found = self._patiently(self.endpoint.batch, batch)
            if found is None:
                say(f"batch {batch}: the endpoint does not know it any more")
                return None
            if (status := str(found.status)) != told:
                counts = found.request_counts
                done = f", {counts.completed} of {counts.total} answered" if counts is not None and counts.total else ""
                say(f"batch {batch}: {status}{done}")
                told = status
            if status in ENDED:
                return found
            time.sleep(POLL_S)

    def _outcomes(self, file: str, keys: set[str]) -> list[tuple[str, Reply | MdrbenchError | str]]:
        return list(self.endpoint.outcomes(file, keys))

    def _patiently(self, call: Callable[..., Found], *arguments: Any) -> Found:
        """Make a call until it works, at most ``retries`` times more."""
        for repetition in range(self.settings.retries + 1):
            try:
                return call(*arguments)
            except Failed as error:
                if repetition == self.settings.retries:
                    raise StepError(
                        f"{self.endpoint.url} failed {repetition + 1} times in a row: {error}",
                        mend="run the command again when it works; batches that were made are awaited then",
                    ) from None
                wait = min(60.0, self.settings.backoff_s * 2**repetition)
                time.sleep(wait if error.wait is None else error.wait)
        raise AssertionError("the last repetition gives up")


def _cut(lines: list[tuple[str, bytes]]) -> Iterator[dict[str, bytes]]:
    """Cut lines into files that a batch can take."""
    part: dict[str, bytes] = {}
    size = 0
    for key, line in lines:
        if part and (len(part) == MOST_REQUESTS or size + len(line) > MOST_BYTES):
            yield part
            part, size = {}, 0
        part[key] = line
        size += len(line)
    if part:
        yield part
