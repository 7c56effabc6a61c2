from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from support.folders import FolderMaker

from mdrbench.commands.run import plan_all, run_plans
from mdrbench.core.errors import DataError
from mdrbench.core.store import Store
from mdrbench.evaluation import inference, measures
from mdrbench.pipeline import write_result
from mdrbench.results import comparison


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """BM25 and a variant of it, recorded on two languages of the sample."""
    root = tmp_path_factory.mktemp("recorded")
    store = Store(root / "store")
    paths = []
    for overrides in ([], ["retriever.b=1", "retriever.k1=3"]):
        plans = plan_all(["bm25"], "sample", "fi,sw", "dev", overrides, store)
        [(path, _)], error = run_plans(plans, store, root / "results", "mdrbench run", quiet=True)
        assert error is None
        paths.append(path)
    return paths


def topics(path, lang):
    return measures.read_topic_scores(path.with_suffix("") / f"{lang}-dev.topics.tsv.gz")[0]


def test_tests_are_paired_by_topic_and_corrected_over_languages(recorded):
    found = comparison.compare(*recorded, "nDCG@10", top=5)
    assert [row.lang for row in found.languages] == ["fi", "sw"]
    differences = {}
    for row in found.languages:
        a, b = (topics(path, row.lang) for path in recorded)
        x = np.array([a[qid]["nDCG@10"] for qid in a])
        y = np.array([b[qid]["nDCG@10"] for qid in a])
        differences[row.lang] = x - y
        assert row.test.topics == 12
        assert row.test.difference == pytest.approx((x - y).mean())
        assert row.test.wins + row.test.ties + row.test.losses == 12
        differing = int((x != y).sum())
        sign_test = stats.binomtest(int((x > y).sum()), differing).pvalue if differing < 5 else 0
        assert row.test.p == pytest.approx(max(stats.ttest_rel(x, y).pvalue, sign_test))
    raw = [row.test.p for row in found.languages]
    assert [row.p_corrected for row in found.languages] == inference.holm(raw)
    assert (found.seeds, found.family) == (None, "the 2 languages of this pair; the average is one test")
    assert found.average.value == pytest.approx(np.mean([d.mean() for d in differences.values()]))
    assert found.average.low <= found.average.value <= found.average.high
    assert found.average_label == "average of 2 languages"


def test_the_topics_that_moved_most_come_first_with_their_query(recorded):
    found = comparison.compare(*recorded, "nDCG@10", top=3)
    moves = [abs(m.a - m.b) for m in found.moved]
    assert len(moves) == 3
    assert moves == sorted(moves, reverse=True)
    every = [
        abs(a[qid]["nDCG@10"] - b[qid]["nDCG@10"])
        for lang in ("fi", "sw")
        for a, b in [[topics(path, lang) for path in recorded]]
        for qid in a
    ]
    assert moves == sorted(every, reverse=True)[:3]
    assert all(m.query for m in found.moved)


def test_a_result_against_itself_does_not_differ(recorded):
    found = comparison.compare(recorded[0], recorded[0], "MRR@10", top=5)
    assert all(row.test.ties == 12 and row.p_corrected == 1 for row in found.languages)
    assert found.moved == []


def test_unlike_is_not_compared_with_like(recorded, tmp_path):
    folder = FolderMaker(tmp_path / "other").whole("sw")
    store = Store(tmp_path / "store")
    plans = plan_all(["bm25"], str(folder.root), "sw", "dev", [], store)
    [(other, _)], _ = run_plans(plans, store, tmp_path / "results", "x", quiet=True)
    with pytest.raises(DataError, match="the corpora of 'sw' differ"):
        comparison.compare(recorded[0], other, "nDCG@10", top=5)
    with pytest.raises(DataError, match=r"has no nDCG@5[\s\S]*choose among nDCG@10"):
        comparison.compare(*recorded, "nDCG@5", top=5)


def test_a_changed_topic_file_is_found(recorded):
    path = recorded[1].with_suffix("") / "fi-dev.topics.tsv.gz"
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + b"\x01")
    try:
        with pytest.raises(DataError, match=r"fi-dev\.topics\.tsv\.gz: is (missing|not the file)"):
            comparison.compare(*recorded, "nDCG@10", top=5)
    finally:
        path.write_bytes(kept)


def test_a_variant_is_marked_and_lies_apart(recorded):
    from mdrbench import results

    base, variant = (results.read(path) for path in recorded)
    assert recorded[0].parent.name == "sample"
    assert recorded[1].parent.name == "variants"
    assert (base.system.variant_of, variant.system.variant_of) == (None, "bm25")
    assert variant.system.overrides == ["retriever.b=1", "retriever.k1=3"]
    assert base.evaluated.tie_rule == write_result.TIE_RULE
