"""Learning from a teacher: the losses by hand, what is masked, what a curriculum offers, and trainings that differ."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from support.training import DATA, Plan, conventions, settings

from mdrbench.core.errors import DataError, UsageError
from mdrbench.training.curriculum import allowed
from mdrbench.training.distillation import Distillation, distilled
from mdrbench.training.loop import train
from mdrbench.training.masking import masked
from mdrbench.training.settings import ADDED, keyed
from mdrbench.training.teacher import Embeddings, Rankings, Rows

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


def test_a_rankings_scores_are_those_of_its_hits():
    one = Rankings({("en", "a"): {("en", "b"): 0.5}, ("fi", "a"): {}})
    found = one.scores([("en", "a"), ("fi", "a")], [("en", "b"), ("fi", "b")])
    assert np.array_equal(found, [[0.5, np.nan], [np.nan, np.nan]], equal_nan=True)
    assert found.dtype == np.float32
    assert one.sha256() != Rankings({("en", "a"): {("en", "b"): 0.25}, ("fi", "a"): {}}).sha256()


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


def rows(names, dim: int = 6) -> Rows:
    """Vectors that follow from the names."""
    vectors = [np.frombuffer(hashlib.sha256(repr(name).encode()).digest()[:dim], np.uint8) for name in names]
    return Rows({name: at for at, name in enumerate(names)}, np.array(vectors, np.float32) / 255)


def teacher() -> Embeddings:
    queries = [(lang, qid) for lang, one in DATA.items() for qid in one.queries]
    return Embeddings(rows(queries), rows([(lang, docid) for lang, one in DATA.items() for docid in one.passages]))


def test_a_teachers_scores_are_inner_products_and_a_missing_text_is_named():
    one = Embeddings(
        Rows({("en", "a"): 0}, np.array([[1.0, 2.0]], np.float16)),
        Rows({("en", "b"): 0, ("fi", "b"): 1}, np.array([[3.0, 4.0], [0.5, 0.0]], np.float16)),
    )
    assert one.scores([("en", "a")], [("fi", "b"), ("en", "b")]).tolist() == [[0.5, 11.0]]
    with pytest.raises(DataError, match=r"no embedding of 'c' \(fi\)"):
        one.scores([("en", "a")], [("fi", "c")])


@pytest.mark.medium
def test_each_setting_changes_what_is_learned_and_needs_its_teacher(tiny_model, tmp_path):
    losses = {}
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
            teacher=teacher(),
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
