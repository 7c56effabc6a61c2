"""Full-corpus figures predicted from a pool's: the committed calibration, and the fit on made-up figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.project import PROJECT
from typer.testing import CliRunner

from mdrbench import results
from mdrbench.cli.app import app
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.results import comparable, mteb_tables, pool_to_full
from mdrbench.results.audit import audit_rows
from mdrbench.results.audit.calibration import points
from mdrbench.results.audit.rows import read_rows
from mdrbench.results.pool_to_full import Point


def test_the_committed_calibration_is_the_one_that_the_figures_give():
    rows = read_rows(PROJECT / "results")
    fitted = pool_to_full.fit(points(rows, audit_rows(rows)), "nDCG@10", "miracl-hard-negatives", "miracl")
    committed = pool_to_full.read(PROJECT / "results")
    assert set(committed.lines) == {*ALL, *SURPRISE}
    for lang, line in fitted.lines.items():
        assert committed.lines[lang].model_dump() == pytest.approx(line.model_dump(), rel=1e-9, abs=1e-12)
    assert committed.validation["all"].model_dump() == pytest.approx(fitted.validation["all"].model_dump())


def test_left_out_organisations_are_predicted_within_a_hundredth():
    check = pool_to_full.read(PROJECT / "results").validation["all"]
    assert (check.points, check.organisations, check.refused) == (418, 41, 42)
    assert check.error == pytest.approx(0.0083, abs=5e-5)
    assert abs(check.bias) < 0.0005
    assert check.coverage == pytest.approx(0.933, abs=5e-4)


def test_the_14_strong_models_gain_little_on_the_pool_and_keep_their_order():
    """What the calibration rests on, for the averages above .45 over all 16 languages."""
    rows = read_rows(PROJECT / "results")
    pools = {(r.system, r.revision): r for r in rows if r.corpus_variant == "hard-negatives"}
    both = [
        (r, pools[r.system, r.revision]) for r in rows if r.collection == "miracl" and (r.system, r.revision) in pools
    ]
    means = [
        tuple(sum(row.main[lang] for lang in ALL) / 16 for row in pair)
        for pair in both
        if all(set(ALL) <= row.main.keys() for row in pair)
    ]
    strong = sorted((full, pool) for full, pool in means if full > 0.45)
    assert len(strong) == 14
    gains = [pool - full for full, pool in strong]
    assert (round(min(gains), 3), round(max(gains), 3)) == (0.005, 0.024)
    assert [pool for _, pool in strong] == sorted(pool for _, pool in strong)


def made_up(organisations=12, noise=0.0, langs=ALL):
    generator = np.random.default_rng(7)
    return [
        Point(f"org{n}/model", lang, pool, 1.1 * pool - 0.08 + noise * generator.standard_normal())
        for lang in langs
        for n, pool in enumerate(np.linspace(0.2, 0.8, organisations).tolist())
    ]


def test_a_straight_line_is_found_again_and_the_range_is_kept():
    fitted = pool_to_full.fit(made_up(noise=1e-9), "nDCG@10", "pool", "full")
    line = fitted.lines["sw"]
    assert (line.slope, line.intercept) == (pytest.approx(1.1, abs=1e-6), pytest.approx(-0.08, abs=1e-6))
    assert line.low >= pool_to_full.FLOOR
    assert fitted.predict("sw", 0.5).value == pytest.approx(0.47, abs=1e-6)
    for pool in (0.2, 0.81):
        with pytest.raises(UsageError, match=rf"sw {pool} is outside the fitted range 0\.309 to 0\.800"):
            fitted.predict("sw", pool)
    with pytest.raises(UsageError, match="no calibration for 'xx'"):
        fitted.predict("xx", 0.5)


def test_intervals_hold_what_they_promise():
    fitted = pool_to_full.fit(made_up(organisations=60, noise=0.01), "nDCG@10", "pool", "full")
    assert fitted.validation["all"].coverage == pytest.approx(0.95, abs=0.02)
    assert fitted.validation["all"].error == pytest.approx(0.01, abs=0.001)
    prediction = fitted.predict("sw", 0.5)
    assert prediction.high - prediction.low == pytest.approx(4 * 0.01, rel=0.25)


def test_an_average_needs_all_16_languages():
    fitted = pool_to_full.fit(made_up(organisations=30, noise=0.005), "nDCG@10", "pool", "full")
    assert fitted.predict_all(dict.fromkeys(ALL[:15], 0.5)).average is None
    average = fitted.predict_all(dict.fromkeys(ALL, 0.5)).average
    assert average.value == pytest.approx(0.47, abs=0.002)
    assert 0 < average.high - average.low < 0.02  # narrower than one language's
    some = fitted.predict_all({**dict.fromkeys(ALL, 0.5), "sw": 0.1})
    assert (some.average, list(some.refused), len(some.languages)) == (None, ["sw"], 15)


def test_too_few_models_are_refused_and_a_missing_calibration_is_named(tmp_path):
    with pytest.raises(DataError, match="no language has 8 models"):
        pool_to_full.fit(made_up(organisations=4), "nDCG@10", "pool", "full")
    with pytest.raises(DataError, match=r"pool-to-full\.json: no calibration"):
        pool_to_full.read(tmp_path)


def test_the_command_predicts_refuses_and_prints_the_lines(monkeypatch):
    monkeypatch.chdir(PROJECT)
    answer = json.loads(CliRunner().invoke(app, ["pool-to-full", "sw=.69", "--json"]).stdout)
    expected = {"value": 0.685, "low": 0.661, "high": 0.710}
    assert answer["predicted"]["sw"] == pytest.approx(expected, abs=6e-4)
    assert (answer["refused"], answer["average_of_16"]) == ({}, None)
    for words, said in ((["sw=.1"], "outside the fitted range"), (["sw=71"], "is not LANG=SCORE")):
        with pytest.raises(UsageError, match=said):
            CliRunner().invoke(app, ["pool-to-full", *words], catch_exceptions=False)
    model = json.loads(
        CliRunner().invoke(app, ["pool-to-full", "--model", "intfloat/multilingual-e5-small", "--json"]).stdout
    )
    assert set(model["predicted"]) == {*ALL, *SURPRISE}
    average = model["average_of_16"]
    assert average["low"] < 0.6084 < average["high"]  # its published average on the full corpus
    with pytest.raises(UsageError, match="no figures of 'me5' on the pool"):
        CliRunner().invoke(app, ["pool-to-full", "--model", "me5"], catch_exceptions=False)
    shown = CliRunner().invoke(app, ["pool-to-full"])
    assert "in interval" in shown.stdout


def test_a_result_of_a_pool_is_read_and_one_of_the_full_corpus_refused(tmp_path):
    carried = next(
        c.result for c in mteb_tables.read_results(PROJECT / "results") if c.result.languages.keys() >= {"sw"}
    )
    path = tmp_path / "result.json"
    path.write_text(results.dump(carried))
    assert carried.evaluated.corpus_variant.startswith("hard-negatives")
    assert pool_to_full.figures_of(path)["sw"] == carried.languages["sw"].scores["nDCG@10"].value
    full = carried.model_copy(update={"evaluated": carried.evaluated.model_copy(update={"corpus_variant": "full"})})
    path.write_text(results.dump(full))
    with pytest.raises(DataError, match=r"result\.json: evaluated\.corpus_variant: the result is not of a pool"):
        pool_to_full.figures_of(path)


# -- what may be ranked together ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "depth", "counts"),
    [("nDCG@10", 100, 10), ("nDCG@10", 1000, 10), ("MRR@10", 5, 5), ("Recall@100", 1000, 100), ("MAP@100", 50, 50)],
)
def test_hits_below_the_cut_off_do_not_count(measure, depth, counts):
    assert comparable.effective_depth(measure, depth) == counts


def test_published_results_are_one_group_by_ndcg_whatever_their_depth():
    huang, *_ = [r for p in results.published_files(PROJECT / "results") if (r := results.read(p)).split == "dev"]
    deep = huang.model_copy(update={"evaluated": huang.evaluated.model_copy(update={"depth": 1000})})
    shallow = huang.model_copy(update={"evaluated": huang.evaluated.model_copy(update={"depth": 50})})
    pool = huang.model_copy(
        update={"evaluated": huang.evaluated.model_copy(update={"corpus_variant": "hard-negatives"})}
    )
    group = comparable.published_group
    assert group(huang, "nDCG@10") == group(deep, "nDCG@10") == group(shallow, "nDCG@10")
    assert group(huang, "Recall@100") == group(deep, "Recall@100") != group(shallow, "Recall@100")
    assert group(pool, "nDCG@10") != group(huang, "nDCG@10")
