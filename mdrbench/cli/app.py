"""The command line: every command with its panel. At top level this imports typer alone, so ``--help`` is fast."""

from __future__ import annotations

from typing import Annotated

import typer

from mdrbench import __version__
from mdrbench.cli import (
    ablation,
    acceptance,
    audit,
    cache,
    data,
    experiment,
    generator,
    inspect,
    models,
    mteb,
    negatives,
    published,
    push,
    run,
    site,
    trust,
    work,
)
from mdrbench.cli.help import DATA, INSPECT, NEGATIVES, PUBLISH, RUN, TRUST, PanelGroup

EPILOG = (
    "Exit codes: 0 success, 1 a bug in mdrbench, 2 wrong command or recipe, 3 wrong data, 4 the machine is not ready, "
    "5 a step failed or an artifact is damaged, 6 `check` found a drop, 130 interrupted, 141 the reader of a "
    "pipe went away, 143 terminated."
)

app = typer.Typer(
    cls=PanelGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EPILOG,
)
app.command(rich_help_panel=RUN)(run.run)
app.command(rich_help_panel=RUN)(run.plan)
app.command(rich_help_panel=RUN)(ablation.ablate)
app.command(rich_help_panel=RUN)(experiment.experiment)
app.command(rich_help_panel=RUN)(experiment.paper)
app.command(rich_help_panel=RUN)(mteb.mteb)
app.command(rich_help_panel=RUN)(work.work)
app.command(rich_help_panel=RUN)(work.status)
app.command("list", rich_help_panel=INSPECT)(inspect.list_)
app.command(rich_help_panel=INSPECT)(inspect.show)
app.command(rich_help_panel=INSPECT)(inspect.compare)
app.command(rich_help_panel=INSPECT)(inspect.doctor)
app.command(rich_help_panel=INSPECT)(inspect.schema)
app.command(rich_help_panel=NEGATIVES)(negatives.mine)
app.command(rich_help_panel=NEGATIVES)(negatives.agreement)
app.add_typer(negatives.app, name="negatives", rich_help_panel=NEGATIVES)
app.command(rich_help_panel=NEGATIVES)(generator.tune_generator)
app.add_typer(trust.app)
app.command(rich_help_panel=TRUST)(acceptance.acceptance)
app.command(rich_help_panel=TRUST)(audit.audit)
app.command("pool-to-full", rich_help_panel=TRUST)(audit.pool_to_full)
app.command(rich_help_panel=PUBLISH)(site.report)
app.command(rich_help_panel=PUBLISH)(site.serve)
app.command(rich_help_panel=PUBLISH)(mteb.export_mteb)
app.command(rich_help_panel=PUBLISH)(mteb.import_mteb)
app.command(rich_help_panel=PUBLISH)(push.push)
app.command(rich_help_panel=PUBLISH)(published.import_published)
app.add_typer(data.app, name="data", rich_help_panel=DATA)
app.add_typer(models.app, name="models", rich_help_panel=DATA)
app.add_typer(cache.app, name="cache", rich_help_panel=DATA)


def _print_version(given: bool) -> None:
    if given:
        print(f"mdrbench {__version__}")
        raise typer.Exit


@app.callback()
def mdrbench(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmark multilingual dense retrieval, reproducibly.

    `mdrbench COMMAND --help` explains a command. Start with: mdrbench run bm25 --data sample
    """


def main() -> None:
    """Run the command line; every outcome has the exit code of ``docs/cli.md``."""
    from mdrbench.cli import ending

    ending.run(app)
