"""Fenced blocks and shell commands of the project's Markdown files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from support.project import PROJECT

PAGES = [
    *sorted(PROJECT.glob("*.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "recipes").glob("*.md")),
]
SHELL = ("", "bash", "console", "sh")


class Block(NamedTuple):
    """A fenced block. ``needs`` is the text of the comment ``<!-- needs: ... -->`` on the line before it."""

    page: str
    line: int
    language: str
    needs: str | None
    text: str


class Command(NamedTuple):
    """A shell command of a block, without its comment."""

    block: Block
    words: list[str]

    def __str__(self) -> str:
        return f"{self.block.page}:{self.block.line}: {shlex.join(self.words)}"


def blocks() -> list[Block]:
    """Return all fenced blocks of all pages."""
    return [block for page in PAGES for block in _blocks(page)]


def _blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    begin = None
    for number, line in enumerate(lines):
        if not (fence := re.fullmatch(r" *```(\w*)", line)):
            continue
        if begin is None:
            begin, language = number, fence[1]
            continue
        marker = re.fullmatch(r" *<!-- needs: (.*) -->", lines[begin - 1])
        text = "\n".join(lines[begin + 1 : number])
        found.append(Block(str(page.relative_to(PROJECT)), begin + 1, language, marker and marker[1], text))
        begin = None
    assert begin is None, f"{page}:{begin}: the fence is not closed"
    return found


def commands(program: str) -> list[Command]:
    """Return the commands of all shell blocks that call a program."""
    found = []
    for block in blocks():
        if block.language in SHELL:
            for line in block.text.replace("\\\n", " ").splitlines():
                if re.match(rf"\s*{program} ", line):
                    found.append(Command(block, shlex.split(line, comments=True)))
    return found


def inline_commands() -> list[tuple[str, list[str]]]:
    """Return the commands in running text (``mdrbench ...``): page, and the words after ``mdrbench``."""
    found = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for words in re.findall(r"`mdrbench ([^`]+)`", text):
            found.append((str(page.relative_to(PROJECT)), re.split(r" \\?\| ", words)[0].split()))
    return found
