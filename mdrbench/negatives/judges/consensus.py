"""Teachers who must agree: encoders, each with cut-offs of its own for each language.

Encoders' cosines differ from language to language, so one cut-off for all removes much in one language and nothing in
another. A passage gets the lowest of the grades that the teachers give it: it is a false negative only if all of them
say so (the cascade of Thakur et al. 2025, "Hard Negatives, Hard Lessons", has this idea with language models).

Cut-offs are cosines. Calibrate them on what is known: the quantiles of a language's cosines between training queries
and their positives (``benchmarks/judge_thresholds.py`` prints them). At a low cut-off of the quantile 0.25, the teacher
would find three quarters of the known positives, in every language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from mdrbench.core.errors import UsageError
from mdrbench.core.members import EncoderMember, MemberConfig, Spec
from mdrbench.core.types import Judgment, Pair
from mdrbench.negatives.judges import Estimate
from mdrbench.negatives.judges._local import FREE, Band, Tally, grade
from mdrbench.negatives.judges.bi_encoder import BiEncoderJudge
from mdrbench.negatives.judges.bi_encoder import Config as BiEncoderConfig


class Teacher(MemberConfig):
    """An encoder and its cut-offs: language -> [low, high], as cosines."""

    encoder: EncoderMember
    cutoffs: dict[str, Band] = Field(min_length=1)


class Config(MemberConfig):
    """The teachers by label."""

    teachers: dict[str, Teacher] = Field(min_length=1)
    title_separator: str = Field(default=" ", description="what joins title and text")


class Consensus:
    """See :class:`mdrbench.negatives.judges.Judge`."""

    spec = Spec(Config, version=1)
    reference: Literal["ignored"] = "ignored"

    def __init__(self, config: Config):
        self.config = config
        self._tally = Tally()
        self._agreed = 0

    @cached_property
    def judges(self) -> dict[str, BiEncoderJudge]:
        """A bi-encoder judge for each teacher."""
        return {
            label: BiEncoderJudge(
                BiEncoderConfig(
                    encoder=teacher.encoder,
                    relative_to_reference=False,
                    cutoffs=(0.0, 0.0),
                    title_separator=self.config.title_separator,
                )
            )
            for label, teacher in self.config.teachers.items()
        }

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the models that are not on this machine."""
        for judge in self.judges.values():
            judge.prepare(say)

    def conventions(self) -> dict[str, Any]:
        """Return the teachers' conventions and cut-offs, and how title and text are joined."""
        return {
            "judge": "consensus",
            "title_separator": self.config.title_separator,
            "teachers": {
                label: {"encoder": judge.encoder.conventions(), "cutoffs": self._cutoffs(label)}
                for label, judge in self.judges.items()
            },
        }

    def _cutoffs(self, label: str) -> dict[str, list[float]]:
        return {lang: list(pair) for lang, pair in self.config.teachers[label].cutoffs.items()}

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Nothing is asked of an endpoint."""
        return FREE

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """Encode all texts at once for each teacher, then yield the lowest grade of each pair.

        Raises:
            UsageError: a teacher has no cut-offs for a language.
        """
        if not pairs:
            return
        for label, teacher in self.config.teachers.items():
            if lacking := sorted({pair.lang for pair in pairs} - teacher.cutoffs.keys()):
                raise UsageError(
                    f"the teacher '{label}' has no cut-offs for '{lacking[0]}'",
                    where=f"negatives.judge.teachers.{label}.cutoffs",
                    mend="add them: quantiles of the cosines of known positives",
                )
        found = []
        for at, (label, judge) in enumerate(self.judges.items()):
            scores, _ = judge.cosines(pairs, _part(progress, at * len(pairs), len(self.judges)))
            cutoffs = self.config.teachers[label].cutoffs
            scored = zip(pairs, scores.tolist(), strict=True)
            found.append([grade(score, *cutoffs[pair.lang]) for pair, score in scored])
        for pair, *grades in zip(pairs, *found, strict=True):
            self._agreed += len(set(grades)) == 1
            known = [one for one in grades if one is not None]
            verdict = min(known) if len(known) == len(grades) else None
            yield self._tally.verdict(pair, verdict, verdict)
        progress(len(pairs))

    def facts(self) -> dict[str, Any]:
        """Return pairs judged by grade, and how many pairs all teachers gave the same grade."""
        return {**self._tally.facts(), "agreed": self._agreed}


def _part(progress: Callable[[int], None], before: int, parts: int) -> Callable[[int], None]:
    """Return the progress of one of several equal parts."""
    return lambda done: progress((before + done) // parts)
