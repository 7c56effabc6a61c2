"""Training groups in other trainers' formats: as those trainers read them, and back."""

from __future__ import annotations

import json

import pytest

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.types import Negative, Passage, TrainingGroup
from mdrbench.formats import exports
from mdrbench.formats.exports import Exported, PassageExample, TextExample, Texts

PASSAGES = {
    docid: Passage(docid, title, f"text of {docid}")
    for docid, title in [
        ("p1", "Saimaa"),
        ("p2", ""),
        ("p3", "Inari"),
        ("n1", "N"),
        ("n2", ""),
        ("n3", "ش"),
        ("n4", "N"),
    ]
}


def group(qid: str, positives: str, negatives: str) -> TrainingGroup:
    hard = (Negative(docid, 0.9 - 0.1 * i, "mined", False) for i, docid in enumerate(negatives.split()))
    return TrainingGroup(qid, tuple(positives.split()), tuple(hard))


GROUPS = [group("1", "p1 p2", "n1 n2 n3"), group("2", "p3", "n4"), group("3", "p3", ""), group("4", "p2", "n4 n1")]
TEXTS = Texts({str(n): f"query {n}" for n in range(1, 5)}, PASSAGES)


def loaded(kind: str, path, tmp_path) -> list[dict]:
    """The rows as ``datasets`` reads them, which all three trainers do."""
    from datasets import load_dataset

    return list(load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "datasets")))


@pytest.mark.parametrize(("kind", "name"), [("parquet", "t.parquet"), ("json", "t.jsonl"), ("json", "t.jsonl.gz")])
def test_n_tuples_take_the_first_negatives_and_count_the_groups_that_have_fewer(kind, name, tmp_path):
    path = tmp_path / "made" / name
    done = exports.write_sentence_transformers(path, iter(GROUPS), TEXTS, negatives=2)
    assert done == Exported(rows=3, groups=2, left_out={"fewer than 2 negatives": 2})
    first = {"anchor": "query 1", "negative_1": "N text of n1", "negative_2": "text of n2"}
    last = {"anchor": "query 4", "positive": "text of p2", "negative_1": "N text of n4", "negative_2": "N text of n1"}
    rows = loaded(kind, path, tmp_path)
    assert rows == [{**first, "positive": "Saimaa text of p1"}, {**first, "positive": "text of p2"}, last]
    assert list(rows[0]) == ["anchor", "positive", "negative_1", "negative_2"]  # the trainer goes by position
    back = list(exports.read_sentence_transformers(path))
    assert back == [
        TextExample("query 1", ("Saimaa text of p1",), ("N text of n1", "text of n2")),
        TextExample("query 1", ("text of p2",), ("N text of n1", "text of n2")),
        TextExample("query 4", ("text of p2",), ("N text of n4", "N text of n1")),
    ]


def test_an_n_tuple_for_the_first_positive_only(tmp_path):
    settings = {"negatives": 1, "positives": "first"}
    done = exports.write_sentence_transformers(tmp_path / "t.jsonl", GROUPS, TEXTS, **settings)
    assert done == Exported(3, 3, {"fewer than 1 negatives": 1})
    found = [row.positives for row in exports.read_sentence_transformers(tmp_path / "t.jsonl")]
    assert found == [("Saimaa text of p1",), ("Inari text of p3",), ("text of p2",)]


@pytest.mark.parametrize(("kind", "name"), [("parquet", "t.parquet"), ("json", "t.jsonl")])
def test_labeled_lists_hold_groups_of_any_size(kind, name, tmp_path):
    path = tmp_path / name
    done = exports.write_sentence_transformers(path, GROUPS, TEXTS._replace(title_separator="\n"), form="labeled-list")
    assert done == Exported(3, 3, {"no negatives": 1})
    rows = loaded(kind, path, tmp_path)
    assert rows[0]["documents"] == ["Saimaa\ntext of p1", "text of p2", "N\ntext of n1", "text of n2", "ش\ntext of n3"]
    assert [row["labels"] for row in rows] == [[1, 1, 0, 0, 0], [1, 0], [1, 0, 0]]
    assert [row["anchor"] for row in rows] == ["query 1", "query 2", "query 4"]
    first = next(exports.read_sentence_transformers(path))
    assert (len(first.positives), first.negatives[1]) == (2, "text of n2")


def test_parquet_goes_by_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "ROW_GROUP", 2)
    path = tmp_path / "t.parquet"
    many = [group(str(number), "p1", "n1") for number in range(5)]
    texts = Texts({str(number): f"query {number}" for number in range(5)}, PASSAGES)
    assert exports.write_sentence_transformers(path, many, texts, negatives=1).rows == 5
    assert [row.query for row in exports.read_sentence_transformers(path)] == [f"query {n}" for n in range(5)]


@pytest.mark.medium
@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl"])
def test_the_file_goes_through_a_sentence_transformers_loss(name, tmp_path):
    import numpy as np
    import torch
    from datasets import load_dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path / name
    exports.write_sentence_transformers(path, GROUPS, TEXTS, negatives=2)
    kind = "parquet" if path.suffix == ".parquet" else "json"
    dataset = load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "datasets"))
    words = sorted({word for row in dataset for text in row.values() for word in text.split()})
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    features = [model.tokenize(list(dataset[column])) for column in dataset.column_names]
    loss = MultipleNegativesRankingLoss(model)(features, torch.empty(0))
    loss.backward()
    assert len(features) == 4
    assert torch.isfinite(loss)
    assert model[0].embedding.weight.grad.abs().sum() > 0


def test_tevatron_rows_keep_ids_titles_and_uneven_groups(tmp_path):
    path = tmp_path / "t.jsonl"
    assert exports.write_tevatron(path, GROUPS, TEXTS) == Exported(3, 3, {"no negatives": 1})
    rows = loaded("json", path, tmp_path)
    assert list(rows[0]) == ["query_id", "query", "positive_passages", "negative_passages"]
    assert rows[1] == {
        "query_id": "2",
        "query": "query 2",
        "positive_passages": [{"docid": "p3", "title": "Inari", "text": "text of p3"}],
        "negative_passages": [{"docid": "n4", "title": "N", "text": "text of n4"}],
    }
    assert rows[0]["positive_passages"][1]["title"] == ""
    back = list(exports.read_tevatron(path))
    assert back == [
        PassageExample(
            found.qid,
            TEXTS.queries[found.qid],
            tuple(PASSAGES[docid] for docid in found.positives),
            tuple(PASSAGES[negative.docid] for negative in found.negatives),
        )
        for found in GROUPS
        if found.negatives
    ]


def test_flag_embedding_rows_with_and_without_a_teacher(tmp_path):
    path = tmp_path / "t.jsonl"
    assert exports.write_flag_embedding(path, GROUPS, TEXTS) == Exported(3, 3, {"no negatives": 1})
    plain = loaded("json", path, tmp_path)
    assert list(plain[0]) == ["query", "pos", "neg"]
    assert plain[0]["pos"] == ["Saimaa text of p1", "text of p2"]
    assert plain[0]["neg"] == ["N text of n1", "text of n2", "ش text of n3"]
    assert next(exports.read_flag_embedding(path)) == TextExample(
        "query 1", *map(tuple, (plain[0]["pos"], plain[0]["neg"]))
    )
    docids = {found.qid: [*found.positives, *(n.docid for n in found.negatives)] for found in GROUPS}
    scores = {qid: {docid: float(i) for i, docid in enumerate(found)} for qid, found in docids.items()}
    exports.write_flag_embedding(path, GROUPS, TEXTS, scores=scores, prompt="Find: ")
    rows = loaded("json", path, tmp_path)
    assert (rows[0]["pos_scores"], rows[0]["neg_scores"], rows[0]["prompt"]) == ([0, 1], [2, 3, 4], "Find: ")
    back = list(exports.read_flag_embedding(path))
    assert (back[0].positive_scores, back[0].negative_scores, back[0].prompt) == ((0, 1), (2, 3, 4), "Find: ")
    del scores["4"]["n1"]
    before = path.read_bytes()
    with pytest.raises(DataError, match="the teacher gives no score for 'n1' of query '4'"):
        exports.write_flag_embedding(path, GROUPS, TEXTS, scores=scores)
    assert path.read_bytes() == before


WRITERS = [exports.write_sentence_transformers, exports.write_tevatron, exports.write_flag_embedding]


@pytest.mark.parametrize("write", WRITERS)
def test_ids_without_a_text_are_errors_and_nothing_is_written(write, tmp_path):
    odd = group("9", "p1", " ".join(f"n{i}" for i in range(1, 5)))
    settings = {"negatives": 3} if write is exports.write_sentence_transformers else {}
    with pytest.raises(DataError, match="the query '9' of a training group has no text"):
        write(tmp_path / "t.jsonl", [odd], TEXTS, **settings)
    fewer = Texts({"9": "q"}, {docid: PASSAGES[docid] for docid in ("p1", "n1")})
    with pytest.raises(DataError, match="the passage 'n2' of query '9' has no text"):
        write(tmp_path / "t.jsonl", [odd], fewer, **settings)
    assert list(tmp_path.iterdir()) == []


def test_file_names_and_numbers_that_make_no_sense_are_errors(tmp_path):
    with pytest.raises(UsageError, match=r"let it end in \.parquet or \.jsonl or \.jsonl\.gz"):
        exports.write_sentence_transformers(tmp_path / "t.csv", GROUPS, TEXTS)
    for write in (exports.write_tevatron, exports.write_flag_embedding):
        for name in ("t.parquet", "t.jsonl.gz", "t.json"):
            with pytest.raises(UsageError, match=r"let it end in \.jsonl$"):
                write(tmp_path / name, GROUPS, TEXTS)
    with pytest.raises(UsageError, match="at least one negative"):
        exports.write_sentence_transformers(tmp_path / "t.jsonl", GROUPS, TEXTS, negatives=0)
    with pytest.raises(DataError, match="no training group to write"):
        exports.write_sentence_transformers(tmp_path / "t.parquet", GROUPS, TEXTS, negatives=9)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("read", "row", "said"),
    [
        (exports.read_tevatron, {"query_id": "1", "query": "q", "positive_passages": []}, "lacks 'negative_passages'"),
        (
            exports.read_tevatron,
            {"query_id": "1", "query": "q", "positive_passages": [{"docid": "1"}], "negative_passages": []},
            "lacks 'text'",
        ),
        (exports.read_flag_embedding, {"query": "q", "pos": ["p"]}, "lacks 'neg'"),
        (exports.read_flag_embedding, ["q"], "not a JSON object"),
        (exports.read_flag_embedding, {"query": "q", "pos": "p", "neg": []}, "'pos' must be a list of strings"),
        (exports.read_flag_embedding, {"query": "q", "pos": ["p"], "neg": [3]}, "'neg' must be a list of strings"),
        (
            exports.read_flag_embedding,
            {"query": "q", "pos": ["p"], "neg": [], "pos_scores": [1.0, 2.0]},
            "'pos' and 'pos_scores' differ in length",
        ),
        (
            exports.read_tevatron,
            {"query_id": "1", "query": "q", "positive_passages": 3, "negative_passages": []},
            "'positive_passages' must be a list of objects",
        ),
        (exports.read_sentence_transformers, {"anchor": "q", "positive": "p"}, "lacks 'negative_1'"),
        (exports.read_sentence_transformers, {"anchor": "q", "labels": [1]}, "lacks 'documents'"),
        (
            exports.read_sentence_transformers,
            {"anchor": "q", "documents": ["a"], "labels": [1, 0]},
            "'documents' and 'labels' differ in length",
        ),
        (
            exports.read_sentence_transformers,
            {"anchor": "q", "documents": ["a"], "labels": [True]},
            "'labels' must be a list of whole numbers",
        ),
    ],
)
def test_rows_of_another_format_are_named_with_file_and_line(read, row, said, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=said) as error:
        list(read(path))
    assert error.value.where == f"{path}:1"


def test_blank_lines_are_skipped_as_datasets_does(tmp_path):
    path = tmp_path / "t.jsonl"
    exports.write_tevatron(path, GROUPS, TEXTS)
    rows = list(exports.read_tevatron(path))
    path.write_text("\n" + path.read_text().replace("\n", "\n \n"))
    assert rows
    assert list(exports.read_tevatron(path)) == rows


def test_a_damaged_parquet_file_is_a_data_error(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cannot be read"):
        list(exports.read_sentence_transformers(path))
