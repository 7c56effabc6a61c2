"""The labellers: exact labels on made-up vectors, what centring is for, and fastText models trained on the spot."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mdrbench.core import registry
from mdrbench.core.errors import DataError, SetupError, StepError, UsageError
from mdrbench.core.members import Member
from mdrbench.core.types import Passage
from mdrbench.training.domains import DOMAINS, distribution
from mdrbench.training.domains import fasttext as fasttext_domains

SUBJECTS = {"sport": 0, "river": 1, "novel": 2}
THREE = {"Sports": "sport", "Geography": "river", "Books & Literature": "novel"}


def passages(*texts: str) -> list[Passage]:
    return [Passage(f"{i}#0", "", text) for i, text in enumerate(texts)]


def embed(texts: list[str]) -> np.ndarray:
    """A dimension a subject, by the first word; ``xx-`` and ``yy-`` add the direction of a language."""
    vectors = np.zeros((len(texts), 5), dtype=np.float32)
    for row, text in enumerate(texts):
        lang, _, rest = text.rpartition("-")
        vectors[row, SUBJECTS[rest.split()[0]]] = 1
        if lang:
            vectors[row, 3 + ("xx", "yy").index(lang)] = 3
    return vectors


def labeller(name: str, **settings):
    return Member.of("domains", {"name": name, **settings}).build()


def test_the_family():
    assert list(registry.members("domains")) == ["fasttext", "kmeans", "nearest", "none"]
    assert len(DOMAINS) == len(set(DOMAINS)) == 12


@pytest.mark.parametrize("centre", ["none", "all", "language"])
def test_nearest_gives_the_domain_of_the_nearest_description(centre):
    member = labeller("nearest", descriptions=THREE, centre=centre)
    texts = {"en": passages("river a", "sport b", "novel c", "sport d"), "sw": [], "te": passages("novel")}
    assert member.label(texts, embed) == {
        "en": ["Geography", "Sports", "Books & Literature", "Sports"],
        "sw": [],
        "te": ["Books & Literature"],
    }
    assert member.facts() == {
        "labelled": 5,
        "distribution": {
            "en": {"Books & Literature": 1, "Sports": 2, "Geography": 1},
            "sw": {"Books & Literature": 0, "Sports": 0, "Geography": 0},
            "te": {"Books & Literature": 1, "Sports": 0, "Geography": 0},
        },
        "largest_share": 0.4,
    }


def test_nearest_centred_is_not_swallowed_by_the_domain_next_to_what_all_texts_share():
    """A direction that all passages have, and one description a little of, outweighs what they are about."""
    common = np.array([0, 0, 0, 4, 0], dtype=np.float32)

    def narrow(texts: list[str]) -> np.ndarray:
        share = np.array([[text == "novel" or len(text.split()) > 1] for text in texts])
        return embed(texts) + share * common

    texts = {"en": passages("river a", "sport b", "novel c")}
    alike = labeller("nearest", descriptions=THREE, centre="none").label(texts, narrow)
    assert alike == {"en": ["Books & Literature"] * 3}
    apart = labeller("nearest", descriptions=THREE).label(texts, narrow)
    assert apart == {"en": ["Geography", "Sports", "Books & Literature"]}


def test_nearest_embeds_title_and_text():
    seen: list[str] = []

    def remember(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return np.ones((len(texts), 2))

    texts = {"en": [Passage("1", "river", "It flows."), Passage("2", "", "No title.")]}
    labels = labeller("nearest", descriptions=THREE, title_separator=": ").label(texts, remember)
    assert seen == ["river: It flows.", "No title.", "sport", "river", "novel"]
    assert labels == {"en": ["Sports", "Sports"]}  # equally near: the first


def test_nearest_describes_the_twelve_and_takes_other_descriptions():
    assert tuple(labeller("nearest").config.descriptions) == DOMAINS
    for wrong in ({"One": "only"}, {"Sports": "sport", "Geography": " "}):
        with pytest.raises(ValidationError):
            labeller("nearest", descriptions=wrong)
    one, other = labeller("nearest"), labeller("nearest", descriptions=THREE)
    assert one.conventions() != other.conventions()
    assert other.conventions() == {
        "domains": "nearest",
        "descriptions": THREE,
        "centre": "all",
        "title_separator": " ",
    }


@pytest.mark.parametrize("name", ["nearest", "kmeans"])
def test_embeddings_that_are_missing_or_broken(name):
    texts = {"en": passages(*["river"] * 12)}
    with pytest.raises(UsageError, match=f"'{name}' need an encoder"):
        labeller(name).label(texts, None)
    with pytest.raises(StepError, match="shape"):
        labeller(name).label(texts, lambda given: np.ones((3, 4)))
    with pytest.raises(StepError, match="not finite"):
        labeller(name).label(texts, lambda given: np.full((len(given), 4), np.nan))


def test_kmeans_finds_subjects_in_all_languages_and_numbers_them_by_size():
    texts = {
        "xx": passages(*["xx-river"] * 6, *["xx-sport"] * 4, *["xx-novel"] * 2),
        "yy": passages(*["yy-river"] * 6, *["yy-sport"] * 4, *["yy-novel"] * 2),
    }
    by_subject = ["cluster-0"] * 6 + ["cluster-1"] * 4 + ["cluster-2"] * 2
    member = labeller("kmeans", k=3)
    assert member.label(texts, embed) == {"xx": by_subject, "yy": by_subject}
    assert member.facts()["largest_share"] == 0.5
    by_language = labeller("kmeans", k=2, centre="all").label(texts, embed)
    assert len(set(by_language["xx"])) == len(set(by_language["yy"])) == 1
    assert by_language["xx"] != by_language["yy"]


def test_centring_by_language_leaves_a_language_of_one_passage_what_it_is_about():
    texts = {"xx": passages(*["xx-river", "xx-sport", "xx-novel"] * 5), "yy": passages("yy-sport")}
    labels = labeller("nearest", descriptions=THREE, centre="language").label(texts, embed)
    assert labels == {"xx": ["Geography", "Sports", "Books & Literature"] * 5, "yy": ["Sports"]}


def test_kmeans_is_decided_by_its_seed():
    vectors = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    texts = {"en": passages(*map(str, range(250))), "sw": passages(*map(str, range(250, 400)))}

    def look_up(given: list[str]) -> np.ndarray:
        return vectors[[int(text) for text in given]]

    first = labeller("kmeans").label(texts, look_up)
    assert labeller("kmeans").label(texts, look_up) == first
    assert labeller("kmeans", seed=7).label(texts, look_up) != first
    assert set(first["en"]) | set(first["sw"]) == {f"cluster-{i}" for i in range(12)}
    conventions = labeller("kmeans", seed=7).conventions()
    assert (conventions["seed"], conventions["k"], bool(conventions["faiss"])) == (7, 12, True)


def test_kmeans_prints_nothing(capfd):
    labeller("kmeans", k=3).label({"en": passages("river", "sport", "novel")}, embed)
    assert capfd.readouterr() == ("", "")


def test_kmeans_of_too_few_passages():
    with pytest.raises(DataError, match="3 passages cannot be put into 12 clusters"):
        labeller("kmeans").label({"en": passages("river", "sport", "novel")}, embed)


def test_none_puts_all_into_one():
    member = labeller("none")
    assert member.label({"en": passages("a", "b"), "sw": []}, None) == {"en": ["all", "all"], "sw": []}
    assert member.facts() == {"labelled": 2, "distribution": {"en": {"all": 2}, "sw": {"all": 0}}, "largest_share": 1}


def test_distribution_keeps_the_usual_order():
    labels = {"en": ["Others", "zebra", "Sports"], "sw": ["Sports"]}
    assert distribution(labels) == {
        "en": {"Sports": 1, "Others": 1, "zebra": 1},
        "sw": {"Sports": 1, "Others": 0, "zebra": 0},
    }
    assert list(distribution(labels)["en"]) == ["Sports", "Others", "zebra"]


# fastText


@pytest.mark.parametrize(
    ("yahoo", "dbpedia", "domain"),
    [
        ("Sports", "Plant", "Sports"),
        ("Health", None, "Life & Health"),
        ("Society & Culture", "Village", "Geography"),
        ("Family & Relationships", "WrittenWork", "Books & Literature"),
        (None, "MeanOfTransportation", "Traffic & Transportation"),
        ("Society & Culture", None, "Others"),
        (None, None, "Others"),
    ],
)
def test_the_yahoo_class_counts_first_then_dbpedia(yahoo, dbpedia, domain):
    assert labeller("fasttext", dbpedia="d.bin", yahoo="y.bin").domain(yahoo, dbpedia) == domain


def test_the_mapping_covers_both_classifiers_and_can_be_changed():
    mapping = fasttext_domains.MAPPING
    assert set(mapping) | {"Society & Culture", "Family & Relationships"} == {
        *fasttext_domains.DBPEDIA,
        *fasttext_domains.YAHOO,
    }
    assert set(mapping.values()) | {"Others"} == set(DOMAINS)
    changed = labeller("fasttext", dbpedia="d", yahoo="y", mapping={"Company": "Business & Finance", "Sports": None})
    assert changed.domain(None, "Company") == "Business & Finance"
    assert changed.domain("Sports", "Athlete") == "Sports"
    assert changed.domain("Sports", None) == "Others"
    with pytest.raises(ValidationError, match="did you mean 'Company'"):
        labeller("fasttext", dbpedia="d", yahoo="y", mapping={"Compny": "Sports"})
    with pytest.raises(ValidationError, match="did you mean 'Sports'"):
        labeller("fasttext", dbpedia="d", yahoo="y", mapping={"Company": "Sport"})


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ('The Queen\'s\tDog (a "corgi"), barks!\n', "the queen ' s dog ( a corgi ) , barks !"),
        ("a;b: c<br />D?", "a b c d ?"),
        ("Ünïcode 東京。", "ünïcode 東京。"),
        ("", ""),
    ],
)
def test_text_is_prepared_as_the_training_data_was(text, prepared):
    assert fasttext_domains.as_trained(text) == prepared


@given(st.text())
def test_prepared_text_is_one_line_and_stays_as_it_is(text):
    once = fasttext_domains.as_trained(text)
    assert "\n" not in once
    assert fasttext_domains.as_trained(once) == once or any(ch.lower().lower() != ch.lower() for ch in text)


WORDS = {
    "Sports": "goal team match",
    "Society & Culture": "custom feast",
    "Village": "houses mayor",
    "Plant": "leaf root",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of the two data sets' classes, numbered as the published ones; each class knows the words above."""
    fasttext = pytest.importorskip("fasttext", reason="fasttext-wheel is not installed")
    folder = tmp_path_factory.mktemp("fasttext")
    paths = {}
    for name, classes in (("dbpedia", fasttext_domains.DBPEDIA), ("yahoo", fasttext_domains.YAHOO)):
        lines = [f"__label__{n} {WORDS.get(label, f'word{n}')}\n" for n, label in enumerate(classes, 1)] * 60
        (folder / "train.txt").write_text("".join(lines))
        options = {"dim": 16, "epoch": 100, "lr": 0.5, "bucket": 0, "thread": 1, "verbose": 0}
        paths[name] = folder / f"{name}.bin"
        fasttext.train_supervised(str(folder / "train.txt"), **options).save_model(str(paths[name]))
    return paths


def test_fasttext_labels_with_both_models(models, capfd):
    member = labeller("fasttext", **models)
    member.prepare(print)
    texts = {"en": [Passage("1", "Team", "Goal, match!"), *passages("custom feast houses mayor", "東京", "")]}
    assert member.label(texts, None) == {"en": ["Sports", "Geography", "Others", "Others"]}
    assert member.facts()["decided_by"] == {"yahoo": 1, "dbpedia": 1, "neither": 2}
    assert member.facts()["distribution"]["en"] == {"Sports": 1, "Geography": 1, "Others": 2}
    assert capfd.readouterr() == ("", "")


def test_fasttext_is_keyed_by_the_models_bytes_not_their_place(models, tmp_path):
    copy = tmp_path / "elsewhere.bin"
    copy.write_bytes(models["yahoo"].read_bytes())
    here = {"name": "fasttext", "dbpedia": str(models["dbpedia"]), "yahoo": str(models["yahoo"])}
    there = {**here, "yahoo": str(copy)}
    assert (
        Member.of("domains", here).keyed
        == Member.of("domains", there).keyed
        == {"name": "fasttext", "mapping": {}, "title_separator": " "}
    )
    before = Member.of("domains", here).build().conventions()
    assert Member.of("domains", there).build().conventions() == before
    copy.write_bytes(b"other")
    assert Member.of("domains", there).build().conventions() != before


def test_fasttext_refuses_models_that_are_swapped_or_broken(models, tmp_path):
    with pytest.raises(DataError, match="14 classes, not the 10 from 'Society & Culture'"):
        labeller("fasttext", dbpedia=models["yahoo"], yahoo=models["dbpedia"]).prepare(print)
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"no model")
    with pytest.raises(DataError, match="not a fastText model"):
        labeller("fasttext", dbpedia=models["dbpedia"], yahoo=broken).prepare(print)


def test_fasttext_without_its_files_or_its_package(tmp_path, monkeypatch):
    member = labeller("fasttext", dbpedia=tmp_path / "d.bin", yahoo=tmp_path / "y.bin")
    with pytest.raises(DataError, match=r"d\.bin: no such fastText model"):
        member.conventions()
    (tmp_path / "y.bin").touch()
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(SetupError, match="package that is not installed"):
        member.prepare(print)


@pytest.mark.slow
@pytest.mark.wiki16
def test_nearest_on_real_passages_uses_all_domains(me5_small, wiki16_lite):
    """English and Swahili positives in the space of multilingual-e5-small; a few by name."""
    settings = {"model": str(me5_small), "pooling": "mean", "normalize": True, "passage_prefix": "passage: "}
    encoder = Member.of(
        "encoders", {"name": "transformer", "query_length": 64, "passage_length": 64, **settings}
    ).build()
    texts = {lang: list(wiki16_lite.passages(lang))[:60:2] for lang in ("en", "sw")}
    texts["en"] += [
        Passage("a", "Roger Federer", "Roger Federer is a Swiss former professional tennis player."),
        Passage("b", "Danube", "The Danube is the second-longest river in Europe and flows into the Black Sea."),
        Passage("c", "Python", "Python is a high-level, general-purpose programming language."),
        Passage("d", "Boeing 747", "The Boeing 747 is a long-range wide-body airliner."),
        Passage("e", "Anna Karenina", "Anna Karenina is a novel by the Russian author Leo Tolstoy."),
        Passage("f", "Malaria", "Malaria is an infectious disease that affects vertebrates."),
    ]
    member = labeller("nearest")
    labels = member.label(texts, lambda given: encoder.encode_passages(given, lambda done: None))
    assert labels["en"][-6:] == [
        "Sports",
        "Geography",
        "Computers & Internet",
        "Traffic & Transportation",
        "Books & Literature",
        "Life & Health",
    ]
    assert member.facts()["largest_share"] < 0.4


def test_a_named_encoder_labels_and_its_agreement_with_the_recipes_own_is_reported(monkeypatch):
    encoder = {"name": "transformer", "model": "m", "pooling": "mean", "normalize": True}
    member = labeller("nearest", descriptions=THREE, encoder={**encoder, "query_length": 8, "passage_length": 8})

    class Swapped:
        def encode_passages(self, texts, progress):
            return embed([text.replace("river", "sport") if text.endswith("b") else text for text in texts])

    monkeypatch.setattr(type(member.config.encoder), "build", lambda self: Swapped())
    found = member.label({"en": passages("river a", "river b", "novel c", "sport d")}, embed)
    assert found == {"en": ["Geography", "Sports", "Books & Literature", "Sports"]}
    assert member.facts()["agreement_with_own_encoder"] == {"equal": 0.75, "kappa": 0.6364}


def test_without_a_named_encoder_keys_are_those_of_before():
    plain = Member.of("domains", {"name": "nearest"})
    assert "encoder" not in plain.keyed
    assert "encoder" not in plain.build().conventions()
