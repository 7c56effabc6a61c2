from __future__ import annotations

import json

import pytest
from support.project import PROJECT
from support.results import measured, sealed
from support.site_pages import model, rendered
from support.site_systems import KEY, LOG, RECIPE, Read, language, save, trained

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.results import Result
from mdrbench.site.model import number_format, recipe_diff, system_facts
from mdrbench.site.pages import published, system
from mdrbench.site.pages.page import Copy

PAGE = "tiny/systems/mine.html"


def pages(tmp_path):
    return rendered(tmp_path / "results", tmp_path / "cache", system.pages)


def offered(tmp_path) -> dict[str, Copy]:
    """Address -> file that the pages of measured systems offer."""
    files = system.pages(model(tmp_path / "results", tmp_path / "cache"))
    return {file.path: file for file in files if isinstance(file, Copy)}


def page(tmp_path, address=PAGE) -> Read:
    return Read(pages(tmp_path)[address])


def test_a_page_says_what_a_system_is_how_well_it_does_and_what_it_took(tmp_path):
    save(tmp_path / "results", trained(), LOG)
    found = page(tmp_path)
    assert "0.500 nDCG@10 0.450–0.550 average of 2 languages" in found.text
    assert (found.terms["backbone"], found.terms["judge"], found.terms["licence"]) == ("bge-m3", "llm", "mit")
    assert found.row("average of 2 languages") == ["average of 2 languages", "0.500 0.450–0.550", "–"]
    assert found.row("Arabic")[1:3] == ["0.500 0.400–0.600", "0.900 0.800–1.000"]
    assert found.terms["time of all steps"] == "11 min 47 s"  # 5 + 600 + 2 * 51
    assert found.terms["peak memory"] == "4.0 GB"
    assert found.terms["requests of the judge"] == "238 and 2 answered from the store"
    assert found.terms["price of the judge"] == "0.50"
    stages = found.rows[found.rows.index(["Stage", "Steps", "Peak memory", "Time"]) + 1 :][:5]
    assert [row[0] for row in stages] == ["corpus", "judge training groups", "label", "train", "index"]
    assert "mdrbench run mine --data tiny --langs all" in found.text
    assert "f" * 64 in found.text
    assert KEY in found.text


def test_training_is_a_curve_with_a_table_and_domains_are_counted(tmp_path):
    save(tmp_path / "results", trained(), LOG)
    found = page(tmp_path)
    [drawing] = [attrs for tag, attrs in found.tags if tag == "div" and attrs.get("role") == "img"]
    assert drawing["aria-label"] == (
        "Training of mine: the loss of the batches went from 1 at step 1 to 0.125 at step 8. "
        "The lowest loss of the held-out queries was 0.25, after step 8. The learning rate was at most 8e-06."
    )
    assert found.row("8")[:4] == ["8", "0.125", "0.25", "8e-06"]
    assert found.row("Language")[:2] == ["Language", "nDCG@10"]
    [domains] = [row for row in found.rows if row[:3] == ["Language", "Queries", "Sports"]]
    counted = found.rows[found.rows.index(domains) + 1 :][:2]
    assert [row[1:] for row in counted] == [["12", "9", "3"], ["12", "12", ""]]
    assert "8 of 10, stopped early" in found.text


def test_hard_negatives_are_counted_by_language():
    result = Result.model_validate(trained())
    arabic, swahili = system_facts.groups(result)
    assert (arabic.queries, arabic.retrieved, arabic.mined, arabic.eliminated) == (12, 360, 120, 20)
    assert (arabic.kept, arabic.generated, arabic.negatives, arabic.short, arabic.missing) == (100, 40, 140, 1, 3)
    assert arabic.share == pytest.approx(1 / 6)
    assert swahili.generated == 30
    odd = trained()
    odd["languages"] = {"ar": {**language("ar"), "negatives": {"mine": {"queries": "many"}}}}
    odd["averages"] = []
    assert system_facts.groups(Result.model_validate(odd)) == []


def test_a_step_that_languages_share_costs_once():
    found = system_facts.cost(Result.model_validate(trained()))
    assert {row.stage: (row.steps, row.seconds) for row in found.stages} == {
        "corpus": (2, 2.0), "groups/judge": (2, 60.0), "label": (1, 5.0), "train": (1, 600.0), "index": (2, 40.0),
    }  # fmt: skip
    assert system_facts.cost(Result.model_validate(measured())) is None


def test_a_recipe_is_held_against_its_parent_key_by_key(tmp_path):
    parent = {**RECIPE, "name": "base", "training": {"batch_size": 24}, "seed": 1}
    save(
        tmp_path / "results",
        measured(system={"name": "base", "summary": "", "recipe": parent, "recipe_digest": "2" * 64}),
    )
    save(tmp_path / "results", trained(), LOG)
    changed = trained()
    changed["system"] |= {"variant_of": "mine", "overrides": ["negatives=null"], "recipe_digest": "3" * 64,
                          "recipe": {key: value for key, value in RECIPE.items() if key != "negatives"}}  # fmt: skip
    changed["trainings"] = {}
    save(tmp_path / "results", changed)
    found = page(tmp_path)
    assert found.row("training.batch_size") == ["training.batch_size", "24", "8"]
    assert found.row("seed") == ["seed", "1", "not set"]
    variant = next(name for name in pages(tmp_path) if name.startswith("tiny/systems/mine-3"))
    of_variant = page(tmp_path, variant)
    assert of_variant.row("negatives.size") == ["negatives.size", "20", "not set"]
    assert ("a", {"href": "../../tiny/systems/mine.html"}) in of_variant.tags
    assert ("a", {"href": f"../../{variant}"}) in found.tags


def test_a_parent_without_a_result_is_read_from_the_recipe_that_is_shipped(tmp_path):
    recipe = {**RECIPE, "extends": "boosted", "negatives": {"size": 12, "unreadable": "drop"}}
    data = measured(system={"name": "mine", "summary": "", "recipe": recipe, "recipe_digest": "1" * 64})
    save(tmp_path / "results", data)
    found = page(tmp_path)
    assert found.row("negatives.size") == ["negatives.size", "30", "12"]
    assert "negatives.unreadable" not in [row[0] for row in found.rows if row]
    assert "Keys that this file leaves at their defaults are not compared" in found.text


def test_changes_of_a_recipe():
    before = {"name": "a", "summary": "x", "retriever": {"name": "bm25", "k1": 0.9}, "list": [1, 2]}
    after = {"name": "b", "summary": "y", "retriever": {"name": "bm25", "k1": 1.2, "b": 0.4}, "empty": {}}
    assert [(*change, change.kind) for change in recipe_diff.compare(before, after)] == [
        ("retriever.k1", "0.9", "1.2", "changed"),
        ("retriever.b", None, "0.4", "added"),
        ("empty", None, "{}", "added"),
        ("list", "[1, 2]", None, "removed"),
    ]


def test_files_are_offered_only_where_they_are_those_recorded(tmp_path):
    path = save(tmp_path / "results", trained(), LOG)
    files = offered(tmp_path)
    log = f"tiny/files/mine/training-{KEY[:12]}.jsonl.gz"
    assert set(files) == {"tiny/files/mine/mine.json", log}
    assert files[log].source == path.parent / "mine" / f"training-{KEY[:12]}.jsonl.gz"
    data = json.loads(path.read_text())
    outside = tmp_path / "secret"
    outside.write_bytes(b"x")
    (path.parent / "link").symlink_to(outside)
    data["languages"]["ar"]["files"] = {
        "run": {"path": "link", "bytes": 1, "sha256": "0" * 64},
        "topics": {"path": "gone", "bytes": 1, "sha256": "0" * 64},
    }
    data["trainings"][KEY[:12]]["log"]["bytes"] += 1
    path.write_text(json.dumps(sealed(data)))
    assert set(offered(tmp_path)) == {"tiny/files/mine/mine.json"}
    assert page(tmp_path).text.count("not present") == 3


def test_a_log_that_is_none_stops_the_build(tmp_path):
    save(tmp_path / "results", trained(), [{"kind": "train", "step": "one", "loss": 1.0}])
    with pytest.raises(DataError, match="not a log of a training"):
        pages(tmp_path)


def test_published_figures_name_their_sources_and_the_recipe_that_reproduces_them(tmp_path):
    def published_page() -> Read:
        made = rendered(tmp_path / "results", tmp_path / "cache", published.pages)
        return Read(next(text for address, text in made.items() if address.startswith("systems/bge-boosted-")))

    save(tmp_path / "results", measured())
    found = published_page()
    assert found.text.count("Huang et al.: Boosting Data Utilization") == 4  # two tables of two measures each
    assert found.terms["reproduced by"].startswith("mdrbench run boosted --data miracl --langs all ; not measured yet")
    assert found.row("average")[1:3] == ["0.706", "0.706"]
    assert found.row("Russian")[1:3] == ["0.716≠", "0.708≠"]
    claim = {**RECIPE, "published": {"systems": ["BGE + boosted"]}}
    data = measured(
        dataset="miracl", system={"name": "ours", "summary": "", "recipe": claim, "recipe_digest": "1" * 64}
    )
    save(tmp_path / "results", data)
    assert published_page().terms["reproduced by"] == "ours on miracl (dev)"


def test_a_result_of_an_ablation_is_reproduced_by_the_command_of_its_own_recipe():
    data = trained()
    for entry in data["languages"].values():
        entry["command"] = "mdrbench ablate mine --data tiny --all"
    assert system_facts.commands(Result.model_validate(data)) == [
        (["ar", "sw"], "mdrbench run mine --data tiny --langs ar,sw")
    ]
    data["languages"]["ar"]["command"] = "mdrbench run bm25 mine --data tiny"
    data["languages"]["sw"]["command"] = "mdrbench run mine --data tiny --langs sw"
    assert [command for _, command in system_facts.commands(Result.model_validate(data))] == [
        "mdrbench run mine --data tiny --langs ar,sw", "mdrbench run mine --data tiny --langs sw",
    ]  # fmt: skip
    data["languages"]["sw"]["command"] = data["languages"]["ar"]["command"]
    data["system"] |= {"variant_of": "mine", "overrides": ["negatives=null"]}
    [(_, command)] = system_facts.commands(Result.model_validate(data))
    assert command == "mdrbench run mine --data tiny --langs ar,sw --set negatives=null"


def test_hostile_words_are_inert_text(tmp_path):
    evil = "<script>alert(1)</script>"
    data = trained()
    data["system"] |= {"name": "mine", "summary": evil, "recipe": {**RECIPE, evil: evil}}
    for entry in data["languages"].values():
        entry["command"] = entry["conventions"][evil] = evil
        entry["dataset"]["files"] = {evil: evil}
    data["trainings"][KEY[:12]]["domains"]["distribution"]["ar"] = {evil: 3}
    data["trainings"][KEY[:12]]["facts"] |= {"base": evil, "queries": [evil], "seconds": evil, "settings": evil}
    data["environments"]["0123456789ab"] = {evil: {evil: [evil, None, True]}}
    data["averages"][0]["label"] = evil
    data["system"]["submission"] = {"submitted_at": evil, "link": "javascript:alert(1)", "runs": {evil: evil}}
    save(tmp_path / "results", data, LOG)
    found = page(tmp_path)
    assert all(attrs.get("src", "").endswith(".js") for tag, attrs in found.tags if tag == "script")
    assert not any(str(attrs.get("href", "")).startswith("javascript") for _, attrs in found.tags)
    assert evil in found.text
    assert "mdrbench checked and scored run files that were submitted." in found.text


@pytest.mark.medium
def test_the_same_result_gives_the_same_pages(tmp_path):
    save(tmp_path / "results", trained(), LOG)
    assert pages(tmp_path) == pages(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.031, "0.03 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (3600, "1 h 00 min")]
)
def test_durations(seconds, said):
    assert number_format.duration(seconds).replace(number_format.NARROW_SPACE, " ") == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 B"), (999, "999 B"), (1400, "1.4 kB"), (5.8e9, "5.8 GB"), (2e12, "2.0 TB")]
)
def test_sizes(number, said):
    assert number_format.size(number).replace(number_format.NARROW_SPACE, " ") == said


def test_the_page_says_how_the_judge_was_tried_and_which_model_answered():
    result = results.read(PROJECT / "results" / "sample" / "boosted-sample.json")
    assert (system_facts.trial(result), system_facts.answered_by(result)) == ("not checked in 16 languages", [])
    verdicts = ["passed", "below", "passed"]
    for lang, verdict in zip(result.language_codes(), verdicts, strict=False):
        stages = result.languages[lang].negatives
        stages["canaries"] = {"outcome": {"verdict": verdict}, "judge": {"served": {"tiny (n_params 1)": 80}}}
    assert system_facts.trial(result) == (
        "passed in 2 languages, below the threshold in 1 language, not checked in 13 languages"
    )
    assert system_facts.answered_by(result) == ["tiny (n_params 1)"]
