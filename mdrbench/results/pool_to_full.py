"""Predict a full-corpus figure from a figure on the pool of hard negatives, with its error.

For each language a straight line from pool to full corpus is fitted to the encoders that have both figures (nDCG@10).
Only pool figures of :data:`FLOOR` or more are used: below, encoders of other languages behave differently. The
calibration is validated by leaving out all models of an organisation at a time, since models of one family are alike.
A pool figure outside the fitted range of its language is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import Field

from mdrbench import results
from mdrbench.core.errors import DataError, UsageError, did_you_mean
from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.results import mteb_tables
from mdrbench.results.stored import SealedModel, StrictModel, read_stored

PATH = Path(results.PUBLISHED, "mteb", "calibration", "pool-to-full.json")
"""Where the calibration lies below a results folder."""

FLOOR = 0.3
CONFIDENCE = 0.95
FEWEST = 8
"""Models that a language needs for a line."""


class Point(NamedTuple):
    """One model's figures in one language."""

    model: str
    lang: str
    pool: float
    full: float

    @property
    def organisation(self) -> str:
        """The part of the model's name before the slash."""
        return self.model.partition("/")[0]


class Line(StrictModel):
    """full = intercept + slope * pool, in one language, with what its prediction interval needs."""

    intercept: float
    slope: float
    low: float = Field(description="smallest pool figure that was fitted")
    high: float = Field(description="largest pool figure that was fitted")
    models: int
    mean: float = Field(description="mean of the pool figures")
    spread: float = Field(description="sum of the squared distances of the pool figures from their mean")
    deviation: float = Field(description="residual standard deviation, with models - 2 degrees of freedom")
    t: float = Field(description="two-sided quantile of Student's t")

    def predict(self, pool: float) -> Prediction:
        """Return the predicted full-corpus figure with the ends of its prediction interval."""
        value = self.intercept + self.slope * pool
        leverage = 1 + 1 / self.models + (pool - self.mean) ** 2 / self.spread
        half = self.t * self.deviation * sqrt(leverage)
        return Prediction(value, max(0.0, value - half), min(1.0, value + half))


class Prediction(NamedTuple):
    """A predicted figure and the ends of its interval, 0 to 1."""

    value: float
    low: float
    high: float


class Predictions(NamedTuple):
    """Predicted figures by language, why others were refused, and the 16-language average if all 16 were predicted."""

    languages: dict[str, Prediction]
    refused: dict[str, str]
    average: Prediction | None

    def as_json(self) -> dict[str, Any]:
        """Return everything, for scripts; every number is marked as predicted."""
        return {
            "predicted": {lang: prediction._asdict() for lang, prediction in self.languages.items()},
            "refused": self.refused,
            "average_of_16": self.average._asdict() if self.average else None,
        }


class LeftOut(StrictModel):
    """How predictions of organisations that were left out agree with their figures."""

    points: int
    organisations: int
    refused: int = Field(description="points outside the range that the others span")
    error: float = Field(description="root of the mean squared error")
    bias: float = Field(description="mean of predicted minus published")
    coverage: float = Field(description="share of points inside their interval")


class AverageCheck(StrictModel):
    """The 16-language average of a left-out model."""

    model: str
    pool: float
    full: float
    predicted: float


class Calibration(SealedModel):
    """The lines of all languages and their validation."""

    measure: str
    pool: str = Field(description="collection of the pool figures")
    full: str = Field(description="collection of the predicted figures")
    floor: float
    confidence: float
    lines: dict[str, Line]
    validation: dict[str, LeftOut] = Field(description="by language, and `all`")
    averages: list[AverageCheck]
    average_half_width: float = Field(description="half of the interval of a predicted 16-language average")

    def predict(self, lang: str, pool: float) -> Prediction:
        """Predict the full-corpus figure of one language.

        Raises:
            UsageError: the language has no line, or the figure is outside the fitted range.
        """
        line = self.lines.get(lang)
        if line is None:
            raise UsageError(f"no calibration for '{lang}'", mend=did_you_mean(lang, list(self.lines)))
        if not line.low <= pool <= line.high:
            raise UsageError(
                f"{lang} {pool} is outside the fitted range {line.low:.3f} to {line.high:.3f}",
                mend="run the encoder on the full corpus",
            )
        return line.predict(pool)

    def predict_all(self, pools: Mapping[str, float]) -> Predictions:
        """Predict every language that can be predicted, and the 16-language average if all 16 can.

        Raises:
            UsageError: no language can be predicted; it says why.
        """
        predicted: dict[str, Prediction] = {}
        refused: dict[str, UsageError] = {}
        for lang, pool in pools.items():
            try:
                predicted[lang] = self.predict(lang, pool)
            except UsageError as error:
                refused[lang] = error
        if refused and not predicted:
            raise next(iter(refused.values()))
        average = None
        if all(lang in predicted for lang in ALL):
            value = fmean(predicted[lang].value for lang in ALL)
            average = Prediction(value, value - self.average_half_width, value + self.average_half_width)
        reasons = {lang: str(error).partition("\n")[0] for lang, error in refused.items()}
        return Predictions(predicted, reasons, average)


def figures_of(path: Path) -> dict[str, float]:
    """Read nDCG@10 by language from a result file of a pool.

    Raises:
        DataError: no such result, or it is not of a pool of hard negatives.
    """
    result = results.read(path)
    if not result.evaluated.corpus_variant.startswith("hard-negatives"):
        raise DataError(
            "the result is not of a pool of hard negatives",
            where=f"{path}: evaluated.corpus_variant",
            mend="give a result of MIRACLRetrievalHardNegatives",
        )
    scores = {lang: entry.scores.get("nDCG@10") for lang, entry in result.languages.items()}
    return {lang: cell.value for lang, cell in scores.items() if cell}


def published_figures(root: Path, model: str) -> dict[str, float]:
    """Look up a model's nDCG@10 by language on the pool, in mteb's tables.

    Raises:
        UsageError: the tables have no figures of the model on the pool.
    """
    tables = [table for table in mteb_tables.read_tables(root).values() if table.corpus_variant == "hard-negatives"]
    rows = {row.model: (table, row) for table in tables for row in table.rows}
    if model not in rows:
        raise UsageError(f"no figures of '{model}' on the pool", mend=did_you_mean(model, list(rows)))
    table, row = rows[model]
    column = table.measures.index("nDCG@10")
    return {lang: value for lang, scores in row.scores.items() if (value := scores[column]) is not None}


def read(root: Path) -> Calibration:
    """Read the calibration of a results folder.

    Raises:
        DataError: there is none, or it is not of the schema.
    """
    path = root / PATH
    mend = "fit it with `mdrbench pool-to-full --fit`"
    if not path.exists():
        raise DataError("no calibration", where=str(path), mend=mend)
    return read_stored(path, Calibration, again=mend, by_hand=mend)


def fit(points: Iterable[Point], measure: str, pool: str, full: str) -> Calibration:
    """Fit a line for each language and validate it by leaving organisations out.

    Args:
        points: figures of all models; those below :data:`FLOOR` on the pool are not used.

    Raises:
        DataError: no language has :data:`FEWEST` models.
    """
    used = [point for point in points if point.pool >= FLOOR]
    lines = _lines(used)
    if not lines:
        raise DataError(f"no language has {FEWEST} models with both figures", mend="import more results of mteb")
    predicted = _left_out(used)
    averages = _averages(predicted)
    errors = [check.predicted - check.full for check in averages]
    half = _t(len(errors) - 1) * sqrt(fmean(e * e for e in errors) * (1 + 1 / len(errors))) if len(errors) > 2 else 1.0
    languages = [lang for lang in lines if any(point.lang == lang for point, _ in predicted)]
    return Calibration(
        measure=measure,
        pool=pool,
        full=full,
        floor=FLOOR,
        confidence=CONFIDENCE,
        lines=lines,
        validation={
            "all": _agreement(predicted),
            **{lang: _agreement([pair for pair in predicted if pair[0].lang == lang]) for lang in languages},
        },
        averages=averages,
        average_half_width=half,
    )


def _lines(points: list[Point]) -> dict[str, Line]:
    by_language = {lang: [p for p in points if p.lang == lang] for lang in (*ALL, *SURPRISE)}
    return {lang: _line(members) for lang, members in by_language.items() if len(members) >= FEWEST}


def _line(points: list[Point]) -> Line:
    """Least squares."""
    pools = [point.pool for point in points]
    mean, full = fmean(pools), fmean(point.full for point in points)
    spread = sum((pool - mean) ** 2 for pool in pools)
    slope = sum((point.pool - mean) * (point.full - full) for point in points) / spread
    intercept = full - slope * mean
    squares = sum((point.full - intercept - slope * point.pool) ** 2 for point in points)
    freedom = len(points) - 2
    return Line(
        intercept=intercept,
        slope=slope,
        low=min(pools),
        high=max(pools),
        models=len(points),
        mean=mean,
        spread=spread,
        deviation=sqrt(squares / freedom),
        t=_t(freedom),
    )


def _t(freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


Predicted = list[tuple[Point, Prediction | None]]


def _left_out(points: list[Point]) -> Predicted:
    """Predict every point from the models of all other organisations; None if that range does not hold it."""
    predicted: Predicted = []
    for organisation in sorted({point.organisation for point in points}):
        lines = _lines([point for point in points if point.organisation != organisation])
        for point in points:
            if point.organisation == organisation:
                line = lines.get(point.lang)
                inside = line is not None and line.low <= point.pool <= line.high
                predicted.append((point, line.predict(point.pool) if line and inside else None))
    return predicted


def _agreement(predicted: Predicted) -> LeftOut:
    pairs = [(point, prediction) for point, prediction in predicted if prediction]
    errors = [prediction.value - point.full for point, prediction in pairs]
    inside = [prediction.low <= point.full <= prediction.high for point, prediction in pairs]
    return LeftOut(
        points=len(pairs),
        organisations=len({point.organisation for point, _ in pairs}),
        refused=len(predicted) - len(pairs),
        error=sqrt(fmean(error * error for error in errors)) if errors else 0.0,
        bias=fmean(errors) if errors else 0.0,
        coverage=fmean(inside) if inside else 0.0,
    )


def _averages(predicted: Predicted) -> list[AverageCheck]:
    """The averages of the models that were predicted in all 16 languages."""
    models: dict[str, dict[str, tuple[Point, Prediction]]] = {}
    for point, prediction in predicted:
        if prediction and point.lang in ALL:
            models.setdefault(point.model, {})[point.lang] = (point, prediction)
    return [
        AverageCheck(
            model=model,
            pool=fmean(point.pool for point, _ in cells.values()),
            full=fmean(point.full for point, _ in cells.values()),
            predicted=fmean(prediction.value for _, prediction in cells.values()),
        )
        for model, cells in sorted(models.items())
        if len(cells) == len(ALL)
    ]
