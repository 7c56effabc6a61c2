from __future__ import annotations

import csv
import json
import math
import random
import sys

import jsonschema
import pytest
from support.project import PROJECT
from support.results import measured, sealed

from mdrbench import results
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.languages import ALL
from mdrbench.results import ablations, published, stored

sys.path.insert(0, str(PROJECT / "benchmarks"))
import attack_edits

FIGURES = PROJECT.parent / "shared" / "reference" / "published_scores.csv"
PUBLISHED = results.published_files(PROJECT / "results")


def write(tmp_path, data) -> object:
    path = tmp_path / "mine.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_result_survives_writing_and_reading(tmp_path):
    result = results.read(write(tmp_path, sealed(measured())))
    path = tmp_path / "again.json"
    path.write_text(results.dump(result))
    assert results.read(path).model_dump(exclude={"seal"}) == result.model_dump(exclude={"seal"})


def test_a_file_of_the_older_schema_is_read_as_unsealed_and_refused_where_a_seal_is_needed(tmp_path):
    path = write(tmp_path, measured())
    assert not results.read(path).sealed
    with pytest.raises(DataError, match="is not sealed: an older mdrbench wrote it") as error:
        results.read(path, ("sealed",))
    assert f"mdrbench seal {path} --data DATA" in str(error.value)
    path.write_text(results.dump(results.read(path)))
    assert results.read(path, ("sealed",)).sealed


@pytest.mark.parametrize("name", ["bm25.json", "ablations/boosted-sample.json", "variants/*.json"])
def test_any_change_of_a_value_breaks_the_seal(tmp_path, name):
    [path, *_] = sorted((PROJECT / "results" / "sample").glob(name))
    read = ablations.read if ablations.is_one(path) else results.read
    data = json.loads(path.read_text(encoding="utf-8"))
    for seed in range(20):
        changed = attack_edits.edited(data, random.Random(seed))
        with pytest.raises(DataError):
            read(write(tmp_path, changed), ("sealed",))
    assert read(write(tmp_path, json.dumps(data, indent=4, sort_keys=True)), ("sealed",)) == read(path)


def test_sealing_keeps_the_layout_of_a_file(tmp_path):
    text = results.dump(results.read(write(tmp_path, measured())))
    assert stored.seal_text(text) == text
    assert stored.seal_text(text.replace('"a system"', '"another"')).splitlines()[:-2] == [
        line.replace('"a system"', '"another"') for line in text.splitlines()[:-2]
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "not a JSON file"),
        ('{"schema_version": 1, "x": NaN}', "NaN is not JSON"),
        (measured(schema_version=2), "has no seal"),
        (measured(schema_version=2, seal="0" * 64), "its seal does not match"),
        (measured(schema_version=3), "schema version 3, this mdrbench reads 2 and 1"),
        (measured(schema_version=True), "schema version True"),
        ('{"schema_version": 1, "split": "dev", "split": "test"}', "the key 'split' is there twice"),
        ("[" * 100_000, "is nested too deeply"),
        ([], "schema version None"),
        (measured(colour="red"), "colour: Extra inputs are not permitted"),
        (measured(split=None), "split: Input should be a valid string"),
        (
            measured(averages=[{"label": "x", "languages": ["fi"], "scores": {}}]),
            "average 'x' covers fi, which the result lacks",
        ),
        (
            measured(languages={"sw": {"scores": {}, "files": {"run": {"path": "../../x", "bytes": 1, "sha256": ""}}}}),
            "a path inside the result's folder",
        ),
    ],
)
def test_a_bad_result_file_is_an_error_that_names_file_and_key(tmp_path, data, said):
    with pytest.raises(DataError, match=r"mine\.json") as error:
        results.read(write(tmp_path, data))
    assert said in str(error.value)


def test_the_average_of_16_is_only_ever_said_of_the_16():
    assert results.average_label(list(ALL)) == "16-language average"
    assert results.average_label([*ALL[:15], "de"]) == "average of 16 languages"
    assert results.average_label(["sw"]) == "average of 1 language"


def test_results_are_found_by_path_or_unambiguous_name(tmp_path):
    for dataset in ("a", "b"):
        (tmp_path / dataset).mkdir()
        (tmp_path / dataset / "bm25.json").write_text("{}")
    (tmp_path / "b" / "mdpr.json").write_text("{}")
    assert results.find(tmp_path, "mdpr") == tmp_path / "b" / "mdpr.json"
    assert results.find(tmp_path, "a/bm25") == tmp_path / "a" / "bm25.json"
    with pytest.raises(UsageError, match="'bm25' is ambiguous"):
        results.find(tmp_path, "bm25")
    with pytest.raises(UsageError, match=r"no result 'mpdr'[\s\S]*did you mean 'b/mdpr'"):
        results.find(tmp_path, "mpdr")


def test_the_exported_schema_is_the_models_and_accepts_every_committed_result():
    path = PROJECT / "results" / "schema" / "result-2.json"
    schema = json.loads(path.read_text())
    assert schema == results.json_schema(), f"run `mdrbench schema > {path.relative_to(PROJECT)}`"
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for file in [*PUBLISHED, *results.files(PROJECT / "results")]:
        validator.validate(json.loads(file.read_text()))


def cells(result: results.Result):
    for lang, entry in result.languages.items():
        for measure, cell in entry.scores.items():
            yield lang, measure, cell
    for average in result.averages:
        if average.label.endswith("as printed"):
            for measure, cell in average.scores.items():
                yield "avg", measure, cell


def test_published_figures_are_whole_and_each_names_source_and_table():
    found = [results.read(path) for path in PUBLISHED]
    rows = [row for result in found for row in cells(result)]
    assert len(rows) == 1528 + 136 + 180  # the figures file, Pyserini 1.6.0 in four tables, three more sources
    assert {cell.source for _, _, cell in rows} == published.SOURCES.keys() - {"mteb"}
    assert all(cell.table for _, _, cell in rows)
    assert all(result.system.kind for result in found)
    assert {result.kind for result in found} == {"published"}


@pytest.mark.skipif(not FIGURES.is_file(), reason="the figures files are not beside the project")
def test_every_row_of_the_figures_files_is_there_unchanged():
    """Pyserini's rows are there in both versions: the older one differs in the 16 cells of its own file."""
    rows = [
        row for name in ("published_scores.csv", "published_more.csv") for row in read_rows(FIGURES.with_name(name))
    ]
    differing = {
        (row["system"], row["split"], row["measure"], row["lang"]): float(row["pyserini 1.6.0 (pinned)"])
        for row in read_rows(FIGURES.with_name("pyserini_versions.tsv"), "\t")
    }
    expected = []
    for r in rows:
        place = (r["backbone"], r["method"], r["split"], r["metric"], r["lang"])
        if r["source"] != "pyserini-2cr":
            expected.append((r["source"], r["table"], *place, float(r["value"])))
            continue
        expected.append((r["source"], f"{r['table']} (2.3.0)", *place, float(r["value"])))
        if r["backbone"] in ("bm25", "bm25-mdpr-tied-pft-msmarco-hybrid"):
            value = differing.pop((r["backbone"], *place[2:]), float(r["value"]))
            expected.append((r["source"], f"{r['table']} (1.6.0)", *place, value))
    assert differing == {}
    found = []
    for path in PUBLISHED:
        result = results.read(path)
        backbone, _, method = result.system.name.partition(" + ")
        for lang, measure, cell in cells(result):
            row = (cell.source, cell.table, backbone, method or "as-released", result.split, measure, lang, cell.value)
            found.append(row)
    assert sorted(found) == sorted(expected)


def read_rows(path, delimiter=",") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_pyserini_versions_that_do_not_fit_the_figures_are_refused():
    row = dict(
        zip(published.COLUMNS, ("pyserini-2cr", "m", "bm25", "as-released", "dev", "nDCG@10", "fa", "0.5"), strict=True)
    )
    cell = {"system": "bm25", "lang": "fa", "split": "dev", "measure": "nDCG@10", "pyserini 1.6.0 (pinned)": "0.4"}
    both = published.with_versions([row], [{**cell, "pyserini 2.3.0": "0.5"}])
    assert [(r["software"], r["table"], r["value"]) for r in both] == [
        ("Pyserini 2.3.0", "m (2.3.0)", "0.5"),
        ("Pyserini 1.6.0", "m (1.6.0)", "0.4"),
    ]
    with pytest.raises(DataError, match=r"bm25 dev nDCG@10 fa is not 0\.6 in the figures of pyserini-2cr"):
        published.with_versions([row], [{**cell, "pyserini 2.3.0": "0.6"}])


@pytest.mark.parametrize(
    ("backbone", "method", "kind"),
    [
        ("BGE-M3", "dense (512+512)", "single vector"),
        ("BGE-M3", "dense+sparse", "sum"),
        ("BGE-M3", "all", "sum"),
        ("BGE-M3", "multi-vec", "multi-vector"),
        ("BGE-M3", "sparse", "sparse"),
        ("BM25", "as-released", "sparse"),
        ("bm25-mdpr-tied-pft-msmarco-hybrid", "as-released", "sum"),
        ("BGE-M3", "reranked by bge-reranker-v2-m3", "reranked"),
    ],
)
def test_the_kind_of_a_published_system(backbone, method, kind):
    assert published.kind_of(backbone, method) == kind


def test_anchors_of_the_literature():
    """BM25 on fa differs by source, and both are kept."""
    by_source = {}
    for path in PUBLISHED:
        result = results.read(path)
        if result.system.name.lower() == "bm25" and result.split == "dev" and "nDCG@10" in result.evaluated.measures:
            by_source.setdefault(path.parent.name, {})[result.evaluated.software] = result
    [paper], pyserini = by_source["huang2025boosting"].values(), by_source["pyserini-2cr"]["Pyserini 2.3.0"]
    assert by_source["pyserini-2cr"]["Pyserini 1.6.0"].languages["fa"].scores["nDCG@10"].value == 0.3334
    assert paper.languages["fa"].scores["nDCG@10"].value == 0.333
    assert pyserini.languages["fa"].scores["nDCG@10"].value == 0.3568
    assert paper.averages[0].scores["nDCG@10"].value == 0.394
    assert paper.averages[0].label == "16-language average, as printed"
    computed = pyserini.averages[0]
    assert computed.label == "16-language average, computed from the cells"
    mean = math.fsum(pyserini.languages[lang].scores["nDCG@10"].value for lang in ALL) / 16
    assert computed.scores["nDCG@10"].value == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source,table\n", "figures.csv:1: column 'backbone' is missing"),
        (f"{','.join(published.COLUMNS)}\ns,t,b,m,dev,nDCG@10,sw,39.4\n", "figures.csv:2: value '39.4' is no number"),
        (f"{','.join(published.COLUMNS)}\ns,t,b,m,dev,nDCG@10,sw,nan\n", "figures.csv:2: value 'nan' is no number"),
    ],
)
def test_bad_figures_are_an_error_with_the_line(tmp_path, text, said):
    path = tmp_path / "figures.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        published.read_csv(path)


def test_a_figure_given_twice_is_an_error():
    row = dict.fromkeys(published.COLUMNS, "x") | {"value": "0.5"}
    with pytest.raises(DataError, match="is there twice"):
        published.to_results([row, row])
