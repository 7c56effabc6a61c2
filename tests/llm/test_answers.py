"""The store of answers: lasting, shared by threads and processes, exported and merged; never silently wrong."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from support.answers import answer
from support.project import PROJECT

from mdrbench.core.errors import DataError, SetupError
from mdrbench.llm.answers import Answer, Answers, default_path


@pytest.fixture
def answers(tmp_path):
    return Answers(tmp_path / "folder" / "answers.sqlite")


def test_an_answer_lasts_and_the_first_stays(answers):
    assert answers.get(answer().key) is None
    assert answers.put(answer()) == answer()
    assert answers.put(answer(text="another")) == answer()
    again = Answers(answers.path)
    assert again.get(answer().key) == answer()
    assert len(again) == 1


def test_the_file_can_be_read_with_sql(answers):
    answers.put(answer(parsed='{"accuracy":2,"completeness":1}'))
    with closing(sqlite3.connect(answers.path)) as connection:
        found = connection.execute("SELECT qid, parsed ->> 'accuracy' FROM answers").fetchall()
    assert found == [("q1", 2)]


def test_default_path(monkeypatch, tmp_path):
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("MDRBENCH_ANSWERS", raising=False)
    assert default_path() == tmp_path / "answers.sqlite"
    monkeypatch.setenv("MDRBENCH_ANSWERS", str(tmp_path / "mine.sqlite"))
    assert default_path() == tmp_path / "mine.sqlite"


def test_threads_share_one_object(answers):
    def write(part: int) -> None:
        for i in range(50):
            answers.put(answer(f"{part}{i:02}"))
            answers.get(answer(f"{i:02}").key)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 200
    assert len(list(answers.all())) == 200


def test_processes_share_one_file(answers):
    script = (
        "import sys; from pathlib import Path; from support.answers import answer\n"
        "from mdrbench.llm.answers import Answers\n"
        "store = Answers(Path(sys.argv[1]))\n"
        "for i in range(60): store.put(answer(sys.argv[2] + f'{i:02}')); store.put(answer(f'{i:02}'))"
    )
    command = [sys.executable, "-c", script, str(answers.path)]
    environment = {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"}
    running = [subprocess.Popen([*command, part], env=environment) for part in "123"]
    assert [process.wait(300) for process in running] == [0, 0, 0]
    assert len(answers) == 3 * 60 + 60


def test_export_and_merge(answers, tmp_path):
    for key in "bca":
        answers.put(answer(key))
    assert answers.export(tmp_path / "out" / "a.jsonl") == 3
    lines = (tmp_path / "out" / "a.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["key"][-1] for line in lines[:3]] == ["a", "b", "c"]
    assert lines[3:] == [""]
    other = Answers(tmp_path / "other.sqlite")
    other.put(answer("b", text="the first stays"))
    assert other.merge(tmp_path / "out" / "a.jsonl") == (2, 1)
    assert other.get(answer("b").key).text == "the first stays"
    assert other.get(answer("a").key) == answer("a")
    other.put(answer("d"))
    assert answers.merge(other.path) == (1, 3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.jsonl"]


def test_a_malformed_line_adds_nothing(answers, tmp_path):
    path = tmp_path / "a.jsonl"
    good = json.dumps(answer("a")._asdict())
    path.write_text(f"{good}\n{good.replace('10', 'null')}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.jsonl:2: 'input_tokens' must be a whole number, not null"):
        answers.merge(path)
    assert len(answers) == 0
    with pytest.raises(DataError, match="no such store"):
        answers.merge(tmp_path / "absent.sqlite")


def test_what_is_no_store_is_an_error_and_left_alone(tmp_path):
    path = tmp_path / "notes.sqlite"
    path.write_text("not a database, " * 100)
    with pytest.raises(DataError, match="is not a store of answers"):
        len(Answers(path))
    assert path.read_text() == "not a database, " * 100
    newer = tmp_path / "newer.sqlite"
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DataError, match="format 99"):
        len(Answers(newer))
    with pytest.raises(SetupError, match="cannot be used"):
        len(Answers(path / "below" / "a.sqlite"))


def test_a_store_of_format_1_is_taken_over(tmp_path):
    old = tmp_path / "old.sqlite"
    columns = Answer._fields[: Answer._fields.index("facts")]
    with sqlite3.connect(old) as connection:
        connection.execute(f"CREATE TABLE answers ({', '.join(columns)}, PRIMARY KEY (key)) WITHOUT ROWID")
        connection.execute("PRAGMA user_version = 1")
        row = [*answer("a")[: len(columns)]]
        connection.execute(f"INSERT INTO answers VALUES ({', '.join('?' * len(row))})", row)
    connection.close()
    store = Answers(old)
    assert store.get(answer("a").key) == answer("a")
    store.put(answer("b")._replace(facts='{"n_params":1}', fingerprint="f", server="llamacpp"))
    store.close()
    lines = tmp_path / "lines.jsonl"
    assert Answers(old).export(lines) == 2
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").split("\n") if line]
    shorter = [{name: row[name] for name in columns} for row in rows]
    (tmp_path / "first.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shorter), encoding="utf-8")
    assert Answers(tmp_path / "new.sqlite").merge(tmp_path / "first.jsonl") == (2, 0)
