from __future__ import annotations

import json

import pytest
from support.project import PROJECT

from mdrbench import recipe
from mdrbench.core.errors import StepError, UsageError
from mdrbench.core.members import Member
from mdrbench.core.types import Hit, Judgment, Negative, Pair, Passage, TrainingGroup
from mdrbench.data.access import open_dataset
from mdrbench.negatives import groups as negatives
from mdrbench.negatives.groups import Judging, Keep, Texts
from mdrbench.negatives.judges import replay
from mdrbench.pipeline.plan.negatives import plan_negatives
from mdrbench.pipeline.runner import run_step

TOPICS = {"q1": "largest lake", "q2": "ringed seal", "q3": "nobody judged me"}
QRELS = {"q1": {"p1": 1, "z1": 0}, "q2": {"p2": 1, "p1": 1}, "q4": {"p1": 0}}
CORPUS = [
    Passage("p1", "Saimaa", "Saimaa is a lake."),
    Passage("p2", "Seal", "A seal."),
    Passage("z1", "Inari", "Inari is a lake too."),
    Passage("t1", "Other title", "ＳＡＩＭＡＡ  is a lake."),  # p1's text in full-width letters
    *(Passage(f"n{i}", "", f"text {i}") for i in range(6)),
]
TEXTS = Texts.of({passage.docid for passage in CORPUS}, CORPUS)
PASSAGES = {passage.docid: passage for passage in CORPUS}
RUN = {
    "q1": [Hit(d, 9.0 - i) for i, d in enumerate(["p1", "t1", "z1", "n0", "n1", "n2"])],
    "q2": [Hit("p1", 3.0), Hit("n0", 2.0), Hit("p2", 1.0)],
    "q3": [Hit("n0", 1.0)],
}


def mined(name="topk", *, judged_zeros=True, size=None, scores=None, **settings):
    miner = Member.of("mining", {"name": name, **settings}).build()
    return negatives.mine(
        miner, TOPICS, QRELS, RUN, TEXTS, scores=scores or {}, judged_zeros=judged_zeros, size=size
    )  # fmt: skip


def docids(groups) -> dict[str, list[str]]:
    return {group.qid: [negative.docid for negative in group.negatives] for group in groups}


def judged(groups, judging, size, progress, *, relabel=False):
    """What a judge of all negatives leaves: groups, its verdicts, counts."""
    verdicts = judging.ask(negatives.everything(groups), progress)
    kept, counts = negatives.select(groups, verdicts, judging.keep, size, relabel=relabel)
    return kept, verdicts, counts


def test_positives_and_passages_with_their_text_are_never_negatives():
    groups, counts = mined(k=10)
    assert docids(groups) == {"q1": ["z1", "n0", "n1", "n2"], "q2": ["n0"]}
    assert groups[0].negatives[0] == Negative("z1", 7.0, "mined", True)
    assert groups[0].negatives[1] == Negative("n0", 6.0, "mined", False)
    assert groups[1].positives == ("p2", "p1")
    assert counts["queries"] == 2
    assert counts["queries_without_positive"] == 1
    assert counts["positives_taken_out"] == 3
    assert counts["twins_of_positives_taken_out"] == 1
    assert (counts["judged_zeros"], counts["judged_zeros_known"]) == (1, 1)
    assert (counts["short"], counts["missing"]) == (2, 6 + 9)


def test_judged_zeros_can_be_left_out():
    groups, counts = mined(judged_zeros=False, k=10)
    assert docids(groups)["q1"] == ["n0", "n1", "n2"]
    assert counts["judged_zeros_taken_out"] == 1


def test_a_group_is_cut_to_its_size_and_what_is_short_is_counted_not_padded():
    groups, counts = mined(size=2, k=10)
    assert docids(groups) == {"q1": ["z1", "n0"], "q2": ["n0"]}
    assert (counts["short"], counts["missing"]) == (1, 1)


def test_the_reference_is_the_best_or_the_worst_positive():
    scores = {"q1": {"p1": 7.5}, "q2": {"p2": 1.0, "p1": 3.0}}
    best, _ = mined("margin-pos", scores=scores, m=1, reference="best")
    worst, _ = mined("margin-pos", scores=scores, m=1, reference="worst")
    assert docids(best) == {"q1": ["n0", "n1", "n2"], "q2": []}  # q2: 2.0 is not below 3.0 - 1
    assert docids(mined("margin-pos", scores=scores, m=0.5, reference="best")[0])["q2"] == ["n0"]
    assert docids(worst)["q2"] == []


class Judge:
    """Grades by docid, and remembers what it was asked."""

    def __init__(self, **grades):
        self.grades = grades
        self.asked: list[Pair] = []

    def judge(self, pairs, progress):
        self.asked += pairs
        for number, pair in enumerate(pairs, 1):
            grade = self.grades.get(pair.passage.docid, 0)
            progress(number)
            yield Judgment(pair.qid, pair.passage.docid, grade, grade)


def judging(judge, grades="irrelevant", unreadable="drop", reference=True):
    return Judging(judge, "en", TOPICS, PASSAGES, reference, Keep(grades, unreadable))


def test_the_judge_sees_query_passage_and_the_first_positive():
    groups, _ = mined(k=10)
    judge = Judge()
    judged(groups, judging(judge), None, lambda n: None)
    assert judge.asked[0] == Pair("en", "q1", "largest lake", PASSAGES["z1"], PASSAGES["p1"])
    assert judge.asked[-1] == Pair("en", "q2", "ringed seal", PASSAGES["n0"], PASSAGES["p2"])
    blind = Judge()
    judged(groups, judging(blind, reference=False), None, lambda n: None)
    assert {pair.reference for pair in blind.asked} == {None}


@pytest.mark.parametrize(
    ("grades", "unreadable", "kept"),
    [
        ("irrelevant", "drop", ["z1"]),
        ("not-relevant", "drop", ["z1", "n0"]),
        ("irrelevant", "keep", ["z1", "n2"]),
    ],
)
def test_what_stays_after_judging(grades, unreadable, kept):
    groups, _ = mined(k=10)
    judge = Judge(n0=1, n1=2, n2=None)
    left, verdicts, counts = judged(groups, judging(judge, grades, unreadable), None, lambda n: None)
    assert docids(left)["q1"] == kept
    assert left[0].negatives[0].grade == 0
    assert verdicts["q1"]["n1"].grade == 2
    assert counts["candidates"] == 5
    assert counts["grades"] == {"0": 1, "1": 2, "2": 1}
    assert counts["unreadable"] == 1
    assert counts["eliminated_share"] == pytest.approx(1 - sum(map(len, docids(left).values())) / 5)


def test_judged_false_negatives_can_become_positives_unless_people_judged_them():
    groups, _ = mined(k=10)
    left, _, counts = judged(groups, judging(Judge(n0=1, n1=2, z1=2)), None, lambda n: None, relabel=True)
    assert left[0].positives == (*groups[0].positives, "n1")
    assert "n1" not in docids(left)["q1"]
    assert counts["relabelled"] == sum("n1" in group.positives for group in left)
    _, _, plain = judged(groups, judging(Judge(n1=2)), None, lambda n: None)
    assert "relabelled" not in plain


def test_a_judge_that_answers_for_another_passage_is_an_error():
    class Confused(Judge):
        def judge(self, pairs, progress):
            yield from (Judgment(pair.qid, "n5", 0, 0) for pair in pairs)

    groups, _ = mined(k=10)
    with pytest.raises(StepError, match="answered for 'n5' when asked for 'z1'"):
        judged(groups, judging(Confused()), None, lambda n: None)


def test_short_groups_are_filled_with_the_judges_veto():
    groups = [
        TrainingGroup("q1", ("p1",), (Negative("n0", 6.0, "mined", False, 0),)),
        TrainingGroup("q2", ("p2", "p1"), tuple(Negative(f"n{i}", 1.0, "mined", False, 0) for i in range(3))),
    ]
    run = {"q1": [Hit(d, 9.0 - i) for i, d in enumerate(["p1", "t1", "n1", "n0", "n2", "z1", "n3", "n4"])]}
    before = {"q1": {"n1": Judgment("q1", "n1", 2, 2)}}  # dropped earlier: not asked about again
    judge = Judge(n2=2)
    told = []
    full, asked, counts = negatives.top_up(
        groups, run, QRELS, TEXTS, before, judging(judge), judged_zeros=True, size=3, progress=lambda *n: told.append(n)
    )  # fmt: skip
    assert docids(full) == {"q1": ["n0", "z1", "n3"], "q2": ["n0", "n1", "n2"]}
    assert full[0].negatives[1] == Negative("z1", 4.0, "generated", True, 0)
    assert [pair.passage.docid for pair in judge.asked] == ["n2", "z1", "n3"]
    assert list(asked["q1"]) == ["n2", "z1", "n3"]
    assert told == [(1, 2), (2, 2), (3, 3)]
    assert (counts["generated"], counts["vetoed"], counts["short"]) == (2, 1, 0)


def test_without_a_judge_the_best_ranked_fill_up():
    groups = [TrainingGroup("q1", ("p1",), ())]
    run = {"q1": [Hit("n1", 2.0), Hit("n2", 1.0)]}
    full, asked, counts = negatives.top_up(
        groups, run, QRELS, TEXTS, {}, judging(None), judged_zeros=True, size=3, progress=lambda *n: None
    )  # fmt: skip
    assert docids(full) == {"q1": ["n1", "n2"]}
    assert asked == {"q1": {}}
    assert (counts["short"], counts["missing"]) == (1, 1)


# -- planning ----------------------------------------------------------------------------------------------------------

SAMPLE = """
summary: negatives of the sample
retriever: bm25
negatives:
  mining: {name: topk, k: 40}
  judge: {name: replay, ungraded: about-something-else}
  generation: {name: replay}
  size: 8
"""


def load(tmp_path, text=SAMPLE, *changes):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return recipe.load(str(path), list(changes))


def sample():
    return open_dataset("sample")


def stages(plan) -> list[str]:
    return [step.stage for step in plan.steps]


def test_the_steps_of_each_part(tmp_path, store):
    every = plan_negatives(load(tmp_path), sample(), "en", store)
    assert stages(every) == [
        *("corpus", "topics", "canaries", "index", "search", "mine", "judge", "generate", "search", "top_up"),
    ]
    unjudged = plan_negatives(load(tmp_path, SAMPLE, "negatives.judge.name=none"), sample(), "en", store)
    assert "judge" not in stages(unjudged)
    plain = plan_negatives(
        load(tmp_path, SAMPLE, "negatives.judge.name=none", "negatives.generation.name=none"), sample(), "en", store
    )
    assert stages(plain) == ["corpus", "topics", "index", "search", "mine"]
    assert plain.groups.params["size"] == 8
    assert plain.steps[3].key == every.steps[4].key  # the ranking is shared
    nothing = ("negatives.judge.name=none", "negatives.generation.name=none")
    drawn = plan_negatives(
        load(tmp_path, SAMPLE, "negatives.mining={name: random, k: 5}", *nothing), sample(), "en", store
    )
    assert stages(drawn) == ["corpus", "topics", "draw", "mine"]


@pytest.mark.medium
def test_the_record_of_the_last_step_names_every_step_before_it(tmp_path, store):
    single = "negatives.unjudged={mining: {name: topk, k: 6, depth: 100}, retriever: {name: bm25, k1: 1.2}}"
    planned = plan_negatives(load(tmp_path, SAMPLE, single), sample(), "en", store)
    assert stages(planned).count("search") == 3  # of candidates, of the single retriever, of generated queries
    for step in planned.steps:
        run_step(step, store.root, lambda event: None)
    recorded = {entry["key"] for entry in store.find(*planned.groups.ref).manifest["lineage"].values()}
    assert recorded == {step.key for step in planned.steps if step.stage != "canaries"}


def test_a_strategy_that_needs_scores_of_positives_is_refused_where_there_are_none(tmp_path, store):
    wanted = load(tmp_path, SAMPLE, "negatives.mining={name: perc-pos}")
    with pytest.raises(
        UsageError, match="'perc-pos' compares with the score of a positive, but 'bm25' cannot score a passage"
    ):
        plan_negatives(wanted, sample(), "en", store)


def test_a_recipe_without_negatives_has_none_to_plan(store):
    with pytest.raises(UsageError, match="'bm25' has no negatives"):
        plan_negatives(recipe.load("bm25"), sample(), "en", store)


@pytest.mark.medium
def test_scores_of_positives_are_those_of_the_ranking(tmp_path, store, tiny_models):
    from mdrbench.commands.run import run_steps
    from mdrbench.formats import groups as group_files
    from mdrbench.formats import jsonl, trec

    encoder = {"name": "transformer", "pooling": "mean", "normalize": False, "query_length": 32, "passage_length": 64}
    of = {m: {"name": "dense", "encoder": {**encoder, "model": str(tiny_models[m])}} for m in ("Bert", "XLMRoberta")}
    for retriever in (of["Bert"], {"name": "ensemble", "of": of}):
        text = f"summary: s\nretriever: {retriever}\nnegatives: {{mining: {{name: margin-pos, m: 0, depth: 60}}}}\n"
        plan = plan_negatives(load(tmp_path, text), sample(), "en", store)
        outcome = run_steps(plan.steps, plan.steps, store, quiet=True)
        assert not outcome.failures
        folder = {step.stage: outcome.artifacts[step.ref].path for step in plan.steps}
        run = trec.read_run(folder["search"] / "run.trec.gz")
        rows = jsonl.records(folder["positives"] / "positives.jsonl.gz", {"qid": str, "scores": dict})
        scores = {row["qid"]: row["scores"] for _, row in rows}
        assert len(scores) == 12
        for qid, hits in run.items():
            found = {hit.docid: hit.score for hit in hits if hit.docid in scores[qid]}
            assert found == pytest.approx({docid: scores[qid][docid] for docid in found}, rel=1e-5)
        for group in group_files.read(folder["mine"] / "groups.jsonl.gz"):
            assert all(negative.score < max(scores[group.qid].values()) for negative in group.negatives)


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def mdrbench(cli, tmp_path):
    """Run a command on the sample, as JSON."""
    path = tmp_path / "mine.yaml"
    path.write_text(SAMPLE)

    def run(*words: str):
        done = cli(*words, "--data", "sample", "--langs", "en,fa", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    run.recipe = str(path)
    return run


def test_mining_the_sample_offline_from_end_to_end(mdrbench, tmp_path):
    rows = mdrbench("mine", mdrbench.recipe)
    assert list(rows) == ["en", "fa"]
    for lang, row in rows.items():
        assert row["queries"] == 12
        assert row["positives_among_them"] == 0
        assert row["negatives"] + row["missing"] == 12 * 8
        assert 0 < row["eliminated_share"] < 0.2
        recorded = PROJECT / f"mdrbench/data/datasets/sample_data/judgments/judgments-{lang}-train.jsonl"
        verdicts = {
            (r["qid"], r["docid"]): min(r["accuracy"], r["completeness"])
            for r in map(json.loads, recorded.read_text(encoding="utf-8").splitlines())
        }
        judge = row["stages"]["judge"]
        assert judge["candidates"] == sum(judge["grades"].values())
        assert judge["eliminated"] == judge["grades"].get("1", 0) + judge["grades"].get("2", 0)
        assert judge["eliminated"] <= sum(grade > 0 for grade in verdicts.values())
    assert rows["fa"]["generated_share"] > 0  # BM25 retrieves too little in Persian
    assert rows["en"]["stages"]["top_up"]["generated"] == 0

    [shown] = mdrbench("negatives", "show", "Who discovered penicillin?", "--recipe", mdrbench.recipe)
    assert (shown["lang"], shown["qid"], len(shown["negatives"])) == ("en", "3", 8)
    assert shown["positives"][0]["docid"] == "2#0"
    assert {"docid", "score", "source", "judged", "grade", "title", "text"} == set(shown["negatives"][0])

    again = mdrbench("mine", mdrbench.recipe, "--export", "tevatron", "--out", str(tmp_path / "groups"))
    assert again == rows
    lines = (tmp_path / "groups" / "sample-mine-en.tevatron.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    assert len(lines) == 12
    assert len(first["negative_passages"]) == 8


def test_the_judge_against_the_qrels(mdrbench):
    rows = mdrbench("agreement", mdrbench.recipe, "--set", "negatives.judge.ungraded=unreadable")
    assert rows["en"]["n"] + rows["en"]["unreadable"] == sum(
        len(judged) - 1 for judged in _qrels("en").values() if any(judged.values())
    )  # every judged pair but the reference itself
    assert rows["en"]["neither"] + rows["en"]["judge_only"] > 20


def test_the_judge_against_judgments_of_ones_own(cli, mdrbench, tmp_path):
    first = {qid: negatives.positives(judged)[:1] for qid, judged in _qrels("en").items()}
    verdicts = replay.read(replay.SAMPLE / "judgments-en-train.jsonl")
    own = {
        (qid, docid): min(accuracy, completeness)
        for (qid, docid), (_, accuracy, completeness) in verdicts.items()
        if accuracy is not None and first.get(qid) and docid not in first[qid]
    }
    file = tmp_path / "own" / "qrels-en-train.tsv"
    file.parent.mkdir()
    words = "agreement", mdrbench.recipe, "--judgments", file.parent, "--pairs", "10000", "--data", "sample", "--json"

    def agreement(lines):
        file.write_text("".join(f"{qid} 0 {docid} {grade}\n" for qid, docid, grade in lines))
        return cli(*words, "--langs", "en")

    row = json.loads(agreement((*pair, grade) for pair, grade in own.items()).stdout)["en"]
    assert (row["n"], row["kappa"], row["unjudged"]) == (len(own), 1.0, 0)
    assert row["both"] == sum(grade > 0 for grade in own.values()) == 5
    other = json.loads(agreement((*pair, int(grade == 0)) for pair, grade in own.items()).stdout)["en"]
    assert other["accuracy"] == 0.0
    failed = agreement([("nobody", "2#0", 1)])
    assert failed.returncode == 3
    assert "query 'nobody' is not a topic of the split 'train' of 'en'" in failed.stderr
    assert "no judgments of fa" in cli(*words, "--langs", "fa").stderr


def _qrels(lang):
    from mdrbench.formats import trec

    return trec.read_qrels(sample().qrels_file(lang, "train"))


def test_an_estimate_asks_nothing(mdrbench):
    rows = mdrbench("mine", mdrbench.recipe, "--dry-run")
    assert list(rows["en"]) == ["canaries", "judge", "generate", "top_up"]
    assert {row["requests"] for row in rows["en"].values()} == {0}
    assert [row["at_most"] for row in rows["en"].values()][:2] == [False, False]


def test_a_generated_query_must_find_the_passage_that_it_was_written_from():
    run = {"q1": [Hit("n0", 3.0), Hit("p1", 2.0)], "q2": [Hit("n0", 3.0), Hit("n1", 2.0), Hit("p2", 1.0)]}
    kept, counts = negatives.round_trip(run, {"q1": "p1", "q2": "p2"}, 2)
    assert list(kept) == ["q1"]
    assert counts == {"round_trip": {"k": 2, "queries": 2, "failed": 1}}


def test_the_round_trip_changes_the_top_up_alone_and_is_on_in_boosted(tmp_path, store):
    plain = plan_negatives(load(tmp_path), sample(), "en", store)
    filtered = plan_negatives(load(tmp_path, SAMPLE, "negatives.round_trip=true"), sample(), "en", store)
    deep = plan_negatives(load(tmp_path, SAMPLE, "negatives.round_trip=500"), sample(), "en", store)
    assert [one.key for one in plain.steps[:-1]] == [one.key for one in filtered.steps[:-1]]
    assert plain.groups.key != filtered.groups.key
    assert "round_trip" not in plain.groups.params
    assert filtered.groups.params["round_trip"] == filtered.steps[-2].params["depth"]
    assert (deep.groups.params["round_trip"], deep.steps[-2].params["depth"]) == (500, 500)
    assert recipe.load("boosted").negatives.round_trip is True
    assert recipe.load("boosted", ["negatives.round_trip=false"]).digest != recipe.load("boosted").digest
