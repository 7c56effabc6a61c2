"""Try what an endpoint can do, with one or two requests, before it is asked thousands of times.

Nothing is changed by what is found: a setting that cannot work stops the run and is named, one that will work badly is
named in a note. So a step's key needs no endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

from mdrbench.core.errors import SetupError
from mdrbench.core.store import canonical
from mdrbench.llm.answers import Answer
from mdrbench.llm.chat import Chat, Question
from mdrbench.llm.spending import estimate_tokens

Formats = dict[str, dict[str, Any] | None]
"""Setting -> the ``response_format`` that is sent."""

GREETING = "Say hello."
"""Asked with a ``response_format``: a server that honours it answers in JSON all the same."""


def probe(
    chat: Chat, question: Question, is_readable: Callable[[Answer], bool], formats: Formats, tell: Callable[[str], None]
) -> None:
    """Ask one question as a judge or generator would; nothing if the store has answers to questions asked so.

    Args:
        question: with the ``response_format`` that the recipe sets.
        formats: forms of an answer to try if the recipe's own gives no readable answer, best first.
        tell: gets the notes.

    Raises:
        SetupError: the endpoint refuses the request, or another setting works and this one does not.
        StepError: the endpoint fails.
    """
    sampling = canonical(chat.sampling(question))
    if chat.answers.means(chat.settings.model, question.kind, question.version, sampling).output_tokens is not None:
        return
    answer = _ask(chat, question, is_readable)
    if not is_readable(answer):
        _explain(chat, question, answer, is_readable, formats, tell)
    elif question.response_format is not None:
        _tell_if_ignored(chat, question, tell)
    _tell_of_time(chat, answer, tell)
    _tell_of_context(chat, question, tell)


def _ask(chat: Chat, question: Question, is_readable: Callable[[Answer], bool]) -> Answer:
    def read(answer: Answer) -> dict[str, bool] | None:
        return {"probe": True} if is_readable(answer) else None

    with closing(chat.each(lambda one: chat.ask(one, read), [question])) as answers:
        return next(answers)


def _explain(
    chat: Chat,
    question: Question,
    answer: Answer,
    is_readable: Callable[[Answer], bool],
    formats: Formats,
    tell: Callable[[str], None],
) -> None:
    """Find out why an answer is unreadable; raise if a setting mends it, else say so."""
    if question.logprobs and not answer.logprobs:
        raise SetupError(
            f"{chat.endpoint.url} gives no log probabilities",
            mend="set answer: grades, or use a server that gives log probabilities",
        )
    said = f"{answer.text[:200]!r}, finish {answer.finish}"
    if answer.finish == "length":
        raise SetupError(
            f"'{chat.settings.model}' had not finished after {question.max_tokens or chat.settings.max_tokens} tokens: "
            f"{said}",
            mend="raise max_tokens, or switch off its reasoning with extra (docs/judging.md)",
        )
    for name, form in formats.items():
        if form != question.response_format and is_readable(
            _ask(chat, question._replace(response_format=form), is_readable)
        ):
            raise SetupError(
                f"'{chat.settings.model}' gives no readable answer in the form that is asked for: {said}",
                mend=f"set response_format: {name}, which works here",
            )
    tell(f"{chat.settings.model}: the answer to a simple question is unreadable in every form: {said}")


def _tell_if_ignored(chat: Chat, question: Question, tell: Callable[[str], None]) -> None:
    greeting = question._replace(kind="probe", messages=[{"role": "user", "content": GREETING}], about={})
    answer = _ask(chat, greeting, lambda answer: True)
    try:
        is_json = isinstance(json.loads(answer.text), dict)
    except ValueError:
        is_json = False
    if not is_json and answer.finish != "length":
        kind = (question.response_format or {}).get("type")
        tell(f"{chat.endpoint.url} ignores response_format {kind}; answers may be unreadable (response_format: text)")


def _tell_of_time(chat: Chat, answer: Answer, tell: Callable[[str], None]) -> None:
    seconds, settings = answer.seconds, chat.settings
    if seconds is not None and seconds * settings.concurrency > settings.timeout_s:
        tell(
            f"{settings.model}: one answer took {seconds:.0f} s; if the server answers one at a time, "
            f"{settings.concurrency} at once take longer than timeout_s ({settings.timeout_s:g}). Lower concurrency or "
            "raise timeout_s; otherwise the requests at once are halved when they time out"
        )


def _tell_of_context(chat: Chat, question: Question, tell: Callable[[str], None]) -> None:
    listed = chat.endpoint.listed
    if listed is None or listed.context is None:
        return
    longest = chat.settings.passage_chars * "あ"
    shown = 2 * estimate_tokens([{"content": longest}]) + estimate_tokens(question.messages)
    needed = shown + (question.max_tokens or chat.settings.max_tokens)
    if needed > listed.context:
        tell(
            f"{chat.settings.model}: the context has {listed.context} tokens; two passages of passage_chars "
            f"({chat.settings.passage_chars}) may take {needed}. Pairs that do not fit are shortened and counted"
        )
