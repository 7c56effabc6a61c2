"""The commands ``check``, ``verify`` and ``submit``. Imports typer alone at top level."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from mdrbench.cli.help import TRUST
from mdrbench.cli.options import AsJson, Cache, Final, Quiet, Results, Split, open_store, recorded_command
from mdrbench.core.console import print_json, say
from mdrbench.evaluation.statistics import PROTOCOL

if TYPE_CHECKING:
    from mdrbench.data.miracl_layout import MiraclFolder

app = typer.Typer()

Chosen = Annotated[
    Optional[list[Path]],
    typer.Argument(
        metavar="RESULTS", help="Folder of results, or result files [default: results].", show_default=False
    ),
]
Data = Annotated[
    Optional[str],
    typer.Option(
        help="Data set: `miracl`, `miracl-hard-negatives`, `wiki16`, `sample`, or a folder in MIRACL's layout."
    ),
]


@app.command(
    rich_help_panel=TRUST,
    epilog="Exit codes: 0 success, 6 a drop or a missing score, 3 not comparable or damaged, 2 wrong command.",
)
def check(
    chosen: Chosen = None,
    against: Annotated[
        str, typer.Option(help="Reference: a folder, a file, or a git commit that holds the folder.")
    ] = "HEAD",
    tolerance: Annotated[
        Optional[list[str]],
        typer.Option(help="Largest drop: 0.001, or MEASURE=0.001 for one measure. Repeatable [default: 0.001]."),
    ] = None,
    statistical: Annotated[
        bool, typer.Option("--statistical", help="Count a difference only if the paired test confirms it.")
    ] = False,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Significance level after Holm's correction.")
    ] = PROTOCOL.level,
    allow_changed: Annotated[
        Optional[list[str]], typer.Option(help="What changed on purpose: recipe, conventions or data. Repeatable.")
    ] = None,
    langs: Annotated[Optional[str], typer.Option(help="Check only these languages, such as ar,bn.")] = None,
    junit: Annotated[Optional[Path], typer.Option(help="Write a JUnit XML report to this file.")] = None,
    markdown: Annotated[Optional[Path], typer.Option(help="Write a Markdown summary to this file.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Print annotations for GitHub Actions.")] = False,
    encoder: Annotated[
        Optional[list[str]],
        typer.Option(help="Run two recipes and count the topics that change: the reference, then the other. Twice."),
    ] = None,
    data: Data = None,
    split: Split = "dev",
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare results with reference results.

    With --encoder, compare one recipe's encoder with another's. Exit code 6 if a score dropped or is missing; with
    --encoder, if a language's nDCG@10 moved by more than the tolerance.

    Example: mdrbench check results/sample --against HEAD
    """
    if encoder:
        _check_encoders(encoder, data, langs, split, tolerance, cache, quiet, as_json)
    from mdrbench.commands.audit import check_report, checking, references
    from mdrbench.core.languages import ALL, OTHERS, SURPRISE, parse_langs

    general, single = check_report.parse_tolerances(tolerance or [])
    settings = check_report.Settings(
        tolerance=general,
        tolerances=single,
        statistical=statistical,
        alpha=alpha,
        allowed=check_report.parse_allowed(allow_changed or []),
        langs=frozenset(parse_langs(langs, [*ALL, *SURPRISE, *OTHERS]) if langs else ()),
    )
    with references.pairs(chosen or [Path("results")], against) as pairs:
        report = checking.check(pairs, against, settings)
    if junit:
        _write(junit, check_report.junit(report))
    if markdown:
        _write(markdown, check_report.markdown(report))
    if as_json:
        print_json(check_report.as_json(report))
    else:
        from mdrbench.cli import tables_trust

        tables_trust.print_check(report)
    if github:
        for line in check_report.github(report):
            print(line, file=sys.stderr if as_json else sys.stdout)
    raise typer.Exit(report.exit_code)


def _check_encoders(
    names: list[str],
    data: str | None,
    langs: str | None,
    split: str,
    tolerance: list[str] | None,
    cache: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    from mdrbench.commands.audit import check_report, equivalence
    from mdrbench.core.errors import UsageError

    if data is None:
        raise UsageError("--encoder needs a data set", mend="give --data")
    allowed = check_report.parse_tolerances(tolerance or [])[0]
    rows = equivalence.compare(names, data, langs or "all", split, open_store(cache), quiet)
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        from mdrbench.cli import tables_trust

        tables_trust.print_changed(names, rows, allowed)
    raise typer.Exit(equivalence.EXIT_CODE if any(row.moved > allowed for row in rows) else 0)


def _write(path: Path, text: str) -> None:
    from mdrbench.core.atomic_files import write_atomically

    write_atomically(path, text)


@app.command(
    rich_help_panel=TRUST, epilog="Exit codes: 0 success, 3 a number could not be derived again, 2 wrong command."
)
def verify(
    chosen: Chosen = None,
    data: Data = None,
    corpus: Annotated[
        bool, typer.Option("--corpus", help="Also read every passage of the corpora. Needs --data.")
    ] = False,
    signers: Annotated[
        Optional[Path],
        typer.Option(help="Require a signature by one of these: OpenSSH's file of allowed signers (NAME KEY a line)."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Derive every number of results again.

    Scores the stored runs again. Exit code 3 if a number differs or cannot be derived.

    Example: mdrbench verify results/sample --data sample
    """
    from mdrbench.commands.audit import verification
    from mdrbench.core.errors import DataError, UsageError
    from mdrbench.results import verified

    if corpus and not data:
        raise UsageError("--corpus needs a data set.", mend="add --data, such as --data sample")
    dataset = None
    if data:
        from mdrbench.data.access import open_dataset

        dataset = open_dataset(data)
    progress = (lambda text: None) if quiet or as_json else say
    found = verification.verify(chosen or [Path("results")], dataset, corpus=corpus, signers=signers, progress=progress)
    if as_json:
        print_json([verified.as_json(one) for one in found])
    else:
        from mdrbench.cli import tables_trust

        tables_trust.print_verified(found)
    if any(one.problems for one in found):
        raise typer.Exit(DataError.exit_code)


@app.command(rich_help_panel=TRUST, epilog="Exit codes: 0 success, 3 a number differs or cannot be derived.")
def seal(chosen: Chosen = None, data: Data = None, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Derive older results again and seal them.

    A result without a seal is neither ranked nor accepted by `check`. Files that are sealed already stay as they are.

    Example: mdrbench seal results/sample --data sample
    """
    from mdrbench.commands.audit import sealing
    from mdrbench.core.errors import DataError
    from mdrbench.data.access import open_dataset
    from mdrbench.results import verified

    progress = (lambda text: None) if quiet or as_json else say
    sealed, wrong = sealing.seal(chosen or [Path("results")], open_dataset(data) if data else None, progress)
    if as_json:
        print_json({"sealed": [str(path) for path in sealed], "wrong": [verified.as_json(one) for one in wrong]})
    else:
        from mdrbench.cli import tables_trust

        tables_trust.print_verified(wrong)
        print(f"sealed {len(sealed)} file{'s' * (len(sealed) != 1)}")
    if wrong:
        raise typer.Exit(DataError.exit_code)


@app.command(rich_help_panel=TRUST)
def sign(
    chosen: Annotated[list[Path], typer.Argument(metavar="FILES", help="Result or ablation files, or their folders.")],
    key: Annotated[Path, typer.Option(help="OpenSSH key, such as ~/.ssh/id_ed25519.")],
) -> None:
    """Sign results with an OpenSSH key.

    Writes FILE.sig beside each FILE. `mdrbench verify --signers` checks the signatures.

    Example: mdrbench sign results/sample --key ~/.ssh/id_ed25519
    """
    from mdrbench.commands.audit import sealing, signatures

    for path in sealing.sealed_files(chosen):
        print(signatures.sign(path, key.expanduser()))


@app.command(rich_help_panel=TRUST)
def submit(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="LANG=FILE, a pattern such as runs/{lang}.trec.gz, one file with --langs LANG, or a folder of mteb's "
            "predictions."
        ),
    ],
    system: Annotated[str, typer.Option(help="Name of the system in tables.")],
    data: Annotated[
        str,
        typer.Option(
            help="Data set that was searched: `miracl`, `miracl-hard-negatives`, `wiki16`, `sample`, or a folder."
        ),
    ],
    langs: Annotated[
        Optional[str],
        typer.Option(help="Language codes, or all. Each needs a run [default: the languages of the runs]."),
    ] = None,
    split: Split = "dev",
    final: Final = False,
    summary: Annotated[str, typer.Option(help="One sentence about the system.")] = "",
    link: Annotated[Optional[str], typer.Option(help="Page that describes the system: https://...")] = None,
    license_: Annotated[Optional[str], typer.Option("--license", help="Licence of the system.")] = None,
    size: Annotated[Optional[str], typer.Option(help="Size of the system, such as '118M parameters'.")] = None,
    measures: Annotated[
        Optional[str],
        typer.Option(help="For runs cut above rank 100, such as nDCG@10,MRR@10 [default: all five measures]."),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Judged topics without hits score 0. Without this option they are an error."
        ),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier submission of this system.")] = False,
    results: Results = Path("results"),
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score the run files of another system as a result.

    All files are checked first. Nothing is written if one of them is wrong.
    """
    from tempfile import TemporaryDirectory

    from mdrbench import results as store
    from mdrbench.commands.audit import foreign_runs, submission
    from mdrbench.data.access import available, check_final, check_searchable, open_dataset, require
    from mdrbench.evaluation.measures import DEFAULT

    check_final(split, final)
    dataset = open_dataset(data)
    check_searchable(dataset)
    with TemporaryDirectory() as folder:
        words = foreign_runs.as_runs(runs, split, Path(folder))
        files = submission.parse_runs(words, langs, available(dataset))
        require(dataset, list(files), split)
        path, notes = submission.submit(
            files,
            submission.Words(system, summary, link, license_, size),
            dataset,
            split,
            results,
            open_store(cache),
            names=tuple(measures.replace(",", " ").split()) if measures else DEFAULT,
            allow_missing=allow_missing,
            replace=replace,
            quiet=quiet,
            command=recorded_command(),
        )
    for note in notes:
        say(f"note: {note}")
    if as_json:
        print_json(store.read(path).model_dump(mode="json", exclude_none=True))
    else:
        _print_submitted(path, len(files), dataset)


def _print_submitted(path: Path, languages: int, dataset: MiraclFolder) -> None:
    from mdrbench import results
    from mdrbench.cli import tables
    from mdrbench.core.languages import parse_langs

    console = tables.console()
    tables.print_result(console, results.read(path))
    if languages < (of := len(parse_langs("all", dataset.languages()))):
        say(f"note: {languages} of the {of} languages of {dataset.name}")
    console.print(f"written: {path}", highlight=False, soft_wrap=True)
