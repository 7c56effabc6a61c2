"""A judge is tried on positives and on passages of other articles before it is used."""

from __future__ import annotations

import random
from functools import partial

import pytest
from support.chat_server import ChatServer
from support.judging import grades
from support.project import WIKI16

from mdrbench.commands import experiment, run
from mdrbench.commands import negatives as commands
from mdrbench.core.errors import StepError
from mdrbench.core.types import Judgment, Passage
from mdrbench.negatives import canaries
from mdrbench.negatives.groups import Keep
from mdrbench.pipeline.plan.negatives import canaries_step
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.recipe import load

TOPICS = {f"q{n}": f"question {n}" for n in range(60)}
QRELS = {f"q{n}": {f"{n}#0": 1, f"{n}#1": 0, **({f"{n}#2": 1} if n % 2 else {})} for n in range(60)}
PASSAGES = {docid: Passage(docid, "", docid) for judged in QRELS.values() for docid in judged}
KEEP = Keep("irrelevant", "drop")


class Grading:
    """Gives the grade that a function of the pair returns."""

    def __init__(self, grade, reference="shown"):
        self.grade, self.reference = grade, reference

    def judge(self, pairs, progress):
        for pair in pairs:
            grade = self.grade(pair)
            yield Judgment(pair.qid, pair.passage.docid, grade, grade)


def asked(judge, questions=40, reference=True):
    drawn = canaries.choose("sw", TOPICS, QRELS, questions, seed=0)
    return canaries.pairs(drawn, "sw", TOPICS, PASSAGES, judge.reference, reference)


def measured(judge, keep=KEEP, questions=40):
    return canaries.measure(judge, asked(judge, questions), questions, keep, lambda done: None)


def is_positive(pair) -> bool:
    return QRELS[pair.qid].get(pair.passage.docid, 0) > 0


def test_each_question_comes_with_a_positive_and_one_of_another_article():
    drawn = canaries.choose("sw", TOPICS, QRELS, 40, seed=0)
    assert len(drawn) == 40
    assert drawn == canaries.choose("sw", TOPICS, QRELS, 40, seed=0)
    assert drawn != canaries.choose("sw", TOPICS, QRELS, 40, seed=1)
    assert drawn != canaries.choose("fi", TOPICS, QRELS, 40, seed=0)
    for qid, positive, reference, other, zero in drawn:
        assert QRELS[qid][positive] == 1
        assert other not in QRELS[qid]
        assert other.split("#")[0] != positive.split("#")[0]
        assert QRELS[qid][zero] == 0
        assert reference is None or (reference != positive and QRELS[qid][reference] == 1)
    assert len(canaries.choose("sw", TOPICS, QRELS, 100, seed=0)) == 60
    assert canaries.choose("sw", {"q1": "alone"}, QRELS, 40, seed=0) == []


def test_the_reference_is_another_positive_or_none_unless_the_judge_needs_one():
    shown = asked(Grading(is_positive))
    for kind, pair, own in shown:
        assert not own
        assert (pair.reference is None) == (int(pair.qid[1:]) % 2 == 0)
        assert kind != "positives" or pair.reference is None or pair.reference != pair.passage
    assert {pair.reference for _, pair, _ in asked(Grading(is_positive), reference=False)} == {None}
    needing = measured(Grading(is_positive, reference="needed"))
    assert needing["without_reference"] == 0
    assert 0 < needing["own_reference"] < 40


def test_a_judge_that_works_passes_and_zeros_decide_nothing():
    facts = measured(Grading(lambda pair: 2 * is_positive(pair)))
    assert facts["statistic"] == facts["auc_others"] == facts["auc_zeros"] == 1
    assert facts["positives"] == {"n": 40, "dropped": 40, "unreadable": 0}
    assert facts["others"] == {"n": 40, "dropped": 0, "unreadable": 0}
    lenient = measured(Grading(lambda pair: 2 * (pair.passage.docid in QRELS[pair.qid])))
    assert (lenient["statistic"], lenient["auc_zeros"]) == (1, 0.5)
    assert canaries.decide({"sw": lenient}, 0.5)["sw"] == canaries.Outcome("passed", 1.0, [])
    partly = Grading(lambda pair: 1 * is_positive(pair))
    assert measured(partly, Keep("not-relevant", "drop"))["statistic"] == 0  # grade 1 stays there


@pytest.mark.parametrize(
    ("grade", "statistic"),
    [(lambda pair: 0, 0), (lambda pair: 1, 0), (lambda pair: 2, 0), (lambda pair: None, -1)],
)
def test_a_judge_that_always_says_the_same_stops(grade, statistic):
    facts = measured(Grading(grade))
    assert facts["statistic"] == statistic
    error = canaries.refusal(canaries.decide({"sw": facts}, 0.5), 0.5)
    assert f"sw {statistic:.2f}; at least 0.5" in error.message
    assert "negatives.canaries.below=continue" in error.mend


def choice(draw, pair):
    return draw.choice([0, 1, 2])


def test_a_judge_at_random_stops():
    for seed in range(20):
        facts = measured(Grading(partial(choice, random.Random(seed))))
        assert canaries.decide({"sw": facts}, 0.5)["sw"].verdict == "below"


def row(n: int, right: int, recorded: bool = False) -> dict:
    counts = {"positives": {"n": n, "dropped": right}, "others": {"n": n, "dropped": n - right}}
    return {"recorded": recorded, **counts}


def test_languages_with_few_questions_are_decided_on_together():
    outcomes = canaries.decide({"en": row(40, 40), "fi": row(12, 12), "sw": row(12, 6), "th": row(40, 20)}, 0.5)
    together = canaries.Outcome("passed", 0.5, ["fi", "sw"])
    assert outcomes == {
        "en": canaries.Outcome("passed", 1.0, []),
        "fi": together,
        "sw": together,
        "th": canaries.Outcome("below", 0.0, []),
    }
    assert "other articles: th 0.00;" in canaries.refusal(outcomes, 0.5).message
    assert canaries.decide({"en": row(5, 2)}, 0.5)["en"].verdict == "below"
    assert canaries.decide({"en": row(0, 0)}, 0.5)["en"].verdict == "not checked"


def test_recorded_judges_are_tried_on_the_pairs_that_they_hold():
    class Recorded(Grading):
        def holds(self, pair):
            return int(pair.qid[1:]) < 30

    judge = Recorded(lambda pair: 0)
    kept = canaries.held(judge, asked(judge))
    assert {int(one.pair.qid[1:]) for one in kept} < set(range(30))
    facts = canaries.measure(judge, kept, 40, KEEP, lambda done: None)
    assert facts["recorded"]
    few = {"en": row(10, 5, True), "fi": row(9, 0, True)}
    assert {outcome.verdict for outcome in canaries.decide(few, 0.5).values()} == {"not checked"}
    assert canaries.refusal(canaries.decide(few, 0.5), 0.5) is None
    enough = canaries.decide({"en": row(10, 5, True), "fi": row(10, 5, True)}, 0.5)
    assert enough["en"] == canaries.Outcome("below", 0.0, ["en", "fi"])


JUDGE = '''
"""Always the same grade."""
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.types import Judgment
from mdrbench.negatives.judges._local import FREE

class Config(MemberConfig):
    grade: int = 2

class Same:
    spec = Spec(Config, version=1)
    reference = "ignored"
    def __init__(self, config): self.config = config
    def prepare(self, say): pass
    def conventions(self): return {}
    def estimate(self, pairs): return FREE
    def judge(self, pairs, progress):
        for pair in pairs:
            yield Judgment(pair.qid, pair.passage.docid, self.config.grade, self.config.grade)
    def facts(self): return {}
'''


def test_a_run_stops_before_it_encodes_and_goes_on_by_an_explicit_setting(tmp_path, store, capsys):
    (tmp_path / "same.py").write_text(JUDGE, encoding="utf-8")
    (tmp_path / "stopped.yaml").write_text(
        "name: stopped\nsummary: x\nretriever: {name: bm25}\n"
        "negatives: {mining: {name: topk}, judge: {name: ./same.py}, size: 5}\n",
        encoding="utf-8",
    )
    path = str(tmp_path / "stopped.yaml")
    with pytest.raises(StepError, match=r"other articles: sw 0.00 \(pooled\), te 0.00 \(pooled\)"):
        commands.make(path, "sample", "sw,te", [], store, quiet=True)
    assert {folder.name for folder in (store.root / "artifacts").iterdir()} == {"corpus", "topics", "canaries"}
    more = ["negatives.canaries.below=continue", "negatives.mining={name: random}"]
    mined, error = commands.make(path, "sample", "sw", more, store, quiet=True)
    assert error is None
    assert "going on (negatives.canaries.below)" in capsys.readouterr().err
    assert mined.outcomes()["sw"] == canaries.Outcome("below", 0.0, [])
    assert load(path).digest == load(path, ["negatives.canaries.below=continue"]).digest


def test_an_experiment_stops_at_a_judge_that_fails_its_trial(tmp_path, store, tiny_model):
    (tmp_path / "same.py").write_text(JUDGE, encoding="utf-8")
    (tmp_path / "stopped.yaml").write_text(
        f"summary: x\nretriever: {{name: dense, encoder: {{name: transformer, model: {tiny_model}, pooling: mean, "
        "normalize: true, query_length: 16, passage_length: 32, precision: fp32}}\n"
        "negatives: {mining: {name: random}, judge: {name: ./same.py}, size: 5}\ntraining: {domains: {name: none}}\n",
        encoding="utf-8",
    )
    (tmp_path / "all.yaml").write_text(
        f"summary: x\ndata: sample\nlanguages: [sw]\nblocks: [{{seeds: [0], systems: [{tmp_path / 'stopped.yaml'}]}}]\n"
    )
    declared = experiment.load(str(tmp_path / "all.yaml"))
    cells = experiment.cells(declared, tmp_path / "results")
    with pytest.raises(StepError, match="other articles"):
        next(experiment.fill(declared, cells, store, tmp_path / "results", True))
    assert "index" not in {folder.name for folder in (store.root / "artifacts").iterdir()}


def test_recorded_verdicts_of_the_sample_are_not_checked_and_go_on(store):
    mined, error = commands.make(
        "boosted-sample",
        "sample",
        "sw",
        ["negatives.mining={name: random}", "negatives.generation={name: none}"],
        store,
        quiet=True,
    )
    assert error is None
    assert mined.outcomes()["sw"].verdict == "not checked"


ME5_SMALL = """
name: teacher
summary: me5-small judges
retriever: {name: bm25}
negatives:
  mining: {name: topk}
  judge:
    name: bi-encoder
    encoder:
      name: transformer
      model: me5-small
      pooling: mean
      normalize: true
      query_prefix: "query: "
      passage_prefix: "passage: "
      query_length: 64
      passage_length: 128
"""


@pytest.mark.slow
@pytest.mark.wiki16
def test_me5_small_passes_in_all_16_languages_of_wiki16(tmp_path, store, me5_small):
    path = tmp_path / "teacher.yaml"
    path.write_text(ME5_SMALL, encoding="utf-8")
    inputs = run.load_inputs([str(path)], str(WIKI16), "all", "train", [])
    steps, tried = [], {}
    for lang in inputs.languages:
        planner = Planner(inputs.dataset, lang, store)
        tried[lang] = canaries_step(inputs.recipes[0], planner)
        steps += planner.steps.values()
    trial = run.Trial(inputs.recipes[0], tried, steps, list(tried.values()))
    outcome, error = run.try_judges([trial], store, quiet=True)
    assert error is None
    facts = {lang: outcome.artifacts[step.ref].facts for lang, step in tried.items()}
    assert len(facts) == 16
    assert min(row["statistic"] for row in facts.values()) >= 0.5
    assert min(row["auc_others"] for row in facts.values()) >= 0.95


LLM = """
name: asked
summary: x
retriever: {{name: bm25}}
negatives:
  mining: {{name: random, k: 3, depth: 4}}
  judge: {{name: llm, {endpoint}}}
  canaries: {{questions: 5, below: continue}}
  size: 2
"""


def test_the_estimate_counts_the_trial_which_is_paid_for_once(tmp_path, store, capsys):
    with ChatServer(lambda body: grades(0, 0)).running() as server:
        endpoint = f"model: tiny-chat, base_url: '{server.url}', check_model: false, store: {tmp_path / 'a.sqlite'}"
        path = tmp_path / "asked.yaml"
        path.write_text(LLM.format(endpoint=endpoint), encoding="utf-8")
        rows = commands.estimate(str(path), "sample", "sw", [], store, quiet=True)["sw"]
        assert server.requests == []
        assert {stage: row["at_most"] for stage, row in rows.items()} == {"canaries": False, "judge": False}
        assert rows["judge"]["requests"] == 12 * 3
        assert 10 <= rows["canaries"]["requests"] <= 15
        mined, error = commands.make(str(path), "sample", "sw", [], store, quiet=True)
        assert error is None
        assert len(server.requests) == rows["canaries"]["requests"] + rows["judge"]["requests"]
        facts = mined.facts("sw")["judge"]
        assert facts["guess"]["requests"] == facts["judge"]["requests"] == rows["judge"]["requests"]
        assert mined.outcomes()["sw"] == canaries.Outcome("below", 0.0, [])
        more = ["negatives.keep=not-relevant"]  # other artifacts, the same answers
        commands.make(str(path), "sample", "sw", more, store, quiet=True)
        assert len(server.requests) == rows["canaries"]["requests"] + rows["judge"]["requests"]
        again = commands.estimate(str(path), "sample", "sw", [], store, quiet=True)["sw"]
        assert again["judge"]["requests"] == 0
