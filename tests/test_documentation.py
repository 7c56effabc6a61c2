"""The commands and code of README, docs and recipe files are true: parsed against the command line, or executed.

A block is executed on the packaged sample, unless the comment ``<!-- needs: ... -->`` on the line before it says what
this machine lacks. Every command of every block is parsed, executed or not.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from support.commands import options, parse
from support.markdown import Command, blocks, commands, inline_commands
from support.project import PROJECT

from mdrbench.core.errors import MdrbenchError
from mdrbench.core.languages import ALL, SURPRISE, parse_langs
from mdrbench.core.registry import FAMILIES, members, recipe_files
from mdrbench.recipe import load

COMMANDS = commands("mdrbench")
RUNNABLE = [block for block in blocks() if block.needs is None]
SHELL_BLOCKS = [block for block in RUNNABLE if any(command.block == block for command in COMMANDS)]
PYTHON_BLOCKS = [block for block in RUNNABLE if block.language == "python"]
ADD_PAGES = "docs/add-a-"
"""The code of these pages is executed by the tests of members from outside the package."""


def place(block) -> str:
    return f"{block.page}:{block.line}"


def check_values(parameters: dict) -> None:
    """Recipes, languages and --set of a command exist; words in capitals and names of one's own are examples."""
    names = [*(parameters.get("recipes") or ()), parameters.get("recipe")]
    known = recipe_files()
    for name in filter(None, names):
        family, _, member = name.partition("/")
        if member in (members(family) if family in FAMILIES else ()):
            continue
        assert name in known or name.isupper() or name.startswith("my-") or name.endswith(".yaml"), name
        if name in known:
            load(name, parameters.get("changes"))
    if (langs := parameters.get("langs")) and not langs.isupper():
        parse_langs(langs, [*ALL, *SURPRISE])


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_commands_of_the_documentation_exist(command: Command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("FIGURES.csv", "VERSIONS.tsv"):
        (tmp_path / name).touch()
    _, parameters = parse(command.words[1:])
    check_values(parameters)


def test_many_commands_were_found():
    assert len(COMMANDS) >= 60
    assert len(SHELL_BLOCKS) >= 5
    assert {command.block.page for command in COMMANDS} >= {"README.md", "docs/check.md", "docs/data.md"}


@pytest.mark.parametrize(("page", "words"), inline_commands(), ids=str)
def test_commands_in_running_text_exist(page, words):
    named = [word.strip("[]|") for word in words]
    known = options([word for word in named if not word.startswith("-")])
    for word in named:
        if word.startswith("-"):
            assert word.partition("=")[0] in known | {"--help"}, f"{page}: {' '.join(words)}"


@pytest.mark.parametrize("path", recipe_files().values(), ids=lambda path: path.stem)
def test_commands_of_recipe_files_exist(path):
    """The header of a recipe says how to run it and how to change one thing."""
    header = path.read_text(encoding="utf-8").partition("\n\n")[0].replace("\n#  ", " ")
    lines = re.findall(r"^# (?:Run|One change): +(mdrbench .*)$", header, flags=re.MULTILINE)
    assert lines
    for line in lines:
        _, parameters = parse(shlex.split(line, comments=True)[1:])
        check_values(parameters)


def test_make_targets_and_extras_of_the_documentation_exist():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+|\$\(READY\)):", makefile, flags=re.MULTILINE)
    called = commands("make")
    assert called
    for command in called:
        assert command.words[1] in targets, str(command)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for command in commands("pip install"):
        for extra in re.findall(r"mdrbench\[(\w+)\]", " ".join(command.words)):
            assert extra in project["optional-dependencies"], str(command)


def commands_of(path: Path) -> list[list[str]]:
    """Return the mdrbench commands of a Makefile, script or workflow, with ``X`` for each variable."""
    text = re.sub(
        r"\$\{\{.*?\}\}|\$\{[^}]*\}|\$\([^)]*\)|\$\w+", "X", path.read_text(encoding="utf-8").replace("$$", "$")
    )
    lines = re.split(r"\n|&&", text.replace("\\\n", " "))
    found = [re.search(r"(?:^|[\s/])mdrbench ((?:[a-z]+(?:-[a-z]+)* |--version).*)", f"{line} ") for line in lines]
    return [shlex.split(match[1]) for match in found if match and not match.string.lstrip().startswith("#")]


@pytest.mark.parametrize(
    "path",
    [PROJECT / "Makefile", *sorted((PROJECT / ".github").rglob("*.yml")), PROJECT / ".ci" / "try-wheel"],
    ids=str,
)
def test_commands_of_makefile_and_workflows_exist(path):
    for words in commands_of(path):
        known = options([word for word in words if not word.startswith("-")][:1])
        for word in words:
            assert not word.startswith("--") or word.partition("=")[0] in known, f"{path}: {' '.join(words)}"


def test_the_quickstart_writes_only_where_git_ignores_it():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    [folder] = re.findall(r"^QUICKSTART := (.*)$", makefile, flags=re.MULTILINE)
    assert f"{folder.partition('/')[0]}/" in (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()
    target = makefile.partition("\nquickstart:")[2].partition("\n\n")[0]
    written = re.findall(r"--(?:results|out) (\S+)", target)
    assert len(written) == 3
    assert all(path.startswith("$(QUICKSTART)/") for path in written)


@pytest.mark.parametrize(
    "block", [b for b in blocks() if b.language == "yaml" and not b.page.startswith(ADD_PAGES)], ids=place
)
def test_yaml_of_the_documentation_is_a_recipe_or_a_part_of_one(block, tmp_path):
    data = yaml.safe_load(block.text)
    assert isinstance(data, dict), "no mapping"
    if block.needs is not None:
        return
    failures = []
    for wrap in (lambda data: data, lambda data: {"negatives": data}, lambda data: {"retriever": data}):
        path = tmp_path / "page.yaml"
        path.write_text(yaml.safe_dump({"extends": "boosted", "summary": "an example", **wrap(data)}), encoding="utf-8")
        try:
            assert load(str(path)).summary
        except MdrbenchError as error:
            failures.append(str(error))
        else:
            return
    pytest.fail("\n".join(failures))


# -- executed ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder as a user has it after cloning: the committed results, a cache of its own."""
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copytree(PROJECT / "results", folder / "results")
    return folder


@pytest.fixture
def at_workspace(workspace, me5_small, monkeypatch):
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("MDRBENCH_MODELS", str(me5_small.parents[1]))
    monkeypatch.setenv("MDRBENCH_CACHE", str(workspace / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in SHELL_BLOCKS if not b.page.startswith(ADD_PAGES)], ids=place)
def test_commands_without_a_marker_run(block, at_workspace, monkeypatch, tmp_path):
    """The README starts in an empty folder; the other pages look at the committed results."""
    from mdrbench.cli import main

    if block.page == "README.md":
        monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        if command.block == block:
            monkeypatch.setattr(sys, "argv", command.words)
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code in (0, None), str(command)


@pytest.mark.parametrize("page", sorted({b.page for b in PYTHON_BLOCKS if not b.page.startswith(ADD_PAGES)}))
def test_python_of_the_documentation_runs(page, at_workspace):
    """The blocks of a page run one after the other, with shared names."""
    names: dict = {}
    for block in PYTHON_BLOCKS:
        if block.page == page:
            exec(compile(block.text, place(block), "exec"), names)
    assert names.keys() - {"__builtins__"}, "the page runs nothing"
