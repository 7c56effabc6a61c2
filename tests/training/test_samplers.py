"""The samplers: what must hold of every batch of every sampler, and what each of them promises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import plain

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.members import Member
from mdrbench.training.samplers import Example, distribution
from mdrbench.training.samplers._batches import Rounds
from mdrbench.training.samplers.diverse import quotas

CONFIGS = [
    {"name": "uniform"},
    {"name": "homogeneous"},
    {"name": "homogeneous", "languages": "proportional"},
    {"name": "homogeneous", "domains": "proportional"},
    {"name": "homogeneous", "languages": "proportional", "domains": "proportional"},
    {"name": "homogeneous", "same_language": False},
    {"name": "homogeneous", "same_language": False, "languages": "proportional"},
    {"name": "diverse"},
    {"name": "diverse", "languages": 0.0, "domains": 0.5, "repeats": 3},
    {"name": "diverse", "same_language": False, "languages": 0.5, "repeats": 2},
]
samplers = st.sampled_from(CONFIGS).map(lambda config: Member.of("samplers", config).build())

seeds = st.integers(0, 2**32)
epochs = st.integers(0, 30)


@st.composite
def tangled(draw) -> list[Example]:
    """Up to 40 examples that share few docids, and sometimes a qid."""
    one = st.builds(
        Example,
        lang=st.sampled_from(["en", "sw", "te"]),
        qid=st.integers(0, 60).map(str),
        domain=st.sampled_from("abcd"),
        positives=st.lists(st.integers(0, draw(st.integers(1, 40))).map(str), max_size=3, unique=True).map(tuple),
    )
    return draw(st.lists(one, min_size=1, max_size=40))


def may_meet(a: Example, b: Example) -> bool:
    return a.lang != b.lang or (a.qid != b.qid and not set(a.positives) & set(b.positives))


@pytest.mark.medium
@given(samplers, tangled(), st.integers(1, 6), st.integers(1, 3), seeds, epochs)
@settings(max_examples=200)
def test_what_holds_of_every_batch(sampler, examples, part, world, seed, epoch):
    size = part * world
    try:
        count = sampler.count(examples, size, world)
    except DataError:  # at once, whoever asks
        for ask in (sampler.sizes, lambda *data: sampler.batches(*data[:2], seed, epoch, world=world)):
            with pytest.raises(DataError, match="can be together"):
                ask(examples, size, world)
        return
    sizes = sampler.sizes(examples, size, world)
    batches = list(sampler.batches(examples, size, seed, epoch, world=world))
    assert len(batches) == count >= 1
    for batch in batches:
        members = [examples[i] for i in batch]
        assert all(may_meet(a, b) for a, b in combinations(members, 2))
        assert len(batch) == sizes[members[0].lang if sampler.same_language else "all"]
        assert len(batch) <= size
        assert len(batch) % world == 0
        assert not sampler.same_language or len({member.lang for member in members}) == 1
        parts = [sampler.shard(batch, rank, world) for rank in range(world)]
        assert [i for part in parts for i in part] == batch
        assert len({len(part) for part in parts}) == 1


@pytest.mark.medium
@given(samplers, tangled(), st.integers(1, 4), seeds, epochs, st.data())
def test_a_run_resumes_anywhere_in_an_epoch(sampler, examples, size, seed, epoch, data):
    try:
        count = sampler.count(examples, size)
    except DataError:
        return
    start = data.draw(st.integers(0, count))
    whole = list(sampler.batches(examples, size, seed, epoch))
    assert list(sampler.batches(examples, size, seed, epoch, start=start)) == whole[start:]


@pytest.mark.medium
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: "-".join(map(str, config.values())))
def test_the_same_batches_in_every_process(config):
    script = (
        "from mdrbench.core.members import Member; from support.examples import plain\n"
        "examples = plain({(l, d): 9 for l in ('en', 'sw') for d in 'abc'})\n"
        f"print(list(Member.of('samplers', {config!r}).build().batches(examples, 4, 7, 3)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    examples = plain({(lang, domain): 9 for lang in ("en", "sw") for domain in "abc"})
    here = list(Member.of("samplers", config).build().batches(examples, 4, 7, 3))
    assert done.stdout.strip() == repr(here)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: "-".join(map(str, config.values())))
def test_seeds_and_epochs_differ(config):
    sampler = Member.of("samplers", config).build()
    examples = plain({(lang, domain): 12 for lang in ("en", "sw") for domain in "abc"})
    runs = [list(sampler.batches(examples, 6, seed, epoch)) for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    assert all(a != b for a, b in combinations(runs, 2))


def test_diverse_shows_each_query_once_with_every_domain_in_every_batch():
    examples = plain({("fi", "a"): 40, ("fi", "b"): 16, ("fi", "c"): 8, ("sw", "a"): 32})
    sampler = Member.of("samplers", {"name": "diverse"}).build()
    batches = list(sampler.batches(examples, 16, 3, 0))
    assert sorted(i for batch in batches for i in batch) == list(range(96))
    assert [examples[batch[0]].lang for batch in batches].count("sw") == 2
    for batch in batches:
        domains = Counter(examples[i].domain for i in batch)
        if examples[batch[0]].lang == "fi":
            assert (9 <= domains["a"] <= 11, 3 <= domains["b"] <= 5, 1 <= domains["c"] <= 3) == (True, True, True)


def test_diverse_exponents_smooth_languages_and_domains_and_repeats_are_capped():
    examples = plain({("fi", "a"): 80, ("fi", "b"): 16, ("sw", "a"): 8})
    counted = Counter()
    for batch in (
        Member.of("samplers", {"name": "diverse", "languages": 0.0, "domains": 0.0, "repeats": 3})
        .build()
        .batches(examples, 8, 3, 0)
    ):
        counted.update(batch)
    cells = Counter()
    for i, n in counted.items():
        cells[examples[i].lang, examples[i].domain] += n
    assert max(counted.values()) == 3
    assert cells == {("sw", "a"): 24, ("fi", "a"): 40, ("fi", "b"): 40}  # sw at its cap, the rest evenly by domain
    assert quotas({"big": 90, "small": 10}, 60, 0.5, {"big": 90, "small": 10}) == {"big": 50, "small": 10}


@given(st.integers(1, 60), st.integers(1, 9), seeds, epochs)
def test_uniform_takes_every_example_once_and_fills_the_last_batch(number, size, seed, epoch):
    examples = plain({("en", "a"): number, ("sw", "b"): number})
    sampler = Member.of("samplers", {"name": "uniform"}).build()
    drawn = Counter(i for batch in sampler.batches(examples, size, seed, epoch) for i in batch)
    assert set(drawn) == set(range(2 * number))
    assert max(drawn.values()) <= 2
    assert drawn.total() - 2 * number < size


@given(st.integers(2, 8), st.integers(1, 5), seeds)
@settings(max_examples=50)
def test_uniform_leaves_none_out_where_examples_share_a_positive(size, sharing, seed):
    """Each positive has so many queries; an epoch has more than three times as many batches as one must avoid."""
    count = 3 * sharing + 1
    examples = [Example("en", str(i), "a", (str(i // sharing),)) for i in range(size * count)]
    sampler = Member.of("samplers", {"name": "uniform"}).build()
    assert sampler.count(examples, size) == count
    drawn = Counter(i for batch in sampler.batches(examples, size, seed, 0) for i in batch)
    assert drawn == Counter(range(len(examples)))


def test_uniform_where_an_epoch_has_too_few_batches_to_part_them():
    examples = [Example("en", str(i), "a", ("same",)) for i in range(3)] + [Example("en", "other", "a", ("p",))]
    sampler = Member.of("samplers", {"name": "uniform"}).build()
    seen = set()
    for epoch in range(20):
        batches = list(sampler.batches(examples, 2, 0, epoch))
        assert [sorted(batch)[1:] for batch in batches] == [[3], [3]]
        seen |= {i for batch in batches for i in batch}
    assert seen == {0, 1, 2, 3}


@given(st.integers(2, 5), st.integers(1, 8), seeds, epochs)
def test_languages_are_drawn_evenly(number, size, seed, epoch):
    """In every stretch of an epoch that begins a round, languages differ by one batch at most; so over epochs."""
    examples = plain({(f"l{i}", "a"): 10 + 15 * i for i in range(number)})
    sampler = Member.of("samplers", {"name": "homogeneous"}).build()
    met = Counter({f"l{i}": 0 for i in range(number)})
    for past in range(epoch % 3 + 1):
        for batch in sampler.batches(examples, size, seed, past):
            met[examples[batch[0]].lang] += 1
            assert max(met.values()) - min(met.values()) <= 1


def test_proportional_languages_have_the_batches_that_hold_them_once():
    examples = plain({("en", "a"): 50, ("sw", "a"): 9, ("te", "a"): 1 + 4})
    sampler = Member.of("samplers", {"name": "homogeneous", "languages": "proportional"}).build()
    for epoch in range(3):
        batches = list(sampler.batches(examples, 4, 0, epoch))
        assert Counter(examples[batch[0]].lang for batch in batches) == {"en": 13, "sw": 3, "te": 2}
        if epoch == 0:
            assert {i for batch in batches for i in batch} == set(range(len(examples)))


@pytest.mark.medium
@given(st.integers(2, 6), st.integers(2, 12), seeds, epochs)
def test_domains_are_drawn_evenly_within_each_batch(number, size, seed, epoch):
    examples = plain({(lang, f"d{i}"): 12 + 20 * i for lang in ("en", "sw") for i in range(number)})
    sampler = Member.of("samplers", {"name": "homogeneous"}).build()
    for batch in sampler.batches(examples, size, seed, epoch):
        found = Counter({f"d{i}": 0 for i in range(number)})
        found.update(examples[i].domain for i in batch)
        # a batch may end one round of the domains, hold others whole, and begin a further one
        assert max(found.values()) - min(found.values()) <= 2
        assert size % number or len(set(found.values())) == 1


def test_proportional_domains_keep_their_share():
    examples = plain({("en", "large"): 90, ("en", "small"): 10})
    shares = {}
    for domains in ("uniform", "proportional"):
        sampler = Member.of("samplers", {"name": "homogeneous", "domains": domains}).build()
        drawn = Counter(examples[i].domain for batch in sampler.batches(examples, 10, 0, 0) for i in batch)
        shares[domains] = drawn["small"] / drawn.total()
    assert shares == {"uniform": 0.5, "proportional": 0.1}


@given(st.sampled_from(CONFIGS[1:5]), st.integers(1, 8), st.lists(st.integers(8, 40), min_size=2, max_size=4), seeds)
def test_a_cell_is_seen_whole_before_an_example_comes_again(config, size, cells, seed):
    examples = plain({("en", f"d{i}"): number for i, number in enumerate(cells)} | {("sw", "d0"): 9})
    drawn: Counter[int] = Counter(dict.fromkeys(range(len(examples)), 0))
    uniform = config.get("domains") != "proportional"
    for batch in Member.of("samplers", config).build().batches(examples, size, seed, 0):
        drawn.update(batch)
        by_cell: dict[tuple[str, str], list[int]] = {}
        for i, number in drawn.items():
            by_cell.setdefault((examples[i].lang, examples[i].domain if uniform else ""), []).append(number)
        assert all(max(numbers) - min(numbers) <= 1 for numbers in by_cell.values())


def test_a_large_language_goes_on_in_the_next_epoch_where_it_stopped():
    examples = plain({("en", "a"): 120, ("sw", "a"): 8, ("te", "a"): 8})
    sampler = Member.of("samplers", {"name": "homogeneous"}).build()
    assert sampler.count(examples, 4) == 34  # about 11 batches of 4 for English in each epoch: 120 take three
    seen: list[int] = []
    for epoch in range(3):
        seen += [i for batch in sampler.batches(examples, 4, 0, epoch) for i in batch if examples[i].lang == "en"]
    assert len(set(seen)) == min(len(seen), 120)


def test_mixed_batches_draw_languages_and_domains_evenly():
    examples = plain({("en", "a"): 60, ("en", "b"): 12, ("sw", "a"): 12})
    sampler = Member.of("samplers", {"name": "homogeneous", "same_language": False}).build()
    for batch in sampler.batches(examples, 8, 0, 0):
        assert Counter((examples[i].lang, examples[i].domain) for i in batch) == {
            ("en", "a"): 2,
            ("en", "b"): 2,
            ("sw", "a"): 4,
        }


def test_a_small_domain_gives_what_it_lacks_to_the_others():
    examples = plain({("en", "rare"): 1, ("en", "common"): 30})
    batches = list(Member.of("samplers", {"name": "homogeneous"}).build().batches(examples, 6, 0, 0))
    assert [Counter(examples[i].domain for i in batch) for batch in batches] == [{"rare": 1, "common": 5}] * 6


def test_a_language_smaller_than_the_batch_has_smaller_batches():
    examples = plain({("en", "a"): 50, ("sw", "a"): 5})
    sampler = Member.of("samplers", {"name": "homogeneous"}).build()
    assert sampler.sizes(examples, 24) == {"en": 24, "sw": 5}
    assert sampler.sizes(examples, 24, world=2) == {"en": 24, "sw": 4}
    assert sampler.count(examples, 24) == 4
    assert sampler.count(examples, 24, world=2) == 5
    assert {len(batch) for batch in sampler.batches(examples, 24, 0, 0)} == {24, 5}
    assert Member.of("samplers", {"name": "uniform"}).build().sizes(examples, 24) == {"all": 24}


def refusal(name: str, examples, size: int, world: int = 1) -> str:
    with pytest.raises(DataError) as caught:
        Member.of("samplers", {"name": name}).build().batches(examples, size, 0, 0, world=world)
    return str(caught.value)


def test_what_cannot_fill_a_batch_is_refused_with_the_size_that_works():
    shared = [Example("sw", str(i), "a", (str(i % 3),)) for i in range(30)]
    assert refusal("homogeneous", shared, 8) == (
        "the examples of 'sw' cannot fill a batch of 8 without a query or a positive twice: of 30 at most 3 can be "
        "together\n  mend: set training.batch_size to 3 or less, or leave 'sw' out"
    )
    assert refusal("uniform", shared, 8).startswith("the training examples cannot fill a batch of 8 without")
    single = refusal("homogeneous", plain({("sw", "a"): 1, ("en", "a"): 9}), 4)
    assert "of 1 at most 1 can be together" in single
    assert single.endswith("mend: use more training queries, or leave 'sw' out")  # a batch has two queries at least
    few = refusal("homogeneous", plain({("sw", "a"): 3, ("en", "a"): 9}), 8, 4)
    assert "in equal parts for 4 processes" in few
    assert few.endswith("mend: use more training queries, or leave 'sw' out")
    assert refusal("uniform", [], 8).startswith("there is no training example")
    assert Member.of("samplers", {"name": "homogeneous"}).build().count(shared, 3) == 10


def test_the_same_qid_and_docid_in_two_languages_may_meet():
    examples = [Example(lang, "1", "a", ("1#0",)) for lang in ("en", "sw")]
    assert [sorted(batch) for batch in Member.of("samplers", CONFIGS[0]).build().batches(examples, 2, 0, 0)] == [[0, 1]]


@pytest.mark.parametrize("arguments", [(0, 1), (6, 4), (6, 0)])
def test_sizes_that_cannot_be_shared(arguments):
    with pytest.raises(UsageError, match="cannot be shared equally"):
        Member.of("samplers", CONFIGS[0]).build().count(plain({("en", "a"): 9}), *arguments)


def test_places_and_parts_that_do_not_exist():
    sampler, examples = Member.of("samplers", CONFIGS[0]).build(), plain({("en", "a"): 9})
    assert list(sampler.batches(examples, 3, 0, 0, start=3)) == []
    for epoch, start in ((-1, 0), (0, -1), (0, 4)):
        with pytest.raises(UsageError, match="an epoch has 3 batches"):
            sampler.batches(examples, 3, 0, epoch, start)
    for rank, world in ((2, 2), (-1, 2), (0, 3)):
        with pytest.raises(UsageError, match="no equal part"):
            sampler.shard([1, 2, 3, 4], rank, world)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=8), st.integers(0, 40))
def test_rounds_are_looked_up_anywhere(items, place):
    rounds = Rounds(items, "seed")
    met: Counter[str] = Counter()
    for at in range(place):
        item, before = rounds.at(at)
        assert before == met[item]
        met[item] += 1
        if at % len(items) == len(items) - 1:
            assert met == Counter({name: each * (at // len(items) + 1) for name, each in Counter(items).items()})
    assert +Rounds(items, "seed").before(place) == met


@pytest.mark.medium
def test_an_epoch_of_miracl_is_drawn_in_seconds():
    """As large as MIRACL's training data; every third query shares a positive with another."""
    examples = [
        Example(f"l{i % 16}", str(i), f"d{i % 11 % 7}", (str(i // 16 // 3 * 2 + i % 2),)) for i in range(40_203)
    ]
    for config in CONFIGS[:2]:
        sampler = Member.of("samplers", config).build()
        assert sampler.count(examples, 24) in (1676, 1680)
        last = sampler.count(examples, 24) - 2
        assert [len(batch) for batch in sampler.batches(examples, 24, 0, 19, start=last)] == [24, 24]


def test_distribution_counts_languages_and_domains():
    examples = plain({("sw", "b"): 2, ("sw", "a"): 1, ("en", "a"): 3})
    assert distribution(examples) == {"sw": {"b": 2, "a": 1}, "en": {"b": 0, "a": 3}}


def test_conventions_hold_the_settings():
    found = [Member.of("samplers", config).build().conventions() for config in CONFIGS]
    assert found[1] == {
        "sampler": "homogeneous",
        "same_language": True,
        "languages": "uniform",
        "domains": "uniform",
    }
    assert all(a != b for a, b in pairwise(found))
