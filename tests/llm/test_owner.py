"""One process owns the stores of answers; workers ask it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from support.answers import answer

from mdrbench.core.errors import SetupError
from mdrbench.llm import owner
from mdrbench.llm.answers import Answers, Identity, Means, Spent
from mdrbench.llm.owner import OwnedAnswers, OwnerLostError, open_answers, owning


@pytest.fixture(autouse=True)
def at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(owner, "PATIENCE_S", 0.0)
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def opened():
    """Open stores as workers do; their connections are closed at the end."""
    with ExitStack() as held:
        yield lambda path, variables: held.enter_context(closing(OwnedAnswers(path, variables[owner.OWNER])))


def test_a_worker_sees_what_the_store_of_the_owner_holds(tmp_path, monkeypatch):
    path = tmp_path / "a.sqlite"
    with owning(elsewhere=False) as variables:
        monkeypatch.setenv(owner.OWNER, variables[owner.OWNER])
        worker = open_answers(path)
        assert isinstance(worker, OwnedAnswers)
        assert worker.get(answer("1").key) is None
        assert worker.put(answer("1", fingerprint="f", facts='{"n": 1}')) == worker.get(answer("1").key)
        assert worker.put(answer("1", text="later")).text == "järvi\u2028\n"  # the first one stays
        assert worker.identities("m") == [Identity("m", '{"n": 1}')]
        assert worker.fingerprints("m") == {"f"}
        assert worker.means("m", "judge", "1", "{}") == Means(4.0, None)
    worker.close()
    with closing(Answers(path)) as store:
        assert store.get(answer("1").key).text == "järvi\u2028\n"


def test_limits_are_counted_by_the_owner(tmp_path, opened):
    with owning(elsewhere=True) as variables:
        one, two = (opened(tmp_path / "a.sqlite", variables) for _ in range(2))
        number, _ = one.reserve("b", 0.5, 60.0, 2, None)
        assert two.reserve("b", 0.5, 60.0, 2, None)[0] is not None
        assert two.reserve("b", 0.5, 60.0, 2, None) == (None, Spent(2, 1.0, 2))
        for _ in range(2):  # the reply to the first call may be lost
            one.settle(number, "b", False, 0.0)
        assert two.reserve("b", 0.5, 60.0, 2, None)[1] == Spent(1, 0.5, 1)


def test_an_answer_that_comes_without_an_owner_is_kept_for_the_next_one(tmp_path, capsys, opened):
    path = tmp_path / "a.sqlite"
    with owning(elsewhere=False) as variables:
        worker = opened(path, variables)
        assert worker.get("x") is None
    worker.settle(1, "b", True, 0.0)
    with pytest.raises(OwnerLostError, match=r"does not answer at 127\.0\.0\.1"):
        worker.put(answer("1"))
    assert "an answer came after the run had ended" in capsys.readouterr().err
    with owning(elsewhere=False) as variables:
        assert opened(path, variables).get(answer("1").key) == answer("1")
    assert list((tmp_path / "cache" / "late-answers").glob("*/*")) == []


def test_answers_without_an_owner_are_taken_once_by_many_workers_or_by_a_run_in_one_process(tmp_path, opened):
    path = tmp_path / "a.sqlite"
    late = owner._late(path)
    late.mkdir(parents=True)

    def leave(numbers):
        for number in numbers:
            kept = answer(str(number))
            (late / f"{kept.key}.jsonl").write_text(json.dumps(kept._asdict()) + "\n", encoding="utf-8")

    leave(range(8))
    with owning(elsewhere=False) as variables, ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda n: opened(path, variables).get(answer(str(n)).key), range(8))
        assert [one.key for one in found] == [answer(str(n)).key for n in range(8)]
    leave([8])
    with closing(open_answers(path)) as store:
        assert store.get(answer("8").key) == answer("8")
    assert list(late.iterdir()) == []


def test_strangers_are_refused_and_errors_of_the_store_reach_the_worker(tmp_path, opened):
    with owning(elsewhere=False) as variables:
        host, port, token = variables[owner.OWNER].split(" ")
        with pytest.raises(OwnerLostError, match="another program answers there"):
            opened(tmp_path / "a.sqlite", {owner.OWNER: f"{host} {port} {token}x"}).get("x")
        with pytest.raises(SetupError, match="cannot be used: unable to open") as caught:
            opened(tmp_path, variables).get("x")
        assert "MDRBENCH_ANSWERS" in caught.value.mend
