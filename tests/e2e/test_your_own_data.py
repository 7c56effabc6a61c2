"""The page "Your own data", walked from its two files to a leaderboard."""

from __future__ import annotations

import json
import re

from support.project import PROJECT

PAGE = (PROJECT / "docs" / "your-own-data.md").read_text(encoding="utf-8")


def test_the_page_leads_from_two_files_to_a_leaderboard(cli, tmp_path):
    passages, questions = re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "passages.jsonl").write_text(passages)
    (tmp_path / "questions.jsonl").write_text(questions)
    commands = re.findall(r"^mdrbench (.*my-lakes.*)$|^mdrbench (report)$", PAGE, flags=re.MULTILINE)
    assert len(commands) == 7
    for words in ("".join(groups).split() for groups in commands):
        done = cli(*words)
        assert done.returncode == 0, (words, done.stderr)
    result = json.loads((tmp_path / "results/my-lakes/bm25.json").read_text())
    assert result["languages"]["de"]["scores"]["nDCG@10"]["value"] == 1.0
    assert result["languages"]["de"]["steps"]["index"]
    pages = [path.read_text() for path in (tmp_path / "site/public").rglob("index.html")]
    assert any("my-lakes" in page for page in pages)
    assert (tmp_path / "my-lakes-pool" / "dataset.json").is_file()
