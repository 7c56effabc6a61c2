"""What a run shows: the live display on a terminal has totals, elsewhere each step is a line."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest

from mdrbench.pipeline import progress
from mdrbench.pipeline.runner import Event

STEP = SimpleNamespace(key="k", scope="fi", stage="index")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, stream: io.StringIO, events: list[Event], *, quiet: bool = False) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress.listener(7, quiet) as listen:
        for event in events:
            listen(event)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


@pytest.mark.parametrize(("done", "total", "text"), [(12, 100, "12/100"), (1234, None, "1,234"), (0, 70, "0/70")])
def test_a_count_has_its_total_if_it_is_known(done, total, text):
    assert progress.count_text(done, total) == text


def test_the_live_display_shows_steps_and_their_totals(monkeypatch):
    events = [Event("start", STEP), Event("progress", STEP, done=0, total=7300)]
    text = shown(monkeypatch, Terminal(), events)
    assert "0/7" in text
    assert "0/7,300" in text


def test_elsewhere_a_finished_step_is_a_line(monkeypatch):
    events = [Event("start", STEP), Event("done", STEP, seconds=1.25), Event("skipped", STEP)]
    text = shown(monkeypatch, io.StringIO(), events)
    assert text == " fi index         1.2 s\n fi index    skipped: a step before it failed\n"
    assert shown(monkeypatch, io.StringIO(), events, quiet=True) == " fi index    skipped: a step before it failed\n"
