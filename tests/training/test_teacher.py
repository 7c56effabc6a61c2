"""Learning from a teacher: the losses by hand, what is masked, what a curriculum offers, and trainings that differ."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from support.training import DATA, Plan, conventions, opened, passage_keys, settings

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.types import Hit
from mdrbench.training import teacher as teachers
from mdrbench.training.curriculum import allowed
from mdrbench.training.distillation import Distillation, distilled
from mdrbench.training.loop import train
from mdrbench.training.masking import masked
from mdrbench.training.settings import ADDED, keyed
from mdrbench.training.teacher import Embeddings, Rankings, Side, write_embeddings, write_rankings
from mdrbench.training.token_files import TrainingData

STUDENT = torch.tensor([[0.9, 0.5, 0.1]])
TEACHER = torch.tensor([[0.8, 0.7, 0.2]])
FIRST = torch.tensor([0])
ALL = torch.zeros(1, 3, dtype=torch.bool)
WITHOUT_LAST = torch.tensor([[False, False, True]])


def loss(kind: str, ignored=ALL, teacher=TEACHER) -> float:
    chosen = Distillation(loss=kind, teacher_temperature=0.5)
    return distilled(STUDENT, teacher, FIRST, ignored, settings=chosen, temperature=0.25).item()


def test_kl_by_hand():
    p, q = (np.exp(np.array(row)) for row in ([1.6, 1.4, 0.4], [3.6, 2.0, 0.4]))
    p, q = p / p.sum(), q / q.sum()
    assert loss("kl") == pytest.approx(float((p * np.log(p / q)).sum()), abs=1e-6)
    assert loss("kl", teacher=STUDENT * 2) == pytest.approx(0.0, abs=1e-6)  # 2 s / 0.5 = s / 0.25
    p, q = 1 / (1 + math.exp(-0.2)), 1 / (1 + math.exp(-1.6))
    assert loss("kl", WITHOUT_LAST) == pytest.approx(
        p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)), abs=1e-6
    )


def test_margin_mse_by_hand():
    squares = [((0.4 - 0.1) / 0.25) ** 2, ((0.8 - 0.6) / 0.25) ** 2]
    assert loss("margin-mse") == pytest.approx(sum(squares) / 2, abs=1e-6)
    assert loss("margin-mse", WITHOUT_LAST) == pytest.approx(squares[0], abs=1e-6)


@pytest.mark.parametrize("kind", ["kl", "margin-mse"])
def test_left_out_passages_give_no_gradient_and_no_nan(kind):
    student = STUDENT.clone().requires_grad_()
    chosen = Distillation(loss=kind)
    distilled(student, TEACHER, FIRST, WITHOUT_LAST, settings=chosen, temperature=0.25).backward()
    assert torch.isfinite(student.grad).all()
    assert student.grad[0, 2] == 0
    assert student.grad[0, 1] != 0


@pytest.mark.parametrize("kind", ["kl", "margin-mse"])
def test_pairs_that_a_ranking_teacher_did_not_rank_teach_nothing(kind):
    nan = float("nan")
    chosen = Distillation(loss=kind, teacher_temperature=0.5)
    student = torch.cat([STUDENT] * 2).requires_grad_()
    teacher = torch.tensor([[0.8, 0.7, nan], [nan, nan, nan]])
    targets, nothing = torch.tensor([0, 0]), torch.zeros(2, 3, dtype=torch.bool)
    value = distilled(student, teacher, targets, nothing, settings=chosen, temperature=0.25)
    assert value.item() == pytest.approx(loss(kind, WITHOUT_LAST) / 2, abs=1e-6)  # the second query adds 0
    value.backward()
    assert torch.isfinite(student.grad).all()
    assert student.grad[0, 1] != 0
    assert student.grad[0, 2] == 0
    assert not student.grad[1].any()
    assert masked(teacher.numpy(), [0, 0], 0.2).tolist() == [[False, True, False], [False] * 3]


def test_a_rankings_scores_are_those_of_its_hits(tiny_model, tmp_path):
    data = opened(tmp_path / "tokens", tiny_model)
    runs = {
        "en": {"q1": [Hit("p40", 0.5), Hit("nowhere", 0.4), Hit("p1", 0.1)]},
        "fi": {"q2": [Hit("p2", 2.0)], "q3": [Hit("p40", 1.0)]},
    }

    def ranked(name: str, runs) -> Rankings:
        (tmp_path / name).mkdir()
        write_rankings(tmp_path / name, "made of", data, runs.items())
        return teachers.opened(tmp_path / name)

    one = ranked("one", runs)
    row = {key: number for number, key in enumerate(passage_keys(data))}
    wanted = [row["en", "p1"], row["fi", "p2"], row["en", "p40"], row["en", "p1"]]
    found = one.scores([data.rows["en", "q1"], data.rows["fi", "q2"], data.rows["en", "q0"]], wanted)
    nan = np.nan
    assert np.array_equal(
        found, np.array([[0.1, nan, 0.5, 0.1], [nan, 2, nan, nan], [nan] * 4], np.float32), equal_nan=True
    )
    assert found.dtype == np.float32
    pairs = sum(len(group.positives) + len(group.negatives) for of in DATA.values() for group in of.groups)
    assert one.coverage == {"pairs": pairs, "scored": 4}
    assert one.sha256() != ranked("two", runs | {"fi": {"q2": [Hit("p2", 2.5)]}}).sha256()
    with pytest.raises(DataError, match="the teacher ranked no passage of fi's groups"):
        ranked("three", runs | {"fi": {}})


def test_passages_near_the_positive_are_masked_and_the_positive_stays():
    scores = np.array([[0.80, 0.76, 0.74, 0.90], [0.10, 0.50, 0.45, 0.0]], dtype=np.float32)
    assert masked(scores, [0, 1], 0.05).tolist() == [[False, True, False, True], [False, False, False, False]]
    assert masked(scores, [0, 1], 0.0).tolist() == [[False, False, False, True], [False, False, False, False]]


def test_a_curriculum_begins_with_the_easiest_negatives():
    hard_first = list(range(10))
    assert list(allowed(hard_first, 0, 100, 0.2)) == [8, 9]
    assert list(allowed(hard_first, 25, 100, 0.2)) == [4, 5, 6, 7, 8, 9]
    assert list(allowed(hard_first, 50, 100, 0.2)) == hard_first
    assert list(allowed(hard_first, -1, 100, 0.2)) == hard_first  # a validation
    assert list(allowed([7], 0, 100, 0.2)) == [7]


def vectors(names, dim: int = 6) -> np.ndarray:
    """Vectors that follow from the names."""
    found = [np.frombuffer(hashlib.sha256(repr(name).encode()).digest()[:dim], np.uint8) for name in names]
    return (np.array(found) / 255).astype(np.float16)


def teacher(folder, tiny_model) -> Embeddings:
    """A teacher whose embeddings are in another order than the training's rows."""
    data = opened(folder / "tokens", tiny_model)
    sides = []
    for names in (data.keys, passage_keys(data)):
        places = np.arange(len(names))[::-1].astype(np.int32)
        matrix = vectors(names[::-1])
        sides.append(Side(names[::-1], places, [matrix[:3], matrix[3:]], "float32"))
    write_embeddings(folder, "made of", *sides)
    return teachers.opened(folder)


def test_a_teachers_scores_are_inner_products(tiny_model, tmp_path):
    one = teacher(tmp_path, tiny_model)
    data = TrainingData.open(tmp_path / "tokens")
    queries, passages = (vectors(names).astype(np.float32) for names in (data.keys, passage_keys(data)))
    assert np.array_equal(one.scores([3, 0], [5, 7, 5]), queries[[3, 0]] @ passages[[5, 7, 5]].T)
    named = [sorted(names, reverse=True) for names in ([("en", "b")], [("fi", "b"), ("en", "b")])]
    sides = [Side(names, np.arange(len(names), dtype=np.int32), [vectors(names)], "float32") for names in named]
    (tmp_path / "small").mkdir()
    write_embeddings(tmp_path / "small", "made of", *sides)
    expected = b"".join(repr(names).encode() + vectors(names).astype(np.float32).tobytes() for names in named)
    assert teachers.opened(tmp_path / "small").sha256() == hashlib.sha256(expected).hexdigest()


@pytest.mark.medium
def test_each_setting_changes_what_is_learned_and_needs_its_teacher(tiny_model, tmp_path):
    losses = {}
    one = teacher(tmp_path, tiny_model)
    for name, changes in {
        "plain": {},
        "kl": {"distillation": {"loss": "kl", "weight": 1.0}},
        "mse": {"distillation": {"loss": "margin-mse"}},
        "mask": {"mask_margin": 0.0},
        "curriculum": {"curriculum": 0.2},
    }.items():
        steps: list[float] = []
        chosen = settings(**changes)
        train(
            chosen,
            tiny_model,
            conventions(tiny_model),
            DATA,
            Plan(2),
            teacher=one,
            out=tmp_path / name,
            progress=lambda step, of, loss, steps=steps: steps.append(loss),
        )
        losses[name] = steps[0]
    assert len(set(losses.values())) == 5
    assert losses["mask"] < losses["plain"]  # fewer negatives
    with pytest.raises(UsageError, match=r"training\.mask_margin needs a teacher"):
        train(settings(mask_margin=0.1), tiny_model, conventions(tiny_model), DATA, Plan(2), out=tmp_path / "none")


def test_settings_that_are_not_used_are_in_no_key():
    assert not set(ADDED) & set(keyed(settings()))
    assert keyed(settings(curriculum=0.5))["curriculum"] == 0.5
