"""``mdrbench data``: fetch, verify, describe and count data sets. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Data, Quiet, Results
from mdrbench.core.console import print_json
from mdrbench.evaluation.power import Spread
from mdrbench.evaluation.statistics import PROTOCOL

app = typer.Typer(no_args_is_help=True, help="Fetch, verify, describe and count data sets.")

Downloaded = Annotated[str, typer.Option(help="Data set to download: `miracl`, `miracl-hard-negatives` or `wiki16`.")]


@app.command()
def fetch(
    data: Downloaded = "miracl",
    langs: Annotated[
        str, typer.Option(help="Language codes such as ar,bn. `all` means the 16 languages, without de and yo.")
    ] = "all",
    split: Annotated[
        Optional[str], typer.Option(help="train, dev or train,dev [default: all splits of a language].")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="How many files are fetched at once.")] = 4,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Download the files of a data set that are missing.

    An interrupted download continues where it stopped.
    """
    from mdrbench.cli import tables
    from mdrbench.core.languages import parse_langs
    from mdrbench.data.access import available, open_downloaded
    from mdrbench.hub import downloads

    dataset = open_downloaded(data)
    languages = parse_langs(langs, available(dataset))
    splits = split.replace(",", " ").split() if split else None
    with downloads.listener(quiet) as listen:
        dataset.fetch(languages, splits, listen, jobs)
    files = dataset.manifest(languages, splits)
    if as_json:
        print_json({"root": str(dataset.root), "files": files})
    else:
        size = tables.human_bytes(sum(entry["bytes"] for entry in files.values()))
        print(f"{len(languages)} languages, {len(files)} files, {size} in {dataset.root}")


@app.command()
def verify(
    data: Downloaded = "miracl",
    langs: Annotated[
        Optional[str], typer.Option(help="Language codes, or all [default: the languages that are fetched].")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check the files of a data set.

    Compares them with their checksums and with the published counts. Exit code 3 if a file is wrong.
    """
    from mdrbench.core.errors import DataError
    from mdrbench.core.languages import parse_langs
    from mdrbench.data.access import available, open_downloaded
    from mdrbench.hub import downloads

    dataset = open_downloaded(data)
    languages = parse_langs(langs, available(dataset)) if langs else dataset.fetched()
    if not languages:
        mend = f"run `mdrbench data fetch --data {data}`"
        raise DataError("Nothing is fetched yet.", where=str(dataset.root), mend=mend)
    with downloads.listener(quiet) as listen:
        problems = dataset.verify(languages, listen)
    if as_json:
        print_json(problems)
    else:
        for row in problems:
            print(f"{row['file']}: {row['problem']}")
        mend = f"; mend: delete these files, then run `mdrbench data fetch --data {data}`" if problems else ""
        print(f"{len(languages)} languages, {len(problems)} problems{mend}")
    if problems:
        raise typer.Exit(3)


@app.command()
def card(
    name: Annotated[
        str,
        typer.Argument(
            help="Data set: `miracl`, `miracl-hard-negatives`, `wiki16`, `sample`, or a folder in MIRACL's layout."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Print the data card of a data set.

    It names sources, licences, splits and known limits.
    """
    from mdrbench.data.access import open_dataset

    text = open_dataset(name).card()
    if as_json:
        print_json({"name": name, "card": text})
    else:
        print(text, end="")


@app.command("import")
def import_(
    out: Annotated[Path, typer.Option(help="New folder for the data set, which is named after it.")],
    source: Annotated[
        Optional[str],
        typer.Argument(
            help="A folder in BEIR's format, `ir_datasets:NAME`, `hub:OWNER/NAME[@REVISION]` or `mteb:TASK`.",
            show_default=False,
        ),
    ] = None,
    langs: Annotated[str, typer.Option(help="Language codes [default: all languages of the source].")] = "",
    passages: Annotated[Optional[Path], typer.Option(help="In place of SOURCE: file with id, title, text.")] = None,
    questions: Annotated[
        Optional[list[str]],
        typer.Option(help="File with id, text, answers (ids of passages): FILE for dev, or SPLIT=FILE. Repeatable."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a collection of another format as a data set.

    The data set gets a record of its source and a data card, which you complete.

    Example: mdrbench data import scifact/ --langs en --out my-scifact
    """
    from mdrbench.core.console import say
    from mdrbench.data.importing.folder import check_target, write_import
    from mdrbench.data.importing.sources import read_source
    from mdrbench.hub import downloads

    check_target(out)
    codes = langs.lower().replace(",", " ").split()
    with downloads.listener(quiet) as listen:
        imported = read_source(source, passages, questions or [], codes, out, listen)
    counts = write_import(out, imported)
    if as_json:
        print_json({"root": str(out), "origin": imported.origin._asdict(), "languages": counts})
        return
    for lang, numbers in counts.items():
        print(f"{lang}: {', '.join(f'{number:,} {name}' for name, number in numbers.items() if number)}")
    say(f"note: complete the data card {out}/README.md")
    print(f"written: {out}; next: {_next(out, imported.corpus_variant, counts)}")


def _next(out: Path, corpus_variant: str, counts: dict[str, dict[str, int]]) -> str:
    """Return a command to try an imported data set with."""
    from mdrbench.data.access import FINAL_SPLITS
    from mdrbench.data.record import JUDGED

    splits = [name.removesuffix(" topics") for name in next(iter(counts.values())) if name.endswith(" topics")]
    split = "dev" if "dev" in splits else splits[0]
    final = " --final" if split in FINAL_SPLITS else ""
    if corpus_variant == JUDGED:
        return f"mdrbench agreement RECIPE --data {out} --split {split}{final} --set negatives.reference=false"
    return f"mdrbench run bm25 --data {out}" + ("" if split == "dev" else f" --split {split}{final}")


@app.command()
def stats(
    data: Data = "miracl",
    langs: Annotated[
        Optional[str], typer.Option(help="Language codes, or all [default: the languages that are on disk].")
    ] = None,
    split: Annotated[str, typer.Option(help="Split whose topics and qrels are counted.")] = "dev",
    as_json: AsJson = False,
) -> None:
    """Show the statistics of a data set.

    Per language: counts, lengths, repeated texts, topics that are also in another split, topics without an answer, and
    texts in another script than the language's. The corpora are read once.

    Example: mdrbench data stats --data sample --langs fi,sw
    """
    from mdrbench.cli.tables_data import print_statistics
    from mdrbench.data.access import at_hand, open_dataset
    from mdrbench.data.statistics import statistics

    dataset = open_dataset(data)
    rows = {lang: statistics(dataset, lang, split) for lang in at_hand(dataset, langs, split)}
    if as_json:
        print_json(rows)
    else:
        print_statistics(rows, split)


@app.command()
def power(
    data: Data = "miracl",
    langs: Annotated[
        Optional[str], typer.Option(help="Language codes, or all [default: the languages that are on disk].")
    ] = None,
    split: Annotated[str, typer.Option(help="Split whose topics are counted.")] = "dev",
    seeds: Annotated[
        int, typer.Option(min=0, max=100, help="Paired seeds of two trained systems; 0: nothing is trained.")
    ] = PROTOCOL.star_seeds,
    topic_sd: Annotated[
        float, typer.Option(min=0.001, max=1, help="Standard deviation of the topics' differences.")
    ] = Spread().topics,
    seed_sd: Annotated[
        float, typer.Option(min=0, max=1, help="Standard deviation of the paired seeds' differences.")
    ] = Spread().seeds,
    as_json: AsJson = False,
) -> None:
    """Say which difference of two systems the topics can show.

    Nothing is run. The difference is the smallest that is found in 80% of repetitions with so many seeds, in each
    language and on average. The standard deviations are assumptions. For two results, `mdrbench compare --power`
    measures them.

    Example: mdrbench data power --data sample --seeds 5
    """
    from mdrbench.data.access import at_hand, open_dataset
    from mdrbench.data.checks import check_topics
    from mdrbench.evaluation.power import plan

    dataset = open_dataset(data)
    topics = {
        lang: int(str(check_topics(dataset, lang, split, lambda docid: True)["judged_topics"]))
        for lang in at_hand(dataset, langs, split)
    }
    rows = plan(topics, seeds or None, Spread(topic_sd, seed_sd))
    if as_json:
        print_json({lang: row._asdict() for lang, row in rows.items()})
        return
    counted = f"{seeds} paired seeds with sd {seed_sd:g}" if seeds else "no seeds"
    print(f"smallest difference found in {PROTOCOL.power:.0%} of repetitions (sd of topics {topic_sd:g}, {counted})")
    print(f"{'':<9}{'topics':>9}{'alone':>9}{'of all':>9}")
    for lang, row in rows.items():
        print(f"{lang:<9}{row.topics:>9,}{row.alone:>9.3f}{row.corrected:>9.3f}")
    print(
        f"alone: p < {PROTOCOL.level:g}; of all: the strictest step of Holm's correction over {len(topics)} languages"
    )


@app.command()
def pool(
    names: Annotated[
        list[str], typer.Option("--from", help="Result whose hits are taken, by path or DATASET/RECIPE. Repeatable.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the pool. The data set is named after it.")],
    data: Data = "miracl",
    depth: Annotated[int, typer.Option(min=1, help="How many hits of each topic and result are taken.")] = 100,
    langs: Annotated[str, typer.Option(help="Language codes [default: all that the results have in common].")] = "all",
    split: Annotated[str, typer.Option(help="Split of the results.")] = "dev",
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Cut a data set to the passages that some systems rank best.

    All judged passages are kept. Results on the pool record it, and are never ranked with those on the whole data set.

    Example: mdrbench data pool --data wiki16 --from wiki16/bm25 --from wiki16/me5-small --depth 100 --out wiki16-pool
    """
    from mdrbench.commands import pool as pooling

    counts = pooling.pool(data, names, out, depth=depth, split=split, langs=langs, results_root=results)
    if as_json:
        print_json({"root": str(out), "corpus_variant": f"pool-{depth}", "languages": counts})
        return
    for lang, numbers in counts.items():
        print(f"{lang}: {', '.join(f'{number:,} {name}' for name, number in numbers.items() if number)}")
    print(f"written: {out}; next: mdrbench run bm25 --data {out}")
