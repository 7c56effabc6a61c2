"""The contrastive loss by hand and against sentence-transformers; the same gradient in pieces and in two processes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.process_groups import run
from torch.nn.functional import normalize

from mdrbench.training import caching
from mdrbench.training.dropout import TextDropout
from mdrbench.training.losses import contrastive
from mdrbench.training.model import Encoder

QUERIES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
PASSAGES = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.0, 2.0]])  # the positives are 0 and 2
TARGETS = torch.tensor([0, 2])
NONE_IGNORED = torch.zeros(2, 3, dtype=torch.bool)


def loss_of(**changes) -> float:
    given = {"ignored": NONE_IGNORED, "temperature": 0.5, "similarity": "dot", **changes}
    return contrastive(QUERIES, PASSAGES, TARGETS, **given).item()


def test_the_loss_of_two_queries_by_hand():
    first = -math.log(math.exp(1.6) / (math.exp(1.6) + math.exp(1.2) + math.exp(0.0)))
    second = -math.log(math.exp(4.0) / (math.exp(1.2) + math.exp(1.6) + math.exp(4.0)))
    assert loss_of() == pytest.approx((first + second) / 2, abs=1e-6)


def test_cosine_does_not_see_lengths():
    second = -math.log(math.exp(2.0) / (math.exp(1.2) + math.exp(1.6) + math.exp(2.0)))
    first = -math.log(math.exp(1.6) / (math.exp(1.6) + math.exp(1.2) + math.exp(0.0)))
    assert loss_of(similarity="cosine") == pytest.approx((first + second) / 2, abs=1e-6)


def test_a_weight_on_a_negative_multiplies_its_term_and_never_the_positives():
    weights = torch.tensor([3.0, 0.5, 2.0])
    first = -math.log(math.exp(1.6) / (math.exp(1.6) + 0.5 * math.exp(1.2) + 2.0 * math.exp(0.0)))
    second = -math.log(math.exp(4.0) / (3.0 * math.exp(1.2) + 0.5 * math.exp(1.6) + math.exp(4.0)))
    assert loss_of(negative_weights=weights) == pytest.approx((first + second) / 2, abs=1e-6)


def test_a_weight_on_an_example_multiplies_its_loss():
    first = -math.log(math.exp(1.6) / (math.exp(1.6) + math.exp(1.2) + math.exp(0.0)))
    second = -math.log(math.exp(4.0) / (math.exp(1.2) + math.exp(1.6) + math.exp(4.0)))
    weighted = loss_of(example_weights=torch.tensor([2.0, 0.25]))
    assert weighted == pytest.approx((2 * first + 0.25 * second) / 2, abs=1e-6)


def test_an_ignored_passage_has_no_term():
    ignored = torch.tensor([[False, True, False], [False, False, False]])
    first = -math.log(math.exp(1.6) / (math.exp(1.6) + math.exp(0.0)))
    second = -math.log(math.exp(4.0) / (math.exp(1.2) + math.exp(1.6) + math.exp(4.0)))
    assert loss_of(ignored=ignored) == pytest.approx((first + second) / 2, abs=1e-6)


def test_the_loss_is_that_of_sentence_transformers():
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    torch.manual_seed(1)
    queries, positives, negatives = (torch.randn(4, 8) for _ in range(3))
    reference = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=20.0)
    expected = reference.compute_loss_from_embeddings([queries, positives, negatives], None)
    ours = contrastive(
        queries,
        torch.cat([positives, negatives]),
        torch.arange(4),
        torch.zeros(4, 8, dtype=torch.bool),
        temperature=0.05,
        similarity="cosine",
    )
    assert ours.item() == pytest.approx(expected.item(), abs=1e-5)


# -- gradients ---------------------------------------------------------------------------------------------------------


class Conventions:
    """The settings of an encoder that matter here."""

    def __init__(self, pooling: str = "mean"):
        self.pooling, self.normalize = pooling, True


def rows(seed: int, number: int) -> list[np.ndarray]:
    dice = np.random.default_rng(seed)
    return [np.array([2, *dice.integers(4, 20, dice.integers(1, 12)), 3], dtype=np.int32) for _ in range(number)]


def encoder(folder, pooling="mean", packed=True, **settings) -> Encoder:
    """A tiny model whose weights differ enough for gradients to differ."""
    made = Encoder(folder, Conventions(pooling), torch.device("cpu"), "fp32", **settings)
    if not packed:
        made.packed = False
        made.model.set_attn_implementation("sdpa")
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def weighted_loss(embeddings: list[torch.Tensor]) -> torch.Tensor:
    queries, passages = embeddings
    ignored = torch.zeros(4, 12, dtype=torch.bool)
    ignored[0, 3] = True
    weights = torch.linspace(0.4, 1.6, 12)
    targets = torch.arange(0, 12, 3)
    settings = {"temperature": 0.1, "similarity": "cosine", "negative_weights": weights}
    return contrastive(queries, passages, targets, ignored, **settings)


def gradients(how, made: Encoder, at_once: int) -> tuple[float, dict[str, torch.Tensor]]:
    texts = rows(1, 4), rows(2, 12)
    seeds = [[100 * side + i for i in range(len(part))] for side, part in enumerate(texts)]
    sides = [caching.Side(part, made.pieces(part, at_once), of) for part, of in zip(texts, seeds, strict=True)]
    made.model.zero_grad()
    loss = how(made.embed, sides, torch.zeros(0, 32), weighted_loss, torch.Tensor.backward)
    return loss.item(), {n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}


def assert_close(one, other, tolerance=1e-5):
    assert one[0] == pytest.approx(other[0], abs=tolerance)
    assert one[1].keys() == other[1].keys()
    assert max(grad.abs().max().item() for grad in one[1].values()) > 0.01
    for name, grad in one[1].items():
        assert (grad - other[1][name]).abs().max().item() < tolerance, name


@pytest.mark.parametrize("architecture", ["Bert", "XLMRoberta", "DistilBert"])
@pytest.mark.parametrize("at_once", [1, 5])
def test_gradient_caching_gives_the_gradient_of_the_whole_batch(tiny_models, architecture, at_once):
    made = encoder(tiny_models[architecture])
    made.model.eval()
    assert_close(gradients(caching.plain, made, 0), gradients(caching.cached, made, at_once))


@pytest.mark.medium
@pytest.mark.parametrize("architecture", ["Bert", "XLMRoberta", "DistilBert"])
def test_dropout_is_the_same_however_a_batch_is_cut(tiny_models, architecture):
    """In one pass, in pieces, in cached pieces, with blocks computed again; without padding and with it."""
    made = encoder(tiny_models[architecture])
    made.model.train()
    plain = gradients(caching.plain, made, 0)
    assert_close(plain, gradients(caching.plain, made, 5))
    assert_close(plain, gradients(caching.cached, made, 5))
    assert_close(plain, gradients(caching.cached, made, 1))
    for ways in (
        {"gradient_checkpointing": True},
        {"packed": False},
        {"packed": False, "gradient_checkpointing": True},
    ):
        other = encoder(tiny_models[architecture], **ways)
        other.model.train()
        assert_close(plain, gradients(caching.cached, other, 5))
        assert other.dropout_by_text
    made.model.eval()
    assert abs(gradients(caching.plain, made, 5)[0] - plain[0]) > 0.01  # dropout was there


def test_dropout_drops_as_often_as_asked_and_keeps_the_mean():
    x = torch.ones(1, 30_000, 8)
    seeds, lengths = list(range(100)), [300] * 100
    with TextDropout(seeds, lengths, True, torch.device("cpu")):
        first, second = (torch.nn.functional.dropout(x, 0.3) for _ in range(2))
        kept = torch.nn.functional.dropout(x, 0.3, training=False)
    assert torch.equal(kept, x)
    assert first.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert first.mean().item() == pytest.approx(1, abs=0.01)
    shares = first.bool().float().mean(dim=(0, 2)).unflatten(0, (100, 300)).mean(dim=1)  # of each text
    assert shares.min() > 0.65
    assert shares.max() < 0.75
    same = [(first.bool() == second.bool()), (first[:, :300].bool() == first[:, 300:600].bool())]
    assert [part.float().mean().item() for part in same] == pytest.approx([0.58, 0.58], abs=0.03)  # 0.7² + 0.3²


@pytest.mark.medium
@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_dropout_is_pytorchs_but_for_the_mask(causal):
    """Many draws of the mask average to the attention without dropout; heads share keys in groups."""
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    attend = torch.nn.functional.scaled_dot_product_attention
    padding = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    padding[1, ..., 3:] = False
    chosen = {"is_causal": True} if causal else {"attn_mask": padding}
    expected = attend(query, key, value, enable_gqa=True, **chosen)
    total = torch.zeros_like(expected)
    with TextDropout([1, 2], [5, 3], False, torch.device("cpu")):
        for _ in range(4000):
            total += attend(query, key, value, dropout_p=0.2, enable_gqa=True, **chosen)
    assert (total / 4000 - expected)[0].abs().max() < 0.1
    assert (total / 4000 - expected)[1, :, :3].abs().max() < 0.1


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("architecture", ["Bert", "XLMRoberta"])
def test_the_gradient_without_padding_is_the_padded_one(tiny_models, architecture, pooling):
    padded = encoder(tiny_models[architecture], pooling, packed=False)
    packed = encoder(tiny_models[architecture], pooling)
    padded.model.eval()
    packed.model.eval()
    assert len(packed.pieces(rows(2, 12))) == 1
    assert len(padded.pieces(rows(2, 12))) > 1
    assert_close(gradients(caching.plain, padded, 0), gradients(caching.plain, packed, 0))


def test_gradient_checkpointing_changes_no_gradient(tiny_model):
    kept = gradients(caching.plain, encoder(tiny_model), 0)
    recomputing = encoder(tiny_model, gradient_checkpointing=True)
    recomputing.model.train()
    for module in recomputing.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert_close(kept, gradients(caching.plain, recomputing, 0))


def test_frozen_word_embeddings_are_left_out_and_change_no_other_gradient(tiny_model):
    frozen, free = encoder(tiny_model, freeze_word_embeddings=True), encoder(tiny_model)
    frozen.model.load_state_dict(free.model.state_dict())
    words = free.model.get_input_embeddings().weight
    assert sum(p.numel() for p in frozen.parameters()) == sum(p.numel() for p in free.parameters()) - words.numel()
    frozen.model.eval()
    free.model.eval()
    loss, of_all = gradients(caching.plain, free, 0)
    del of_all["embeddings.word_embeddings.weight"]
    assert_close((loss, of_all), gradients(caching.plain, frozen, 0))


def test_attention_dropout_is_drawn_without_padding_too(tiny_model):
    made = encoder(tiny_model, attention_dropout=0.5)
    for module in made.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5 if module.p == 0.5 else 0.0
    made.model.train()
    batch = sorted(rows(2, 12), key=len)
    one, two = made.embed(batch, [1] * 12), made.embed(batch, [2] * 12)
    assert (one - two).abs().max() > 0.01
    made.model.eval()
    assert torch.equal(made.embed(batch, [1] * 12), made.embed(batch, [2] * 12))


# -- several processes -------------------------------------------------------------------------------------------------

PROCESS = """
import accelerate, torch
from mdrbench.training import processes
from mdrbench.training.losses import contrastive

torch.set_num_threads(1)
accelerator = accelerate.Accelerator(cpu=True)
assert accelerator.num_processes == 2 and torch.distributed.get_backend() == "gloo"
torch.manual_seed(3)
texts = torch.randn(5, 6), torch.randn(13, 6)  # 5 queries with 13 passages

def gradient(shares, rank):
    torch.manual_seed(4)
    model = torch.nn.Linear(6, 4)
    sizes = [[share[side].stop - share[side].start for share in shares] for side in (0, 1)]
    own = [model(rows[part]) for rows, part in zip(texts, shares[rank])]
    queries, passages = [processes.joint(x, size, rank) for x, size in zip(own, sizes)]
    targets, ignored = torch.tensor([0, 3, 6, 8, 11]), torch.zeros(5, 13, dtype=torch.bool)
    weights = torch.linspace(0.5, 2, 13)
    loss = contrastive(queries, passages, targets, ignored, temperature=0.1, similarity="cosine",
                       negative_weights=weights)
    loss.backward()
    processes.add_gradients(model.parameters(), len(shares))
    return [loss.detach(), *(parameter.grad for parameter in model.parameters())]

one = gradient([(slice(0, 5), slice(0, 13))], 0)
two = gradient([(slice(0, 2), slice(0, 6)), (slice(2, 5), slice(6, 13))], accelerator.process_index)
for value, expected in zip(two, one):
    assert (value - expected).abs().max() < 1e-5 and expected.abs().max() > 1e-2
"""


@pytest.mark.medium
def test_the_gradient_of_two_processes_is_that_of_one_with_the_joint_batch():
    assert run(2, ["-c", PROCESS]) == [0, 0]


def test_normalised_embeddings(tiny_model):
    made = encoder(tiny_model)
    batch = sorted(rows(2, 12), key=len)
    with torch.no_grad():
        found = made.embed(batch, [0] * 12)
    assert torch.allclose(found, normalize(found, dim=-1), atol=1e-6)
