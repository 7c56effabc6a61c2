"""The pages docs/add-a-*.md work as written, in a folder outside the package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.markdown import blocks, commands
from support.project import PROJECT

PAGES = sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("add-a-*.md"))


def save_files(page: str, folder: Path) -> list[str]:
    """Save each block that follows "Save this as `NAME`" under that name; return the names."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    found = re.findall(r"Save this as `([\w.-]+)`[^`]*?:\n\n```\w+\n(.*?)```", text, flags=re.DOTALL)
    found += re.findall(r"Save this as `([\w.-]+)` and run it[^\n]*\n\n```\w+\n(.*?)```", text, flags=re.DOTALL)
    for name, content in found:
        (folder / name).write_text(content, encoding="utf-8")
    return [name for name, _ in found]


def test_every_page_is_tested():
    assert [Path(page).stem for page in PAGES] == ["add-a-judge", "add-a-miner", "add-a-retriever", "add-a-sampler"]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_works_as_written(page, cli, tmp_path):
    files = save_files(page, tmp_path)
    saved = [block for block in blocks() if block.page == page and block.language in ("python", "yaml")]
    assert len(files) == len(saved) >= 2, "every block of code has a name"
    wanted = [command for command in commands("mdrbench") if command.block.page == page and not command.block.needs]
    assert wanted
    for command in wanted:
        done = cli(*command.words[1:])
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    for name in (name for name in files if name.startswith("try_")):
        done = subprocess.run(
            [sys.executable, name],
            cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "[('fi', 'q" in done.stdout


def test_the_source_of_a_member_file_is_in_the_key_and_in_the_result(cli, tmp_path):
    save_files("docs/add-a-retriever.md", tmp_path)

    def run() -> tuple[dict, str]:
        done = cli("run", "my-retriever.yaml", "--data", "sample", "--langs", "sw", "--json")
        assert done.returncode == 0, done.stderr
        [result] = json.loads(done.stdout)
        return result["system"], result["languages"]["sw"]["steps"]["index"]["key"]

    before, key = run()
    recorded = before["recipe"]["retriever"]
    assert recorded["name"] == "./my_retriever.py"
    assert re.fullmatch("[0-9a-f]{64}", recorded["from"]["sha256"])
    assert str(tmp_path) not in json.dumps(before["recipe"])
    assert run() == (before, key)
    with open(tmp_path / "my_retriever.py", "a", encoding="utf-8") as file:
        file.write("# changed\n")
    after, other = run()
    assert other != key
    assert after["recipe_digest"] != before["recipe_digest"]
    done = cli("verify", "results", "--data", "sample")
    (tmp_path / "my_retriever.py").unlink()  # verify needs no code from outside
    assert cli("verify", "results", "--data", "sample").stdout == done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
