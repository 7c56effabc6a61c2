"""Help that groups commands in panels, without rich: ``--help`` imports typer alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

RUN, INSPECT, NEGATIVES = "Run", "Inspect", "Negatives"
TRUST, PUBLISH, DATA = "Trust", "Publish", "Data"
OTHER = "Other"
PANELS = (RUN, INSPECT, NEGATIVES, TRUST, PUBLISH, DATA, OTHER)
"""Headings of ``mdrbench --help``, in order."""


class PanelGroup(TyperGroup):
    """A group of commands that lists each command under the heading of its ``rich_help_panel``."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write a section for each panel that has commands."""
        rows: dict[str, list[tuple[str, str]]] = {}
        width = max(map(len, self.commands))
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None)
            row = (name.ljust(width), command.get_short_help_str(limit=200))
            rows.setdefault(panel if panel in PANELS else OTHER, []).append(row)
        for panel in PANELS:
            if panel in rows:
                with formatter.section(panel):
                    formatter.write_dl(rows[panel])
