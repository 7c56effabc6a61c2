"""The commands ``audit`` and ``pool-to-full``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Results
from mdrbench.core.console import print_json

if TYPE_CHECKING:
    from mdrbench.results.pool_to_full import Calibration


def audit(
    results: Results = Path("results"),
    kind: Annotated[
        Optional[str], typer.Option(help="Show findings of this kind: error, not comparable, disagreement or note.")
    ] = None,
    rule: Annotated[Optional[str], typer.Option(help="Show findings of this rule, such as pool-below-full.")] = None,
    system: Annotated[Optional[str], typer.Option(help="Show findings whose system contains this text.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find published figures that contradict each other.

    Also finds figures that cannot be compared.

    Prints a summary by rule, then the errors. With --kind, --rule or --system it prints those findings.
    """
    from mdrbench.core.errors import UsageError, did_you_mean
    from mdrbench.results.audit import audit as run_audit
    from mdrbench.results.audit.findings import KINDS
    from mdrbench.results.audit.rules import RULES

    for value, name, known in ((kind, "kind", KINDS), (rule, "rule", tuple(RULES))):
        if value is not None and value not in known:
            raise UsageError(f"unknown {name} '{value}'", mend=did_you_mean(value, list(known)))
    findings = run_audit(_published_root(results))
    chosen = [
        finding
        for finding in findings
        if (kind is None or finding.kind == kind)
        and (rule is None or finding.rule == rule)
        and (system is None or system.lower() in finding.system.lower())
    ]
    if as_json:
        print_json([finding.as_json() for finding in chosen])
        return
    from mdrbench.cli import tables_audit

    if kind is None and rule is None and system is None:
        tables_audit.print_summary(findings)
        chosen = [finding for finding in findings if finding.kind == "error"]
    tables_audit.print_findings(chosen)


def pool_to_full(
    scores: Annotated[
        Optional[list[str]],
        typer.Argument(
            help="nDCG@10 on the pool of hard negatives: LANG=SCORE, such as sw=.71, or a result file of the pool.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[Optional[str], typer.Option(help="Instead: a model among mteb's results, ORG/NAME.")] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Fit the calibration to the published figures and write it.")
    ] = False,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Predict figures on the full corpus from pool figures.

    The pool is that of mteb's hard negatives.

    Each prediction has a 95% interval. Figures outside the fitted range are refused. Without scores, the lines and
    their validation are printed.
    """
    from mdrbench.cli import tables_audit
    from mdrbench.results import pool_to_full as calibrations

    root = _published_root(results)
    calibration = _fitted(results) if fit else calibrations.read(root)
    pools = _pool_figures(scores or [], model, root)
    if not pools:
        if as_json:
            print_json(calibration.model_dump(mode="json"))
        else:
            tables_audit.print_calibration(calibration)
        return
    predicted = calibration.predict_all(pools)
    if as_json:
        print_json(predicted.as_json())
    else:
        tables_audit.print_predictions(predicted, pools)


def _pool_figures(words: list[str], model: str | None, root: Path) -> dict[str, float]:
    """Collect nDCG@10 on the pool by language, from LANG=SCORE, a result file or a model's published figures."""
    from mdrbench.results import pool_to_full as calibrations

    pools = calibrations.published_figures(root, model) if model else {}
    for word in words:
        pools |= calibrations.figures_of(Path(word)) if word.endswith(".json") else _parse_score(word)
    return pools


def _published_root(results: Path) -> Path:
    """Return the folder whose published figures are read: the given one, or the packaged one if that has none."""
    from mdrbench.core.registry import resource
    from mdrbench.results import PUBLISHED

    return results if (results / PUBLISHED).is_dir() else resource("results")


def _fitted(root: Path) -> Calibration:
    """Fit the calibration to the published figures under a results folder and write it there."""
    from mdrbench.core.atomic_files import write_atomically
    from mdrbench.results import pool_to_full as calibrations
    from mdrbench.results.audit import audit_rows
    from mdrbench.results.audit.calibration import points
    from mdrbench.results.audit.rows import MAIN, read_rows
    from mdrbench.results.stored import sealed_text

    rows = read_rows(root)
    pairs = points(rows, audit_rows(rows))
    calibration = calibrations.fit(pairs, MAIN, "miracl-hard-negatives", "miracl")
    write_atomically(root / calibrations.PATH, sealed_text(calibration))
    return calibration


def _parse_score(word: str) -> dict[str, float]:
    from mdrbench.core.errors import UsageError

    lang, _, text = word.partition("=")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"'{word}' is not LANG=SCORE with a score from 0 to 1", mend="write sw=.71")
    return {lang: value}
