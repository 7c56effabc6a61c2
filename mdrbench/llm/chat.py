"""Ask a language model many questions in order, within a budget; keep every answer in a store.

:meth:`Chat.each` runs a function over items on as many threads as requests may be under way and hands its results back
in order. The function asks one question or several, one after the other; each is looked up in the store first, and its
answer is in the store before anybody sees it. Interrupted or failed, the requests under way are waited for, because
they are paid for.
"""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mdrbench.core.console import say
from mdrbench.core.errors import SetupError, StepError
from mdrbench.core.languages import language
from mdrbench.core.store import canonical, key_of
from mdrbench.llm.answers import Answer, Identity, default_path
from mdrbench.llm.batches import Batches
from mdrbench.llm.completions import Endpoint, Failed, Refused, TimedOut
from mdrbench.llm.local import Asked, LocalModel
from mdrbench.llm.owner import open_answers
from mdrbench.llm.pace import Pace
from mdrbench.llm.replies import Reply
from mdrbench.llm.settings import Settings
from mdrbench.llm.spending import Budget, Estimate, bound_tokens, estimate_tokens

LONGEST_WAIT_S = 60.0  # between repetitions, if the endpoint names no time

LONGEST_RETRY_AFTER_S = 600.0

TOP_LOGPROBS = 20  # the most that endpoints give

AHEAD = 4  # items begun for each thread, so that one slow answer does not stop the others

Item = TypeVar("Item")
Result = TypeVar("Result")


class Question(NamedTuple):
    """One request.

    Attributes:
        kind, version: which prompt; part of the key.
        about: readable columns of the store (lang, qid, docid, reference, query).
        vote, attempt: which answer to the prompt is wanted; part of the key, and of the seed.
        max_tokens: of the answer; None: as the settings say.
        logprobs: whether the log probabilities of tokens are asked for.
    """

    kind: str
    version: str
    messages: list[dict[str, str]]
    about: Mapping[str, str | None]
    response_format: dict[str, Any] | None = None
    vote: int = 0
    attempt: int = 0
    max_tokens: int | None = None
    logprobs: bool = False


Read = Callable[[Answer], Any]
"""Reads an answer; None if it is unreadable."""


def language_name(lang: str) -> str:
    """Return the English name of a language code."""
    return language(lang).name


def without_thinking(text: str) -> str:
    """Return the text after a model's reasoning.

    ``<think>`` blocks are removed, and everything before a closing tag whose opening tag is part of the chat template.
    Nothing is left if the reasoning never ends.
    """
    text = re.sub(r"<think(?:ing)?>.*?</think(?:ing)?>", "", text, flags=re.DOTALL)
    text = re.split(r"</think(?:ing)?>", text)[-1]
    return re.split(r"<think(?:ing)?>", text)[0].strip()


class Wanted(Exception):
    """A question is to be asked together with others."""


class Stopped(Exception):
    """Another thread failed, or the user interrupted."""


class Chat:
    """Ask a model; look every question up in the store first."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.answers = open_answers(Path(settings.store).expanduser() if settings.store else default_path())
        self.endpoint = Endpoint(settings.base_url, settings.api_key_env, settings.timeout_s, settings.model)
        self.local = LocalModel(settings) if settings.runs_here else None
        name = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()  # equal settings share their limits
        limits = (settings.max_requests, settings.max_cost)
        self.budget = Budget(self.answers, name, *limits, settings.prices, settings.timeout_s)
        self.counts: Counter[str] = Counter()
        self.batches = Batches(settings, self.endpoint, self.answers, self.budget, self._body, self.counts)
        self.served: Counter[str] = Counter()
        self.fingerprints: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._under_way: dict[str, Future[Answer]] = {}
        self.pace = Pace(settings.concurrency, settings.timeout_s)
        self._meant: Identity | None = None
        self.servers: set[str] = set()
        self._stop = threading.Event()
        self._not_before = 0.0
        self._wanted: dict[str, tuple[Question, Read]] | None = None
        self._told: set[str] = set()
        self._cause: BaseException | None = None

    def prepare(self, tell: Callable[[str], None], instead: str = "") -> None:
        """Open the store and try the endpoint; a SetupError if one of them does not work.

        Args:
            instead: alternatives that need no endpoint, named in the error.
        """
        try:
            if self.local is not None:
                self.local.prepare(tell)
            self._identity()
            if self.settings.check_model and not self.settings.offline and self.local is None:
                with closing(self.endpoint):
                    self.endpoint.check(tell)
        except SetupError as error:
            mend = "; ".join(filter(None, [error.mend, instead]))
            raise SetupError(error.message, where=error.where, mend=mend) from None

    def conventions(self) -> dict[str, Any]:
        """Return the settings that affect the answers."""
        names = ("model", "temperature", "top_p", "max_tokens", "seed", "extra", "passage_chars", "reasks")
        served = ("served",) if self.settings.served else ()
        own = self.local.conventions() if self.local else {}
        return {**self.settings.model_dump(mode="json", include={*names, *served}), **own}

    @property
    def model(self) -> str:
        """The model's name in the store of answers."""
        return self.local.name if self.local else self.settings.model

    # -- one question -----------------------------------------------------------------------------------------------

    def sampling(self, question: Question) -> dict[str, Any]:
        """Return the fields that are sent beside model and messages; every answer to a prompt has its own seed."""
        settings = self.settings
        seed = None if settings.seed is None else settings.seed + 1000 * question.vote + question.attempt
        sent = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": question.max_tokens or settings.max_tokens,
            "seed": seed,
            "response_format": question.response_format,
            **({"logprobs": True, "top_logprobs": TOP_LOGPROBS} if question.logprobs else {}),
            "extra": settings.extra or None,
        }
        return {name: value for name, value in sent.items() if value is not None}

    def key(self, question: Question, by: str | None = None) -> str:
        """Return the SHA-256 of everything that is asked; the endpoint's address is not part of it.

        Args:
            by: who answers, if the answer of somebody else has the key without it.
        """
        asked = {
            "model": self.model,
            "prompt": [question.kind, question.version],
            "sampling": self.sampling(question),
            "messages": question.messages,
            "answer": [question.vote, question.attempt],
        }
        return key_of(asked if by is None else {**asked, "served": by})

    def stored(self, question: Question) -> Answer | None:
        """Return the stored answer by the model that is meant; None if there is none."""
        meant = self._identity()
        answer = self.answers.get(self.key(question))
        if answer is not None and not self._is_other(answer.identity, meant):
            return answer
        return self.answers.get(self.key(question, self.settings.served)) if self.settings.served else None

    def _is_other(self, found: Identity, meant: Identity | None) -> bool:
        """Whether it is certain that somebody else answered than who is meant."""
        if self.settings.served is not None:
            return found.served is not None and not found.is_called(self.settings.served)
        return meant is not None and found.differs(meant)

    # -- who answers ------------------------------------------------------------------------------------------------

    def _identity(self) -> Identity | None:
        """Who is meant: whom ``served`` names, else who gave the stored answers; None if nobody has answered yet.

        Raises:
            StepError: the stored answers are of several models, and ``served`` names none of them.
        """
        with self._guard:
            if self._meant is None:
                self._meant = self._stored_identity()
            return self._meant

    def _stored_identity(self) -> Identity | None:
        known = self.answers.identities(self.model)
        if self.settings.served is not None:
            wanted = self.settings.served
            return next((one for one in known if one.is_called(wanted)), Identity(wanted, None))
        for other in known[1:]:
            if other.differs(known[0]):
                raise self._several(known[0], other)
        whole = [one for one in known if None not in one]
        return next(iter(whole or known), None)

    def _several(self, stored: Identity, other: Identity) -> StepError:
        return StepError(
            f"'{self.model}' was answered by two models: {stored.label}, and {other.label}",
            where=str(self.answers.path),
            mend=f"say whose answers you mean: served: '{stored.label}' or served: '{other.label}'; both are kept",
        )

    def _noticed(self, reply: Reply) -> Identity:
        """Count who answered, and say what is new about it."""
        listed = self.endpoint.listed if self.settings.check_model and self.local is None else None
        found = Identity(reply.served, canonical(listed.facts) if listed and listed.facts else None)
        with self._guard:
            first = not self.served
            self.served[found.label] += 1
            new = reply.fingerprint and reply.fingerprint not in self.fingerprints
            if reply.fingerprint:
                self.fingerprints[reply.fingerprint] += 1
        if first and reply.served not in (None, self.model, self.endpoint.request_model):
            say(f"{self.model}: the endpoint says that {found.label} answers")
        if new and (before := self.answers.fingerprints(self.model) - {reply.fingerprint}):
            earlier = ", ".join(sorted(filter(None, before)))
            say(f"{self.model}: system_fingerprint {reply.fingerprint} is new; before: {earlier}")
        return found

    def ask(self, question: Question, read: Read) -> Answer:
        """Return the answer to a question, stored or bought. Call it in a function that :meth:`each` runs.

        If another thread is asking the same question, its answer is awaited and not asked for twice.

        Raises:
            Wanted: questions are collected to be asked together, and this is one of them.
        """
        key = self.key(question)
        if self._wanted is not None:
            return self._stored_or_wanted(key, question, read)
        with self._guard:
            other = self._under_way.get(key)
            if other is None:
                mine = self._under_way[key] = Future()
        if other is not None:
            answer = other.result()
            self._count_stored(answer)
            return answer
        try:
            answer = self._look_up_or_buy(key, question, read)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(answer)
            return answer
        finally:
            with self._guard:
                del self._under_way[key]

    def _stored_or_wanted(self, key: str, question: Question, read: Read) -> Answer:
        """Return a stored answer, counted once; else note the question."""
        assert self._wanted is not None
        if (answer := self.stored(question)) is None:
            self._refuse_if_offline(question)
            self._wanted[key] = question, read
            raise Wanted
        if key not in self._told:
            self._told.add(key)
            self._count_stored(answer)
        return answer

    def _refuse_if_offline(self, question: Question) -> None:
        if self.settings.offline:
            raise StepError(
                f"the store has no answer about {question.about} from '{self.model}'",
                where=str(self.answers.path),
                mend="set offline: false to ask for it",
            )

    def _look_up_or_buy(self, key: str, question: Question, read: Read) -> Answer:
        if (answer := self.stored(question)) is not None:
            self._count_stored(answer)
            return answer
        self._refuse_if_offline(question)
        return self._keep(key, question, read, *self._buy(question))

    def _keep(self, key: str, question: Question, read: Read, reply: Reply, seconds: float | None) -> Answer:
        """Store a new answer, under a key of its own if it is certain that another model gave it."""
        found, meant = self._noticed(reply), self._identity()
        is_other = self._is_other(found, meant)
        if is_other:
            key = self.key(question, found.label)  # paid for, but not to be mixed with the others
        elif self.answers.get(key) is not None:  # another model's answer has the key
            key = self.key(question, self.settings.served)
        answer = self._answer(key, question, reply, found)._replace(seconds=seconds and round(seconds, 3))
        parsed = read(answer)
        answer = self.answers.put(answer._replace(parsed=None if parsed is None else canonical(parsed)))
        if is_other:
            assert meant is not None
            raise self._several(meant, found)
        with self._guard:
            if self._meant is None or None in self._meant:
                self._meant = found if self.settings.served is None else self._meant
        return answer

    def _answer(self, key: str, question: Question, reply: Reply, by: Identity) -> Answer:
        about = dict(question.about)
        query = about.pop("query", None)
        counted = reply.input_tokens is not None and reply.output_tokens is not None
        if reply.input_tokens is not None and reply.output_tokens is not None:
            tokens = reply.input_tokens, reply.output_tokens
        else:
            tokens = estimate_tokens(question.messages), estimate_tokens([{"content": reply.text}])
        with self._guard:
            self.counts.update(requests=1, input_tokens=tokens[0], output_tokens=tokens[1], uncounted=int(not counted))
        columns: dict[str, Any] = {name: about.get(name) for name in ("lang", "qid", "docid", "reference")}
        return Answer(
            key=key,
            model=self.model,
            kind=question.kind,
            version=question.version,
            sampling=canonical(self.sampling(question)),
            vote=question.vote,
            attempt=question.attempt,
            **columns,
            query_sha256=hashlib.sha256(query.encode()).hexdigest() if query is not None else None,
            text=reply.text,
            finish=reply.finish,
            parsed=None,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            counted=int(counted),
            served=by.served,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            facts=by.facts,
            fingerprint=reply.fingerprint,
            server=self.endpoint.server,
            logprobs=canonical(reply.logprobs) if reply.logprobs else None,
        )

    def _count_stored(self, answer: Answer) -> None:
        with self._guard:
            self.served[answer.identity.label] += 1
            if answer.fingerprint:
                self.fingerprints[answer.fingerprint] += 1
            if answer.server:
                self.servers.add(answer.server)
            self.counts.update(
                stored=1, stored_input_tokens=answer.input_tokens, stored_output_tokens=answer.output_tokens
            )

    def estimate(
        self, missing: list[int], stored: int, kind: str, version: str, sampling: dict[str, Any], guess: int
    ) -> Estimate:
        """Estimate what questions without a stored answer would take.

        Args:
            missing: estimated input tokens of each.
            stored: questions with a stored answer.
            sampling: how they are asked; the output tokens and seconds are the means of stored answers asked so.
            guess: output tokens of an answer if none is stored.
        """
        means = self.answers.means(self.model, kind, version, canonical(sampling))
        output = round(len(missing) * (means.output_tokens or min(guess, sampling["max_tokens"])))
        prices = self.settings.prices
        in_batch = self.settings.batch_from is not None and len(missing) >= self.settings.batch_from
        share = self.settings.batch_price if in_batch else 1.0
        cost = share * prices.of(sum(missing), output) if prices else None
        at_once = 1 if self.local else self.settings.concurrency  # a share of a batch's time is stored
        seconds = None if means.seconds is None else len(missing) * means.seconds / at_once
        return Estimate(len(missing), stored, sum(missing), output, cost, seconds)

    # -- paying -----------------------------------------------------------------------------------------------------

    def _buy(self, question: Question) -> tuple[Reply, float]:
        """Send a request until it is answered, within budget and repetitions; return the answer and its seconds."""
        sampling = self.sampling(question)
        if self.settings.check_model:
            self.endpoint.look_up()
        body = self._body(Asked("", question.messages, {**sampling, "extra": {}}))
        body["extra_body"] = sampling.get("extra", {})
        most = bound_tokens(question.messages), sampling["max_tokens"]
        for repetition in range(self.settings.retries + 1):
            self._wait()
            with self.pace.slot(self._stop.is_set), self.budget.reserved(*most) as reservation:
                if self._stop.is_set():
                    raise Stopped
                begun = time.monotonic()
                try:
                    reply = self.endpoint.complete(body, self.pace.timeout_s)
                except Refused as error:
                    failure: Failed = error
                except Failed as error:  # it may have been charged
                    reservation.keep()
                    failure = error
                else:
                    reservation.settle(reply.input_tokens, reply.output_tokens)
                    seconds = time.monotonic() - begun
                    self.pace.answered(seconds)
                    return reply, seconds
            if isinstance(failure, Refused | TimedOut):
                self.pace.overloaded(timed_out=isinstance(failure, TimedOut))
            self._back_off(repetition, failure)
        raise AssertionError("the last repetition gives up")

    def _body(self, asked: Asked) -> dict[str, Any]:
        """Return the body of a request."""
        sampling = dict(asked.sampling)
        extra, limit = sampling.pop("extra", {}), sampling.pop("max_tokens")
        length = {self.settings.length_parameter: limit}
        return {"model": self.endpoint.request_model, "messages": asked.messages, **sampling, **length, **extra}

    def _back_off(self, repetition: int, failure: Failed) -> None:
        """Wait before the next repetition (all threads if the endpoint is too busy), or give up."""
        with self._guard:
            self.counts.update(failed=1, refused=int(isinstance(failure, Refused)))
        if repetition == self.settings.retries:
            raise StepError(
                f"{self.endpoint.url} failed {repetition + 1} times in a row: {failure}",
                mend=f"run the command again when it works: the answers so far are kept in {self.answers.path}",
            )
        own = min(LONGEST_WAIT_S, self.settings.backoff_s * 2**repetition) * random.uniform(0.5, 1)
        wait = own if failure.wait is None else failure.wait
        if wait > LONGEST_RETRY_AFTER_S:
            raise StepError(
                f"{self.endpoint.url} asks to wait {wait:.0f} s: {failure}",
                mend=f"run the command again after that: the answers so far are kept in {self.answers.path}",
            )
        if isinstance(failure, Refused) or failure.wait is not None:
            with self._guard:
                self._not_before = max(self._not_before, time.monotonic() + wait)
        else:
            self._stop.wait(wait)

    def _wait(self) -> None:
        """Wait until a request may be sent."""
        while not self._stop.is_set() and (delay := self._not_before - time.monotonic()) > 0:
            self._stop.wait(delay)
        if self._stop.is_set():
            raise Stopped

    # -- many questions ---------------------------------------------------------------------------------------------

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        """Yield results of ``work`` in the order of the items; memory holds a few for each thread.

        The first failure stops the rest: nothing more is sent, answers under way are awaited and stored, then the
        failure is raised. A model in this process is asked all questions of some items together, and a batch those of
        all items.
        """
        if self.local is not None or self.settings.batch_from is not None:
            yield from self._each_together(work, items, self.local.items if self.local else None)
        else:
            yield from self._each_in_threads(work, items)

    def _each_in_threads(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
        self._stop.clear()
        self._cause = None
        threads = self.settings.concurrency
        pool = ThreadPoolExecutor(threads, thread_name_prefix="chat")
        stream = iter(items)
        first = islice(stream, threads * AHEAD)
        waiting: deque[Future[Result]] = deque(pool.submit(self._run, work, item) for item in first)
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(self._run, work, item) for item in islice(stream, 1))
                yield result
        except Stopped:
            raise self._cause or AssertionError("a thread stopped without a cause") from None
        finally:
            self._stop.set()
            if self._under_way:
                say("waiting for the answers under way, which are paid for")
            try:
                pool.shutdown(wait=True, cancel_futures=True)
            finally:
                self.endpoint.close()
                self.answers.close()

    def _each_together(
        self, work: Callable[[Item], Result], items: Iterable[Item], number: int | None
    ) -> Generator[Result]:
        """Run ``work`` over some items; ask what it wanted to know, and run it again until it knows all."""
        stream = iter(items)
        try:
            while some := list(islice(stream, number)):
                results: dict[int, Result] = {}
                while len(results) < len(some):
                    wanted: dict[str, tuple[Question, Read]] = {}
                    self._wanted = wanted
                    for at in range(len(some)):
                        if at not in results:
                            with suppress(Wanted):
                                results[at] = work(some[at])
                    self._wanted = None
                    self._ask_together(wanted)
                yield from (results[at] for at in range(len(some)))
        finally:
            self._wanted = None
            self.endpoint.close()
            self.answers.close()

    def _ask_together(self, wanted: dict[str, tuple[Question, Read]]) -> None:
        """Ask the model in this process, or in a batch; questions that are too few for one are asked one by one."""
        self._told |= wanted.keys()
        few = self.local is None and len(wanted) < (self.settings.batch_from or 0)
        if few and not self.answers.batched(list(wanted)):
            for _ in self._each_in_threads(lambda key: self._look_up_or_buy(key, *wanted[key]), wanted):
                pass
            return
        asked = [Asked(key, question.messages, self.sampling(question)) for key, (question, _) in wanted.items()]
        if self.local is None and self.settings.check_model:
            self.endpoint.look_up()
        before = Counter(self.counts)
        for key, reply, seconds in (self.local or self.batches).answers(asked) if asked else ():
            self._keep(key, *wanted[key], reply, seconds)
        if self.local is None:
            taken = {f"batch_{name}": self.counts[name] - before[name] for name in ("input_tokens", "output_tokens")}
            self.counts.update(taken)

    def _run(self, work: Callable[[Item], Result], item: Item) -> Result:
        if self._stop.is_set():
            raise Stopped
        try:
            return work(item)
        except Stopped:
            raise
        except BaseException as error:
            with self._guard:
                self._cause = self._cause or error
            self._stop.set()
            raise

    def facts(self) -> dict[str, Any]:
        """Return counts so far: requests answered and paid, answers found in the store, tokens and cost of both.

        ``failed`` requests were sent again; ``refused`` are those of them that the endpoint was too busy for.
        ``uncounted`` answers came without a token count, so theirs is estimated. Costs are None if no prices are set.
        ``served`` counts answers by the model that the endpoint named in them, with what its list of models says of
        it; ``fingerprints`` by their ``system_fingerprint``. ``servers`` names the servers' software. A model in this
        process tells its device and precision.
        """
        names = ("requests", "stored", "failed", "refused", "uncounted", "input_tokens", "output_tokens")
        facts: dict[str, Any] = {name: self.counts[name] for name in names}
        old = {name: self.counts[f"stored_{name}"] for name in ("input_tokens", "output_tokens")}
        prices = self.settings.prices
        cheaper = [self.counts[f"batch_{name}"] for name in ("input_tokens", "output_tokens")]
        saved = (1 - self.settings.batch_price) * prices.of(*cheaper) if prices and any(cheaper) else 0.0
        facts["cost"] = prices.of(facts["input_tokens"], facts["output_tokens"]) - saved if prices else None
        facts["stored_cost"] = prices.of(**old) if prices else None
        return {
            **facts,
            **{f"stored_{name}": count for name, count in old.items()},
            "served": dict(sorted(self.served.items())),
            "fingerprints": dict(sorted(self.fingerprints.items())),
            "fewest_at_once": self.pace.lowest,
            "servers": sorted({*self.servers, *filter(None, [self.endpoint.server])}),
            **(self.local.facts() if self.local else {}),
        }
