"""The search structures over embeddings: against exact search, on clustered vectors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from mdrbench.core import registry
from mdrbench.core.errors import StepError, UsageError
from mdrbench.core.members import Member
from mdrbench.evaluation import measures
from mdrbench.retrieval import vectors
from mdrbench.retrieval.indexes import _faiss

COUNT, DIM, CLUSTERS = 4000, 32, 40
SMALL = {
    "exact": {},
    "flat": {},
    "ivf-pq": {"m": 8, "nbits": 6, "nlist": 64, "nprobe": 16},
    "hnsw": {"m": 16, "ef_construction": 60, "ef_search": 64},
    "int8": {},
    "binary": {},
}


def clustered(count: int, seed: int = 1) -> np.ndarray:
    """Unit vectors around 40 centres, exactly representable in float16."""
    centres = np.random.default_rng(0).normal(size=(CLUSTERS, DIM))
    rng = np.random.default_rng(seed)
    points = centres[rng.integers(CLUSTERS, size=count)] + 0.5 * rng.normal(size=(count, DIM))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def write(folder: Path, matrix: np.ndarray, size: int) -> Path:
    folder.mkdir()
    for number, start in enumerate(range(0, len(matrix), size)):
        part = matrix[start : start + size]
        vectors.write_shard(folder, number, [f"d{start + i}" for i in range(len(part))], part)
    return folder


def index(name: str, **settings):
    return Member.of("indexes", {"name": name, **settings}).build()


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("vectors") / "shards", clustered(COUNT), 1500)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return clustered(50, seed=2)


@pytest.fixture(scope="module")
def built(embeddings, tmp_path_factory) -> dict[str, Path]:
    """Every member's structure over the embeddings."""
    root = tmp_path_factory.mktemp("structures")
    folders = {name: root / name for name in SMALL}
    for name, folder in folders.items():
        folder.mkdir()
        index(name, **SMALL[name]).build(embeddings, folder, lambda done: None)
    return folders


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "structure.faiss").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["flat", "hnsw", "int8", "binary", "ivf-pq"])
def test_the_memory_of_a_structure_is_known_before_it_is_built(name, built):
    """The centroids of ivf-pq, a constant beside the codes of a large corpus, are left out."""
    size = (built[name] / "structure.faiss").stat().st_size
    centroids = 4 * DIM * (64 + 2**6) if name == "ivf-pq" else 0
    assert index(name, **SMALL[name]).memory(COUNT, DIM) + centroids == pytest.approx(size, rel=0.05)


@pytest.mark.parametrize("name", ["exact", "flat"])
@pytest.mark.parametrize("depth", [1, 100])
def test_exact_members_return_the_sorted_matrix_product(name, depth, embeddings, built, queries):
    scores, rows = index(name).search(embeddings, built[name], queries, depth)
    expected = queries @ clustered(COUNT).T
    best = np.argsort(-expected, axis=1)[:, :depth]
    assert rows.shape == scores.shape == (50, depth)
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)
    assert scores == pytest.approx(np.take_along_axis(expected, best, axis=1), abs=1e-5)
    assert measures.overlap(rows, best, depth) > 0.995  # but for ties in the last digit at the last rank


@pytest.mark.parametrize(
    ("name", "settings", "at_10", "at_100"),
    [
        ("hnsw", {}, 0.99, 0.98),
        ("hnsw", {"ef_search": 400}, 0.999, 0.999),
        ("ivf-pq", {}, 0.97, 0.97),
        ("ivf-pq", {"refine": 16, "nprobe": 64}, 0.999, 0.999),
        ("ivf-pq", {"refine": 0}, 0.45, 0.7),
        ("int8", {}, 0.999, 0.999),
        ("int8", {"rescore": 0}, 0.9, 0.95),
        ("binary", {"rescore": 16}, 0.98, 0.9),
        ("binary", {"rescore": 0}, 0.2, 0.3),
    ],
)
def test_approximate_members_find_most_of_what_exact_search_finds(
    name, settings, at_10, at_100, embeddings, built, queries
):
    _, exact = index("exact").search(embeddings, None, queries, 100)
    scores, rows = index(name, **{**SMALL[name], **settings}).search(embeddings, built[name], queries, 100)
    assert measures.overlap(rows, exact, 10) >= at_10
    assert measures.overlap(rows, exact, 100) >= at_100
    assert (np.diff(scores, axis=1) <= 0).all()
    if 0 not in (settings.get("refine"), settings.get("rescore")):  # scores are inner products, not estimates
        true = np.take_along_axis(queries @ clustered(COUNT).T, rows, axis=1)
        assert scores == pytest.approx(true, abs=1e-5)


def test_re_ranking_is_what_makes_ivf_pq_precise(embeddings, built, queries):
    _, exact = index("exact").search(embeddings, None, queries, 10)
    recalls = []
    for refine in (0, 1, 4, 16):
        _, rows = index("ivf-pq", **SMALL["ivf-pq"], refine=refine).search(embeddings, built["ivf-pq"], queries, 10)
        recalls.append(measures.overlap(rows, exact, 10))
    assert recalls[0] == recalls[1] < recalls[2] < recalls[3]


@pytest.mark.parametrize("name", ["flat", "ivf-pq", "hnsw", "int8", "binary"])
def test_a_structure_depends_neither_on_shards_nor_on_threads(name, built, embeddings, tmp_path):
    again = tmp_path / "again"
    with _faiss.threads(1):
        index(name, **SMALL[name]).build(embeddings, again, lambda done: None)
    other = tmp_path / "other"
    index(name, **SMALL[name]).build(write(tmp_path / "shards", clustered(COUNT), 7), other, lambda done: None)
    assert digest(built[name]) == digest(again) == digest(other)


@pytest.mark.parametrize(("name", "trains"), [("ivf-pq", True), ("hnsw", False)])
def test_another_seed_is_another_structure(name, trains, built, embeddings, tmp_path):
    facts = index(name, **SMALL[name], seed=7).build(embeddings, tmp_path, lambda done: None)
    assert digest(built[name]) != digest(tmp_path)
    assert facts["trained_on"] == (COUNT if trains else 0)


def test_settings_of_the_search_do_not_touch_the_structure(built, embeddings, tmp_path):
    for name, setting in (("ivf-pq", {"nprobe": 3, "refine": 1}), ("hnsw", {"ef_search": 9})):
        assert {*setting} == {*Member.of("indexes", {"name": name}).spec.search_only}
        index(name, **{**SMALL[name], **setting}).build(embeddings, tmp_path / name, lambda done: None)
        assert digest(built[name]) == digest(tmp_path / name)


def test_blocks_that_cross_shards_and_progress_and_facts(tmp_path):
    folder = write(tmp_path / "shards", clustered(300), 100)
    assert [len(block) for block in vectors.blocks(folder, 64)] == [64, 64, 64, 64, 44]
    assert (np.concatenate(list(vectors.blocks(folder, 64))) == clustered(300)).all()
    seen: list[int] = []
    facts = index("flat").build(folder, tmp_path, seen.append)
    assert seen[-1] == 300
    assert sorted(seen) == seen
    size = (tmp_path / "structure.faiss").stat().st_size
    assert (facts["vectors"], facts["trained_on"], facts["bytes"]) == (300, 0, size)
    assert size >= 300 * DIM * 4
    assert facts["seconds"] >= 0
    assert facts["faiss"].count(".") == 2
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["structure.faiss"]


@pytest.mark.parametrize("name", ["exact", "flat", "hnsw", "int8", "binary"])
def test_where_there_are_fewer_passages_than_asked_for_rows_are_minus_one(name, tmp_path, queries):
    folder = write(tmp_path / "shards", clustered(7), 3)
    index(name).build(folder, tmp_path, lambda done: None)
    scores, rows = index(name).search(folder, tmp_path, queries, 10)
    assert rows.shape == (50, 10)
    assert sorted(rows[0, :7].tolist()) == list(range(7))
    assert (rows[:, 7:] == -1).all()
    assert np.isneginf(scores[:, 7:]).all()
    assert np.isfinite(scores[:, :7]).all()


@pytest.mark.parametrize("refine", [0, 4])
def test_cells_with_fewer_passages_than_asked_for(refine, embeddings, built, queries):
    searcher = index("ivf-pq", **{**SMALL["ivf-pq"], "nprobe": 1, "refine": refine})
    scores, rows = searcher.search(embeddings, built["ivf-pq"], queries, 2000)
    assert rows.shape == (50, 2000)
    assert ((rows == -1) == np.isneginf(scores)).all()
    assert (rows[:, 0] >= 0).all()
    assert (rows[:, -1] == -1).all()


def test_quantised_structures_have_a_fraction_of_the_bytes(embeddings, built):
    size = {name: (built[name] / "structure.faiss").stat().st_size for name in ("flat", "int8", "binary")}
    assert size["int8"] == pytest.approx(size["flat"] / 4, rel=0.02)
    assert size["binary"] == pytest.approx(size["flat"] / 32, rel=0.02)


def test_signs_are_packed_in_eights(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    vectors.write_shard(folder, 0, ["a"], np.ones((1, 12), dtype=np.float32))
    with pytest.raises(UsageError, match="12 dimensions, and signs are packed in eights"):
        index("binary").build(folder, tmp_path, print)


def test_float32_storage_gives_the_same_hits_in_more_bytes(embeddings, built, queries, tmp_path):
    searcher = index("hnsw", **SMALL["hnsw"], storage="float32")
    facts = searcher.build(embeddings, tmp_path, lambda done: None)
    half = (built["hnsw"] / "structure.faiss").stat().st_size
    assert facts["bytes"] - half == pytest.approx(COUNT * DIM * 2, rel=0.02)
    _, rows = searcher.search(embeddings, tmp_path, queries, 10)
    _, same = index("hnsw", **SMALL["hnsw"]).search(embeddings, built["hnsw"], queries, 10)
    assert measures.overlap(rows, same, 10) > 0.99


def test_the_number_of_cells_follows_from_the_data(embeddings, tmp_path):
    settings = {"m": 8, "nbits": 4}
    assert index("ivf-pq", **settings).build(embeddings, tmp_path, print)["nlist"] == 4000 // 39
    facts = index("ivf-pq", **settings, training_sample=1000).build(embeddings, tmp_path, print)
    assert (facts["nlist"], facts["trained_on"], facts["vectors"]) == (1000 // 39, 1000, COUNT)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"m": 48}, "m = 48 does not divide the embeddings' width 32\n  mend: set m to a divisor, such as 32"),
        ({"m": 5}, "such as 4"),
        ({"m": 8}, "4000 training vectors are too few for nbits = 8.*9984\n  mend: set nbits to 6"),
        ({"m": 8, "nbits": 6, "nlist": 103}, "too few for nlist = 103.*4017\n  mend: set nlist to 102 or less"),
        (
            {"m": 8, "nbits": 4, "nlist": 40, "training_sample": 700},
            r"700 training vectors \(of 4000\) are too few.*\n.*17 or less, or raise training_sample",
        ),
        ({"m": 8, "nbits": 4, "training_sample": 500}, "use the index `exact`, or raise training_sample"),
    ],
)
def test_parameters_that_do_not_fit_the_data_name_ones_that_do(settings, said, embeddings, tmp_path, capfd):
    with pytest.raises(UsageError, match=said):
        index("ivf-pq", **{"nprobe": 1, **settings}).build(embeddings, tmp_path, lambda done: None)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["flat", "ivf-pq", "hnsw"])
def test_faiss_says_nothing_of_its_own(name, embeddings, queries, tmp_path, capfd):
    searcher = index(name, **SMALL[name])
    searcher.build(embeddings, tmp_path, lambda done: None)
    searcher.search(embeddings, tmp_path, queries, 10)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["flat", "ivf-pq", "hnsw", "int8", "binary"])
def test_broken_surroundings_are_errors_with_a_mend(name, embeddings, built, queries, tmp_path):
    searcher = index(name, **SMALL[name])
    with pytest.raises(StepError, match="cannot be read: it is missing"):
        searcher.search(embeddings, tmp_path, queries, 10)
    (tmp_path / "structure.faiss").write_bytes((built[name] / "structure.faiss").read_bytes()[:1000])
    with pytest.raises(StepError, match="cannot be read"):
        searcher.search(embeddings, tmp_path, queries, 10)
    with pytest.raises(StepError, match="queries have 16 dimensions, the search structure 32"):
        searcher.search(embeddings, built[name], queries[:, :16].copy(), 10)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StepError, match="the index holds no embeddings"):
        searcher.build(tmp_path / "empty", tmp_path, lambda done: None)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("exact", {"block": 1}),
        ("ivf-pq", {"nlist": 8, "nprobe": 9}),
        ("ivf-pq", {"nbits": 9}),
        ("ivf-pq", {"refine": -1}),
        ("hnsw", {"m": 1}),
        ("hnsw", {"storage": "int8"}),
    ],
)
def test_settings_that_make_no_sense_are_errors(name, settings):
    with pytest.raises(ValidationError):
        index(name, **settings)


def test_conventions_are_json_and_hold_every_setting():
    for name in registry.members("indexes"):
        member = Member.of("indexes", {"name": name})
        facts = index(name).conventions()
        assert json.loads(json.dumps(facts)) == facts
        assert facts["index"] == name
        assert {*type(member.config).model_fields} <= {*facts}
        assert {*member.spec.search_only} <= {*facts}
        assert ("faiss" in facts) == member.build().built
    exact = {name for name in registry.members("indexes") if Member.of("indexes", {"name": name}).build().exact}
    assert exact == {"exact", "flat"}
