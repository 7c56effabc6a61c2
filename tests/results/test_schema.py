from __future__ import annotations

import csv
import json
import math

import jsonschema
import pytest
from support.project import PROJECT
from support.results import measured

from mdrbench import results
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.languages import ALL
from mdrbench.results import published

FIGURES = PROJECT.parent / "shared" / "reference" / "published_scores.csv"
PUBLISHED = results.published_files(PROJECT / "results")


def write(tmp_path, data) -> object:
    path = tmp_path / "mine.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_result_survives_writing_and_reading(tmp_path):
    result = results.read(write(tmp_path, measured()))
    path = tmp_path / "again.json"
    path.write_text(results.dump(result))
    assert results.read(path) == result


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "not a JSON file"),
        ('{"schema_version": 1, "x": NaN}', "NaN is not JSON"),
        (measured(schema_version=2), "schema version 2, this mdrbench reads 1"),
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
    path = PROJECT / "results" / "schema" / "result-1.json"
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
    assert len(rows) == 1528
    assert all(cell.source in ("huang2025boosting", "pyserini-2cr") and cell.table for _, _, cell in rows)
    assert {result.kind for result in found} == {"published"}


@pytest.mark.skipif(not FIGURES.is_file(), reason="the figures file is not beside the project")
def test_every_row_of_the_figures_file_is_there_unchanged():
    with FIGURES.open(newline="") as file:
        expected = sorted(
            (r["source"], r["table"], r["backbone"], r["method"], r["split"], r["metric"], r["lang"], float(r["value"]))
            for r in csv.DictReader(file)
        )
    found = []
    for path in PUBLISHED:
        result = results.read(path)
        backbone, _, method = result.system.name.partition(" + ")
        for lang, measure, cell in cells(result):
            row = (cell.source, cell.table, backbone, method or "as-released", result.split, measure, lang, cell.value)
            found.append(row)
    assert sorted(found) == expected


def test_anchors_of_the_literature():
    """BM25 on fa differs by source, and both are kept."""
    by_source = {}
    for path in PUBLISHED:
        result = results.read(path)
        if result.system.name.lower() == "bm25" and result.split == "dev" and "nDCG@10" in result.evaluated.measures:
            by_source[path.parent.name] = result
    paper, pyserini = by_source["huang2025boosting"], by_source["pyserini-2cr"]
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
