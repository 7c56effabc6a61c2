from __future__ import annotations

import json
import shutil

import pytest
from support.project import PROJECT
from support.results import measured, sealed
from support.site_ablations import made_up, save
from support.site_pages import model, rendered
from support.site_systems import Read
from support.site_systems import save as save_result

from mdrbench.core.errors import DataError
from mdrbench.results import published
from mdrbench.results.ablations import Name
from mdrbench.site.model.collection import read_collections
from mdrbench.site.pages import ablation, system

PAGE = "tiny/ablations/mine.html"


def result(root, name="mine", variant_of=None, digest="0", value=0.7):
    """A result of the collection; with ``variant_of`` it lies where variants do."""
    cell = {"nDCG@10": {"value": value}}
    system = {"name": variant_of or name, "summary": "", "recipe_digest": digest * 64}
    if variant_of:
        system |= {"variant_of": variant_of, "overrides": ["hard-neg=none"]}
    languages = {"sw": {"scores": cell}}
    averages = [{"label": "average of 1 language", "languages": ["sw"], "scores": cell}]
    return save_result(root, measured(system=system, languages=languages, averages=averages))


def pages(tmp_path, *makers):
    return rendered(tmp_path / "results", tmp_path / "cache", *(makers or (ablation.pages,)))


def ablations(tmp_path):
    return model(tmp_path / "results", tmp_path / "cache").ablations


def shown(tmp_path, one=None):
    result(tmp_path / "results")
    save(tmp_path / "results", one or made_up())
    return next(recipe for recipe in ablations(tmp_path) if recipe.collection.name == "tiny")


def test_parts_are_sorted_by_what_they_lose_and_each_figure_has_words_and_a_table(tmp_path):
    found = shown(tmp_path)
    rows = found.effects("nDCG@10")
    assert [row.name.label for row in rows] == [
        "without stage 1", "without hard negatives", "without stage 2", "without stage 3", "without the judge",
        "without weights", "without generated queries", "without batches of one language",
    ]  # fmt: skip
    assert [row.significant for row in rows] == [True] * 5 + [False] * 3
    text = pages(tmp_path)[PAGE]
    drawings = [attrs["aria-label"] for tag, attrs in Read(text).tags if attrs.get("role") == "img"]
    assert drawings[0].startswith(
        "Differences in nDCG@10 when a part is removed, with intervals. "
        "The largest loss is without stage 1: −0.037. Intervals that exclude 0: without stage 1, without hard negatives"
    )
    assert len(drawings) == 4  # effects, waterfall, two sweeps
    assert text.count("Data of this figure") == 4
    assert Read(text).row("without weights")[1:3] == ["0.704", "−0.002"]


def test_stages_build_up_from_the_plain_recipe_to_the_complete_one(tmp_path):
    steps = shown(tmp_path).steps("nDCG@10")
    assert [(step.label, round(step.score, 3), step.gain and round(step.gain, 3)) for step in steps] == [
        ("no stage", 0.625, None),
        ("stage 1", 0.672, 0.047),
        ("stages 1, 2", 0.688, 0.016),
        ("stages 1, 2, 3 (complete)", 0.706, 0.018),
    ]
    assert shown(tmp_path).steps("MRR@10") == []


def test_other_recipes_stand_apart_from_the_recipes_own_parts(tmp_path):
    one = made_up()
    one.variants[3].names = [Name(label="naive", kind="rival")]
    result(tmp_path / "results")
    save(tmp_path / "results", one)
    text = pages(tmp_path)[PAGE]
    found = Read(text)
    drawings = [attrs["aria-label"] for tag, attrs in found.tags if attrs.get("role") == "img"]
    assert drawings[1].startswith("Differences in nDCG@10 with another recipe in its place, with intervals. ")
    assert "naive" in drawings[1]
    assert "naive" not in drawings[0]
    assert "Below zero: worse than mine. The retriever, data, measures and seeds are the same." in found.text
    assert any(row[:1] == ["naive"] and row[1].startswith("the recipe naive") for row in found.rows)


def test_a_sweep_has_the_complete_recipes_own_value_in_its_place(tmp_path):
    found = shown(tmp_path).sweeps("nDCG@10")
    assert list(found) == ["negatives.size", "training.decay"]
    assert [(point.value, point.effect is None) for point in found["negatives.size"]] == [
        ("10", False), ("20", False), ("30", True), ("40", False),
    ]  # fmt: skip
    table = Read(pages(tmp_path)[PAGE])
    assert table.row("30 (complete)") == ["30 (complete)", "0.706", "–", "–"]


def test_the_heat_map_is_centred_on_zero_and_marks_what_is_significant(tmp_path):
    found = ablation.heat_map(shown(tmp_path), "nDCG@10")
    cells = [cell for _, row in found.rows for cell in row]
    assert max(abs(cell.difference) for cell in cells) == found.largest
    assert all((cell.shade > 0) == (cell.difference > 0) for cell in cells if cell.shade)
    assert {abs(cell.shade) for cell in cells} <= set(range(ablation.SHADES + 1))
    averages = [row[0].difference for _, row in found.rows]
    assert averages == sorted(averages)
    for variant, row in found.rows:
        for lang, cell in zip(found.languages, row[1:], strict=True):
            assert cell.significant == variant.languages[lang]["nDCG@10"].starred
    head = Read(pages(tmp_path)[PAGE]).row("Variant")
    assert head[0] == "Variant"


def test_variants_lead_to_their_systems_pages_and_back(tmp_path):
    result(tmp_path / "results", variant_of="mine")
    one = made_up()
    one.variants[0].runs[0].result = "variants/mine-0000000000.json"
    result(tmp_path / "results")
    save(tmp_path / "results", one)
    found = pages(tmp_path, ablation.pages, system.pages)
    variant = "tiny/systems/mine-0000000000.html"
    assert ("a", {"href": f"../../{variant}"}) in Read(found[PAGE]).tags
    assert ("a", {"href": "../../tiny/systems/mine.html"}) in Read(found[PAGE]).tags
    result(tmp_path / "results", "other")
    [measured_one] = [recipe for recipe in ablations(tmp_path) if recipe.ablation]
    assert {entry.slug for entry in measured_one.entries} == {"mine", "mine-0000000000"}


def test_the_papers_ablation_is_on_miracls_page_from_the_first_day(tmp_path):
    result(tmp_path / "results")
    found = Read(pages(tmp_path)["miracl/ablations/boosted.html"])
    assert found.row("complete")[:2] == ["complete", "0.706"]
    assert found.row("without stage 1")[:3] == ["without stage 1", "0.669", "−0.037"]
    assert found.row("without stage 3")[:3] == ["without stage 3", "0.688", "−0.018"]
    assert "Huang et al.: Boosting Data Utilization for Multilingual Dense Retrieval. EMNLP 2025." in found.text
    assert "This ablation was not measured on miracl (dev) yet" in found.text


def test_beside_what_was_measured_it_says_that_the_collection_differs(tmp_path):
    result(tmp_path / "results")
    save(tmp_path / "results", made_up())
    found = Read(pages(tmp_path)[PAGE])
    assert "The published figures belong to another collection than tiny (dev)" in found.text
    row = next(row for row in found.rows if row[:2] == ["without stage 2", "0.685"] and len(row) == 6)
    assert row[2:] == ["−0.021", "0.685", "−0.021", "−0.029 to −0.013"]


def test_the_published_ablation_agrees_with_the_papers_other_tables():
    [path] = published.ablation_files(PROJECT / "results")
    found = published.read_ablation(path)
    entries = read_collections(PROJECT / "results")[0][0].published
    same = [entry for entry in entries if entry.result.system.name == found.system]
    averages = [average[1].value for entry in same if (average := entry.average("nDCG@10"))]
    assert averages == [found.complete, found.complete]
    assert [(one.parts, one.score) for one in found.variants] == [
        (["stage-1"], 0.669), (["stage-2"], 0.685), (["stage-3"], 0.688),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [({"complete": 70.6}, "complete: Input should be less than or equal to 1"), ({"colour": 1}, "colour: Extra")],
)
def test_a_bad_published_ablation_is_an_error_that_names_file_and_key(tmp_path, change, said):
    [path] = published.ablation_files(PROJECT / "results")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(sealed({**json.loads(path.read_text()), **change})))
    with pytest.raises(DataError, match=r"bad\.json") as error:
        published.read_ablation(bad)
    assert said in str(error.value)


def test_seeds_are_shown_where_their_results_are(tmp_path):
    one = made_up(seeds=3)
    for at, value in enumerate((0.70, 0.71, 0.704)):
        name = "mine" if not at else f"mine-{at}"
        result(tmp_path / "results", name, value=value)
    save(tmp_path / "results", one)
    found = Read(pages(tmp_path)[PAGE])
    assert [row for row in found.rows if row[:2] == ["complete", "43"]] == [["complete", "43", "0.710"]]
    assert "± 0.0021 over seeds" in found.text
    assert "± 0.0019" in found.text


@pytest.mark.medium
def test_several_ablations_have_a_list(tmp_path):
    result(tmp_path / "results")
    save(tmp_path / "results", made_up())
    assert "tiny/ablations/index.html" not in pages(tmp_path)
    save(tmp_path / "results", made_up("other"))
    listed = Read(pages(tmp_path)["tiny/ablations/index.html"])
    assert "14 variants, 3 languages; the largest loss in nDCG@10: without stage 1, −0.037" in listed.text


def test_an_ablation_without_its_results_is_an_error(tmp_path):
    result(tmp_path / "results")
    save(tmp_path / "results", made_up(dataset="elsewhere"))
    with pytest.raises(DataError, match=r"there is no result of elsewhere \(dev\)"):
        pages(tmp_path)


def test_hostile_words_are_inert_text(tmp_path):
    evil = "</script><script>alert(1)</script>"
    one = made_up()
    one.summary = one.command = one.absent[0].label = one.absent[0].why = one.variants[0].overrides[0] = evil
    for variant in one.variants:
        for name in variant.names:
            name.label, name.key, name.value = (
                f"{name.label}{evil}",
                name.key and evil,
                name.value and f"{name.value}{evil}",
            )
    result(tmp_path / "results")
    save(tmp_path / "results", one)
    text = pages(tmp_path)[PAGE]
    found = Read(text)
    assert "<script>alert" not in text
    assert all(attrs.get("src", "").endswith(".js") for tag, attrs in found.tags if tag == "script")
    assert evil in found.text


def test_the_same_ablation_gives_the_same_page(tmp_path):
    result(tmp_path / "results")
    save(tmp_path / "results", made_up(seeds=2))
    assert pages(tmp_path) == pages(tmp_path)


def test_a_variant_is_called_what_its_ablation_calls_it(tmp_path):
    shutil.copytree(PROJECT / "results" / "sample", tmp_path / "sample")
    [sample] = [collection for collection in read_collections(tmp_path)[0] if collection.name == "sample"]
    names = {entry.name for entry in sample.measured}
    assert {"bm25", "boosted-sample", "boosted-sample without the judge, as the paper"} <= names
    assert not [name for name in names if "=" in name]
