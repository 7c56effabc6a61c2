from __future__ import annotations

import numpy as np
import pytest
import torch

from mdrbench.core.errors import StepError
from mdrbench.retrieval import vectors


def write(folder, matrix, sizes):
    folder.mkdir(exist_ok=True)
    start = 0
    for number, size in enumerate(sizes):
        docids = [f"d{i}" for i in range(start, start + size)]
        vectors.write_shard(folder, number, docids, matrix[start : start + size])
        start += size


@pytest.fixture
def matrix():
    return np.random.default_rng(0).normal(size=(1000, 32)).astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("depth", [1, 10, 100, 2000])
def test_exact_search_is_the_whole_matrix_product_sorted(tmp_path, matrix, depth):
    write(tmp_path, matrix, [400, 1, 599])
    queries = np.random.default_rng(1).normal(size=(20, 32)).astype(np.float32)
    expected = queries @ matrix.T
    scores, rows = vectors.top(tmp_path, queries, depth, block=64)
    docids = vectors.docids(tmp_path, rows)
    for number, row in enumerate(expected):
        best = np.argsort(-row)[:depth]
        assert rows[number].tolist() == best.tolist()
        assert scores[number].tolist() == pytest.approx(row[best].tolist(), rel=1e-5, abs=1e-5)
        assert [docids[row] for row in rows[number].tolist()] == [f"d{i}" for i in best]


def test_docids_are_those_of_the_rows_asked_for(tmp_path, matrix):
    write(tmp_path, matrix, [400, 1, 599])
    rows = np.array([[999, 0, 400], [399, 401, -1], [0, -1, -1]])
    assert vectors.docids(tmp_path, rows) == {i: f"d{i}" for i in (0, 399, 400, 401, 999)}


def test_the_result_does_not_depend_on_blocks_or_shards(tmp_path, matrix):
    queries = np.random.default_rng(2).normal(size=(5, 32)).astype(np.float32)
    write(tmp_path / "one", matrix, [1000])
    write(tmp_path / "many", matrix, [3, 500, 497])
    rankings = [
        vectors.top(tmp_path / name, queries, 50, block=block)[1].tolist()
        for name, block in (("one", 10_000), ("one", 7), ("many", 64), ("many", 1))
    ]
    assert all(ranking == rankings[0] for ranking in rankings)


def test_pairs_are_scored_as_search_scores_them(tmp_path, matrix):
    write(tmp_path, matrix, [3, 500, 497])
    queries = np.random.default_rng(3).normal(size=(2, 32)).astype(np.float32)
    found = vectors.score(tmp_path, queries, [["d999", "d2", "d3"], ["d3"]])
    product = queries @ matrix.T
    assert found[0] == pytest.approx(product[0, [999, 2, 3]].tolist(), rel=1e-5)
    assert found[1] == pytest.approx([product[1, 3]], rel=1e-5)
    assert vectors.score(tmp_path, queries, [["d1"], ["d1"]], lambda m: 2 * m)[0] == pytest.approx([2 * product[0, 1]])


def test_embeddings_that_are_not_finite_are_an_error_that_names_the_passage(tmp_path, matrix):
    matrix[3, 5] = 1e6  # beyond float16
    with pytest.raises(StepError, match="embedding of 'd3' holds 1e\\+06, and float16 ends at 65504"):
        write(tmp_path, matrix, [10])


def test_a_shard_counts_only_when_it_is_whole_and_unchanged(tmp_path, matrix):
    write(tmp_path, matrix, [100, 100, 100])
    assert [len(shard.docids) for shard in vectors.shards(tmp_path)] == [100, 100, 100]
    with (tmp_path / "shard-00001.npy").open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"\x00\x3c")
    assert len(list(vectors.finished_shards(tmp_path))) == 1
    (tmp_path / "shard-00000.json").unlink()
    assert list(vectors.finished_shards(tmp_path)) == []


def cut(folder):
    path = folder / "shard-00001.npy"
    path.write_bytes(path.read_bytes()[:-64])


def shorten(folder):
    np.save(folder / "shard-00001.npy", np.zeros((99, 32), np.float16))


def in_another_type(folder):
    np.save(folder / "shard-00001.npy", np.zeros((100, 32), np.float32))


def as_a_folder(folder):
    (folder / "shard-00001.npy").unlink()
    (folder / "shard-00001.npy").mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        *(cut, shorten, in_another_type, as_a_folder),
        lambda folder: (folder / "shard-00001.npy").unlink(),
        lambda folder: (folder / "shard-00001.json").unlink(),
        lambda folder: (folder / "shard-00001.json").write_text("[]"),
        lambda folder: (folder / "shard-00001.json").write_text('{"docids": 3}'),
    ],
)
def test_a_search_over_damaged_shards_is_an_error_and_never_a_smaller_index(tmp_path, matrix, damage):
    write(tmp_path, matrix, [100, 100, 100])
    damage(tmp_path)
    with pytest.raises(StepError, match=r"shard-0000[12]\.npy: ") as error:
        vectors.top(tmp_path, matrix[:2], 10)
    assert "mdrbench cache rm" in error.value.mend


def test_a_search_without_any_shard_is_an_error(tmp_path, matrix):
    with pytest.raises(StepError, match="the index holds no embeddings"):
        vectors.top(tmp_path, matrix[:2], 10)


@pytest.mark.parametrize(("precision", "mend"), [("fp16", "set precision: fp32"), ("fp32", "the model's weights")])
def test_the_advice_for_numbers_that_are_not_finite_fits_the_precision(tmp_path, matrix, precision, mend):
    matrix[3, 5] = np.nan
    with pytest.raises(StepError, match=f"embedding of 'd3' is not finite in {precision}") as error:
        vectors.write_shard(tmp_path, 0, [f"d{i}" for i in range(1000)], matrix, precision)
    assert mend in error.value.mend


@pytest.mark.parametrize("block", [64, 300, 1000])
def test_of_equal_scores_at_the_last_rank_the_first_passages_of_the_corpus_are_the_hits(tmp_path, block):
    same = np.ones((1000, 4), np.float16)
    same[:3] = 2
    write(tmp_path, same, [400, 600])
    _, rows = vectors.top(tmp_path, np.ones((2, 4), np.float32), 50, block=block)
    assert rows.tolist() == [list(range(50))] * 2


def test_bits_do_not_depend_on_threads_or_on_ranges_of_rows(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2500, 16)).astype(np.float16)
    rows[1999] = rows[3]  # equal scores across ranges
    for number, at in enumerate(range(0, 2500, 700)):
        part = rows[at : at + 700]
        vectors.write_shard(tmp_path, number, [f"d{at + i}" for i in range(len(part))], part.astype(np.float32))
    queries = rng.standard_normal((5, 16), dtype=np.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(vectors.top(tmp_path, queries, 40, block=512))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    ranges = [vectors.top(tmp_path, queries, 40, block=512, start=at, stop=at + 1024) for at in range(0, 2500, 1024)]
    found.append(vectors.merge(ranges, 40))
    assert all(np.array_equal(a, b) for one in found[1:] for a, b in zip(found[0], one, strict=True))
