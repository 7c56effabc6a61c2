"""The core works without the packages of the extras, and says which extra a command needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from support.project import PROJECT

from mdrbench.cli import ending
from mdrbench.core import extras

WITHOUT_EXTRAS = """
import sys
from mdrbench.core.extras import EXTRAS

class Absent:
    def find_spec(self, name, path=None, target=None):
        if any(name.partition(".")[0] in modules for modules in EXTRAS.values()):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from mdrbench.cli import main
sys.argv = ["mdrbench", *sys.argv[1:]]
main()
"""


def test_every_extra_that_an_error_names_can_be_installed():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {*extras.EXTRAS} <= {*project}


def test_a_package_that_is_missing_is_told_with_the_command_that_installs_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert ending.code(lambda: __import__("sentence_transformers.util")) == 4
    assert capsys.readouterr().err == (
        "error: The package sentence_transformers is not installed.\n  mend: run `pip install 'mdrbench[dense]'`\n"
    )


def test_a_module_of_no_extra_that_is_missing_is_a_bug():
    with pytest.raises(ModuleNotFoundError):
        ending.code(lambda: __import__("mdrbench.nowhere"))


@pytest.mark.medium
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "results/sample", "--against", "results"], 0),
        (["verify", "results/sample/bm25.json", "--data", "sample"], 0),
        (["submit", "results/sample/bm25/{lang}-dev.run.trec.gz", "--system", "mine", "--data", "sample"], 0),
        (["run", "bm25", "--data", "sample", "--langs", "sw"], 4),
    ],
)
def test_the_core_needs_no_extra(words, code, tmp_path):
    words = [*words, "--results", str(tmp_path)] if words[0] in {"submit", "run"} else words
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *words], cwd=PROJECT, check=False, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert code == 0 or "mdrbench[bm25]" in done.stderr
