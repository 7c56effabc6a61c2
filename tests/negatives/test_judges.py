"""The judges that run on this machine, and the recorded generations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mdrbench.core import registry
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.members import Member, NoSettings
from mdrbench.core.types import Generation, Pair, Passage, Source
from mdrbench.data.access import open_dataset
from mdrbench.formats import trec
from mdrbench.negatives.generation import none as no_generation
from mdrbench.negatives.generation import replay as generation_replay
from mdrbench.negatives.judges import Estimate, answer, bi_encoder, consensus, cross_encoder, none, replay
from mdrbench.negatives.judges._local import grade

SAMPLE = open_dataset("sample")


def pair(docid: str, text: str = "", *, lang="en", qid="q1", query="a query", title="", reference=None) -> Pair:
    return Pair(lang, qid, query, Passage(docid, title, text), reference)


def judged(judge, pairs: list[Pair]) -> list[int | None]:
    """The combined grades, after a check that verdicts come in order and one a pair."""
    steps: list[int] = []
    verdicts = list(judge.judge(pairs, steps.append))
    assert [(v.qid, v.docid) for v in verdicts] == [(p.qid, p.passage.docid) for p in pairs]
    assert steps == sorted(steps)
    assert steps[-1] == len(pairs)
    return [v.grade for v in verdicts]


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path


def silent(text: str) -> None:
    pass


# -- cut-offs ----------------------------------------------------------------------------------------------------------


def test_cutoffs_turn_scores_into_grades():
    assert [grade(score, 0.3, 0.7) for score in (-1, 0.29, 0.3, 0.69, 0.7, 9)] == [0, 0, 1, 1, 2, 2]
    assert [grade(score, 0.5, 0.5) for score in (0.4, 0.5)] == [0, 2]
    assert [grade(float(score), 0.3, 0.7) for score in ("nan", "inf", "-inf")] == [None] * 3


@pytest.mark.parametrize("cutoffs", [[0.7, 0.3], [float("nan"), 0.5], [0.1], [0.1, 0.2, 0.3]])
def test_wrong_cutoffs_are_refused(cutoffs):
    with pytest.raises(ValueError, match="cutoffs"):
        cross_encoder.Config(model="x/y", cutoffs=cutoffs)


# -- cross-encoder -----------------------------------------------------------------------------------------------------

QUERY = "which lake is the largest"
TEXTS = ["saimaa is the largest lake in finland", "inari lake", "the seal lives in fresh water " * 6, "lapland", ""]
SCORED = [pair(str(i), text, query=QUERY, title="saimaa" * (i % 2)) for i, text in enumerate(TEXTS)]


def save_bert(folder: Path, kind: str, **config) -> Path:
    """A tiny random BERT with a word tokenizer, as a folder."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = sorted({word for text in [QUERY, *TEXTS, "query passage saimaa"] for word in text.split()})
    vocab = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(folder)
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    settings = transformers.BertConfig(vocab_size=len(vocab), initializer_range=0.5, **sizes, **config)
    getattr(transformers, kind)(settings).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reranker(tmp_path_factory) -> Path:
    return save_bert(tmp_path_factory.mktemp("reranker"), "BertForSequenceClassification", num_labels=1)


@pytest.fixture(autouse=True)
def _own_models(tmp_path, monkeypatch):
    monkeypatch.setenv("MDRBENCH_MODELS", str(tmp_path / "models"))


def cross(folder: Path, **changes):
    return cross_encoder.CrossEncoderJudge(
        cross_encoder.Config(**{"model": str(folder), "cutoffs": [0.3, 0.7], "precision": "fp32", **changes})
    )


def logits(folder: Path, max_length: int = 512) -> list[float]:
    """Scores by transformers alone, a pair at a time and so without padding."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    result = []
    for one in SCORED:
        text = f"{one.passage.title} {one.passage.text}" if one.passage.title else one.passage.text
        inputs = tokenizer([one.query], [text], truncation="longest_first", max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            result.append(model.eval()(**inputs).logits.item())
    return result


def test_cross_encoder_scores_are_transformers_own_in_order(reranker, monkeypatch):
    from sentence_transformers import CrossEncoder

    expected = logits(reranker)
    assert max(expected) - min(expected) > 0.5
    texts = [(p.query, f"{p.passage.title} {p.passage.text}".strip()) for p in SCORED]
    assert cross(reranker, activation="none").scores(texts) == pytest.approx(expected, abs=1e-4)
    reference = CrossEncoder(str(reranker), device="cpu").predict(texts, show_progress_bar=False)
    assert cross(reranker).scores(texts) == pytest.approx(reference.tolist(), abs=1e-5)
    # windows and batches smaller than the list
    monkeypatch.setattr(cross_encoder, "WINDOW", 1)
    low, high = sorted(expected)[1] - 1e-3, sorted(expected)[3] - 1e-3
    judge = cross(reranker, activation="none", batch_size=2, cutoffs=[low, high])
    judge.prepare(silent)
    grades = judged(judge, SCORED)
    assert grades == [grade(score, low, high) for score in expected]
    assert sorted(grades) == [0, 1, 1, 2, 2]
    assert judge.facts() == {
        **{"judged": 5, "grades": {"0": 1, "1": 2, "2": 2}, "unreadable": 0},
        **{"device": "cpu", "precision": "fp32"},
    }
    assert judge.estimate(SCORED) == Estimate(0, 0, 0, 0, 0.0)


def test_cross_encoder_cuts_pairs_at_max_length(reranker):
    texts = [(p.query, f"{p.passage.title} {p.passage.text}".strip()) for p in SCORED]
    short = logits(reranker, 12)
    assert short[2] != pytest.approx(logits(reranker)[2], abs=1e-3)
    assert cross(reranker, activation="none", max_length=12).scores(texts) == pytest.approx(short, abs=1e-4)


def test_a_batch_too_large_for_memory_is_halved(reranker, monkeypatch):
    from sentence_transformers import CrossEncoder

    whole, sizes = CrossEncoder.predict, []

    def small(self, inputs, **options):
        sizes.append(len(inputs))
        if len(inputs) > 2:
            raise torch.OutOfMemoryError
        return whole(self, inputs, **options)

    monkeypatch.setattr(CrossEncoder, "predict", small)
    expected = [grade(1 / (1 + np.exp(-score)), 0.3, 0.7) for score in logits(reranker)]
    judge = cross(reranker)
    assert judged(judge, SCORED) == expected
    assert sizes == [5, 2, 2, 1]
    assert judge.facts()["batch_size_after_halving"] == 2


def test_a_score_that_is_no_number_is_unreadable(tmp_path):
    folder = save_bert(tmp_path / "broken", "BertForSequenceClassification", num_labels=1)
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    judge = cross(folder)
    assert judged(judge, SCORED) == [None] * 5
    assert judge.facts()["unreadable"] == 5


def test_cross_encoder_conventions_name_all_that_decides_a_grade(reranker):
    found = cross(reranker, batch_size=7).conventions()
    assert found == cross(reranker, batch_size=8).conventions()
    assert found["revision"].startswith("sha256:")
    assert (found["source"], found["cutoffs"], found["precision"]) == ("local", [0.3, 0.7], "fp32")
    assert {"activation", "max_length", "title_separator", "sentence-transformers"} <= found.keys()


def test_a_model_that_would_score_at_random_is_refused(tmp_path):
    with pytest.raises(DataError, match="BertModel, which has no head that scores pairs"):
        cross(save_bert(tmp_path / "encoder", "BertModel")).prepare(silent)
    classes = save_bert(tmp_path / "classes", "BertForSequenceClassification", num_labels=3)
    with pytest.raises(DataError, match="gives 3 scores for a pair"):
        cross(classes).prepare(silent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no model in this folder"):
        cross(tmp_path / "empty").prepare(silent)


# -- bi-encoder --------------------------------------------------------------------------------------------------------

VECTORS = {"q": (2, 0), "r": (0.8, 0.6), "same": (1, 0), "near": (0.7, 0.51), "far": (0, 5), "against": (-1, 0.1)}


class Table:
    """An encoder that looks vectors up."""

    def __init__(self):
        self.asked: list[str] = []

    def prepare(self, say):
        say("ready")

    def conventions(self):
        return {"model": "table"}

    def encode_queries(self, texts):
        return np.array([VECTORS[text] for text in texts], dtype=np.float32)

    def encode_passages(self, texts, progress):
        self.asked += texts
        progress(len(texts))
        return self.encode_queries(texts)


ENCODER = {
    "name": "transformer",
    "model": "m",
    "pooling": "mean",
    "normalize": True,
    "query_length": 8,
    "passage_length": 8,
}


def bi(**config):
    judge = bi_encoder.BiEncoderJudge(bi_encoder.Config(encoder=ENCODER, **config))
    judge.encoder = Table()
    return judge


def test_bi_encoder_grades_against_the_positives_cosine():
    reference = Passage("r", "", "r")  # cosine .8; near has .808, so 2; the positive itself 2
    pairs = [pair(text, text, query="q", reference=reference) for text in ("same", "near", "r", "far", "against")]
    judge = bi(cutoffs=[0.95, 1.0])
    assert judged(judge, pairs) == [2, 2, 2, 0, 0]
    assert judged(bi(cutoffs=[0.95, 1.02]), pairs) == [2, 1, 1, 0, 0]  # .76 and .816
    assert judge.conventions() == {
        **{"judge": "bi-encoder", "relative_to_reference": True, "cutoffs": [0.95, 1.0], "title_separator": " "},
        "encoder": {"model": "table"},
    }


def test_a_fraction_of_a_negative_cosine_lies_below_it():
    reference = Passage("x", "", "against")  # cosine -.995; .9 of it is -1.095
    assert judged(bi(cutoffs=[0.9, 1.0]), [pair("x", "against", query="q", reference=reference)]) == [2]


def test_bi_encoder_grades_by_the_cosine_alone():
    pairs = [pair(text, text, query="q") for text in ("same", "near", "far", "against")]
    assert judged(bi(relative_to_reference=False, cutoffs=[0.5, 0.9]), pairs) == [2, 1, 0, 0]
    with pytest.raises(ValueError, match=r"cutoffs: give \[low, high\]"):
        bi(relative_to_reference=False)


def test_each_text_is_encoded_once():
    reference = Passage("r", "", "r")
    pairs = [pair(text, text, qid=qid, query="q", reference=reference) for qid in "ab" for text in ("same", "far", "r")]
    judge = bi()
    judged(judge, pairs)
    assert judge.encoder.asked == ["same", "far", "r"]
    assert judge.facts() == {"judged": 6, "grades": {"0": 2, "1": 0, "2": 4}, "unreadable": 0, "passages_encoded": 3}


def test_without_a_reference_nothing_is_relative_to_it():
    with pytest.raises(UsageError, match="has no reference"):
        list(bi().judge([pair("far", "far", query="q")], silent))


def test_all_teachers_must_agree_and_each_language_has_cut_offs_of_its_own():
    cutoffs = {"en": [0.5, 0.9], "fi": [0.85, 0.9]}
    other = {"en": [-1.1, 1.1], "fi": [-1.1, 1.1]}  # grade 1 for everything
    both = {"one": {"encoder": ENCODER, "cutoffs": cutoffs}, "other": {"encoder": ENCODER, "cutoffs": other}}
    pairs = [pair(text, text, query="q", lang=lang) for lang in ("en", "fi") for text in ("same", "near", "far")]
    for teachers, grades in (({"one": both["one"]}, [2, 1, 0, 2, 0, 0]), (both, [1, 1, 0, 1, 0, 0])):
        judge = consensus.Consensus(consensus.Config(teachers=teachers))
        for one in judge.judges.values():
            one.encoder = Table()
        assert judged(judge, pairs) == grades
    assert judge.facts()["agreed"] == 1
    with pytest.raises(UsageError, match="the teacher 'one' has no cut-offs for 'te'"):
        list(judge.judge([pair("same", "same", query="q", lang="te")], silent))


def test_bi_encoder_takes_a_member_of_the_encoders_family(tmp_path):
    folder = save_bert(tmp_path / "encoder", "BertModel")
    settings = {"name": "transformer", "model": str(folder), "pooling": "mean", "normalize": False}
    settings |= {"query_prefix": "query ", "query_length": 32, "passage_length": 32, "precision": "fp32"}
    judge = bi_encoder.BiEncoderJudge(
        bi_encoder.Config(encoder=settings, relative_to_reference=False, cutoffs=[0, 0.5])
    )
    judge.prepare(silent)
    encoder = Member.of("encoders", settings).build()
    query = encoder.encode_queries([QUERY])[0]
    texts = [f"{p.passage.title} {p.passage.text}" if p.passage.title else p.passage.text for p in SCORED]
    rows = encoder.encode_passages(texts, lambda done: None)
    expected = [row @ query / np.linalg.norm(row) / np.linalg.norm(query) for row in rows]
    found, _ = judge.cosines(SCORED, lambda done: None)
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
    assert judged(judge, SCORED) == [grade(score, 0, 0.5) for score in expected]


# -- answers -----------------------------------------------------------------------------------------------------------


def answers(folder: Path, **config):
    return answer.AnswerJudge(answer.Config(folder=str(folder), **config))


@pytest.mark.parametrize(
    ("lang", "known", "text", "holds"),
    [
        ("en", "Saimaa", "Lake SAIMAA is large.", True),
        ("en", "aim", "Lake Saimaa is large.", False),  # whole tokens only
        ("en", "1,000 km", "It covers 1,000 km.", True),
        ("en", "1,000 km", "It covers 1,000 kmh.", False),
        ("en", "C++", "written in C++, mostly", True),
        ("en", "New York", "in new\n  York City", True),
        ("de", "Straße", "in der STRASSE", True),
        ("fr", "cafe\u0301", "un café noir", True),  # composed and decomposed
        ("fi", "ﬁ", "fi", True),  # ligature
        ("fa", "می‌خواهم", "من میخواهم", True),  # zero-width non-joiner
        ("hi", "क", "का", False),  # a vowel sign belongs to its word
        ("ar", "١٢", "١٢ مدينة", True),
        ("ja", "東京", "彼は東京都に住む", True),
        ("zh", "北京", "中国 北 京", True),
        ("zh", "ＡＢＣ", "公司abc成立", True),  # full width
        ("th", "กรุงเทพ", "อยู่ในกรุงเทพมหานคร", True),
        ("ko", "서울", "수도는 서울은 크다", False),  # a particle is written to the word
    ],
)
def test_an_answer_is_found_as_its_script_writes_words(tmp_path, lang, known, text, holds):
    write(tmp_path / f"answers-{lang}-train.jsonl", {"qid": "q1", "answers": ["nothing of the kind", known]})
    assert judged(answers(tmp_path), [pair("d", text, lang=lang)]) == [2 if holds else 0]


def test_languages_can_be_compared_as_strings(tmp_path):
    write(tmp_path / "answers-ko-train.jsonl", {"qid": "q1", "answers": ["서울"]})
    judge = answers(tmp_path, substring=["ja", "ko", "th", "zh"])
    assert judged(judge, [pair("d", "수도는 서울은 크다", lang="ko")]) == [2]


def test_titles_are_not_looked_at(tmp_path):
    write(tmp_path / "answers-en-train.jsonl", {"qid": "q1", "answers": ["Saimaa"]})
    assert judged(answers(tmp_path), [pair("d", "It is large.", title="Saimaa")]) == [0]


def test_a_query_without_known_answers_gets_no_grade(tmp_path):
    (tmp_path / "answers-en-train.tsv").write_text("q1\tSaimaa\tLake Saimaa\n", encoding="utf-8")
    pairs = [pair("d", "Saimaa"), pair("d", "Saimaa", qid="q2"), pair("e", "x", qid="q2")]
    judge = answers(tmp_path)
    judge.prepare(silent)
    assert judged(judge, pairs) == [2, None, None]
    assert judge.facts() == {
        **{"judged": 3, "grades": {"0": 0, "1": 0, "2": 1}, "unreadable": 2},
        **{"queries_without_answer": 1, "pairs_without_answer": 2},
    }
    with pytest.raises(DataError, match=r"no answer is known for query 'q2' \(en\)"):
        list(answers(tmp_path, missing="error").judge(pairs, silent))


@pytest.mark.parametrize(
    ("name", "body", "line", "message"),
    [
        ("answers-en-train.jsonl", '{"qid": "q1", "answers": ["a"]}\n{"qid": "q1", "answers": ["b"]}\n', 2, "twice"),
        ("answers-en-train.jsonl", '{"qid": "q1", "answers": []}\n', 1, "has no answer"),
        ("answers-en-train.jsonl", '{"qid": "q1", "answers": [3]}\n', 1, "list of strings"),
        ("answers-en-train.jsonl", '{"qid": 1, "answers": ["a"]}\n', 1, "'qid' must be a string, not 1"),
        ("answers-en-train.tsv", "q1\ta\nq2\n", 2, "has no answer"),
        ("answers-en-train.tsv", "q1\ta\t \n", 1, "is empty"),
    ],
)
def test_wrong_answers_are_named_by_line(tmp_path, name, body, line, message):
    (tmp_path / name).write_text(body, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        list(answers(tmp_path).judge([pair("d")], silent))
    assert caught.value.where == f"{tmp_path / name}:{line}"


def test_answers_that_are_not_there_or_there_twice(tmp_path):
    with pytest.raises(DataError, match="holds no answers"):
        answers(tmp_path).prepare(silent)
    with pytest.raises(DataError, match="no answers for this language"):
        list(answers(tmp_path).judge([pair("d")], silent))
    write(tmp_path / "answers-en-train.jsonl", {"qid": "q1", "answers": ["a"]})
    (tmp_path / "answers-en-train.tsv").write_text("q1\ta\n", encoding="utf-8")
    with pytest.raises(DataError, match="both files hold answers"):
        list(answers(tmp_path).judge([pair("d")], silent))


def test_conventions_follow_the_answers_and_not_their_folder(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        write(folder / "answers-en-train.jsonl", {"qid": "q1", "answers": ["a"]})
    write(two / "answers-en-dev.jsonl", {"qid": "q1", "answers": ["a"]})
    assert answers(one).conventions() == answers(two).conventions()
    write(two / "answers-en-train.jsonl", {"qid": "q1", "answers": ["b"]})
    assert answers(one).conventions() != answers(two).conventions()


# -- replay ------------------------------------------------------------------------------------------------------------

VERDICT = {"qid": "q1", "docid": "d", "reference": "r", "accuracy": 2, "completeness": 1}


def sample_pairs(lang: str) -> list[Pair]:
    """The sample's recorded pairs, in the order of the file."""
    topics = trec.read_topics(SAMPLE.topics_file(lang, "train"))
    passages = {passage.docid: passage for passage in SAMPLE.passages(lang)}
    lines = (replay.SAMPLE / f"judgments-{lang}-train.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [Pair(lang, r["qid"], topics[r["qid"]], passages[r["docid"]], passages[r["reference"]]) for r in records]


def test_the_samples_verdicts_come_back_in_every_language():
    judge = replay.Replay(replay.Config())
    judge.prepare(silent)
    total = 0
    for lang in SAMPLE.languages():
        pairs = sample_pairs(lang)
        lines = (replay.SAMPLE / f"judgments-{lang}-train.jsonl").read_text(encoding="utf-8").splitlines()
        verdicts = list(judge.judge(pairs, lambda done: None))
        expected = [(r["accuracy"], r["completeness"]) for r in map(json.loads, lines)]
        assert [(v.accuracy, v.completeness) for v in verdicts] == expected
        total += len(pairs)
    assert total == 1729
    assert judge.facts() == {
        **{"judged": 1729, "grades": {"0": 1627, "1": 40, "2": 62}, "unreadable": 0},
        **{"ungraded": 0, "other_reference": 0},
    }


def test_what_was_not_recorded_is_what_the_configuration_says(tmp_path):
    write(tmp_path / "judgments-en-train.jsonl", VERDICT)
    pairs = [pair("d"), pair("e"), pair("d", qid="q2")]
    for ungraded, expected in (("about-something-else", [1, 0, 0]), ("unreadable", [1, None, None])):
        judge = replay.Replay(replay.Config(folder=str(tmp_path), ungraded=ungraded))
        assert judged(judge, pairs) == expected
        assert judge.facts()["ungraded"] == 2
    with pytest.raises(DataError, match=r"no verdict on passage 'e' for query 'q1' \(en\)"):
        list(replay.Replay(replay.Config(folder=str(tmp_path))).judge(pairs, silent))


def test_a_verdict_given_with_another_reference_is_counted(tmp_path):
    unread = {**VERDICT, "docid": "e", "accuracy": None, "completeness": None}
    write(tmp_path / "judgments-en-train.jsonl", VERDICT, unread)
    judge = replay.Replay(replay.Config(folder=str(tmp_path)))
    references = (Passage("r", "", ""), Passage("s", "", ""), None)
    assert judged(judge, [pair(d, reference=r) for d in "de" for r in references]) == [1, 1, 1, None, None, None]
    assert judge.facts() == {
        **{"judged": 6, "grades": {"0": 0, "1": 3, "2": 0}, "unreadable": 3},
        **{"ungraded": 0, "other_reference": 2},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"docid": "e", "accuracy": 3}, "3 and 1 are not grades"),
        ({"docid": "e", "accuracy": None}, "None and 1 are not grades"),
        ({"accuracy": True}, "'accuracy' must be a whole number or null, not true"),
        ({}, "'q1' and passage 'd' occur twice"),
    ],
)
def test_a_wrong_verdict_is_named_by_line(tmp_path, change, message):
    path = write(tmp_path / "judgments-en-train.jsonl", VERDICT, {**VERDICT, **change})
    with pytest.raises(DataError, match=message) as caught:
        replay.read(path)
    assert caught.value.where == f"{path}:2"


def test_recordings_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="holds no recorded verdicts"):
        replay.Replay(replay.Config(folder=str(tmp_path / "nowhere"))).prepare(silent)
    write(tmp_path / "judgments-en-train.jsonl", VERDICT)
    judge = replay.Replay(replay.Config(folder=str(tmp_path)))
    judge.prepare(silent)
    with pytest.raises(DataError, match="file not found"):
        list(judge.judge([pair("d", lang="fi")], silent))


def test_conventions_follow_the_verdicts(tmp_path):
    write(tmp_path / "judgments-en-train.jsonl", VERDICT)
    config = replay.Config(folder=str(tmp_path))
    before = replay.Replay(config).conventions()
    assert replay.Replay(config).conventions() == before
    write(tmp_path / "judgments-en-train.jsonl", {**VERDICT, "accuracy": 1})
    assert replay.Replay(config).conventions() != before
    assert replay.Replay(replay.Config(folder=str(tmp_path), ungraded="unreadable")).conventions() != before


# -- generations -------------------------------------------------------------------------------------------------------


def source(qid: str, positive: str, lang: str = "en") -> Source:
    return Source(lang, qid, "a query", Passage(positive, "", "text"))


def test_the_samples_generations_come_back_for_every_train_topic():
    generator = generation_replay.Replay(generation_replay.Config())
    generator.prepare(silent)
    total = 0
    for lang in SAMPLE.languages():
        records = generation_replay.read(generation_replay.SAMPLE / f"generations-{lang}-train.jsonl")
        topics = trec.read_topics(SAMPLE.topics_file(lang, "train"))
        sources = [source(qid, records[qid][0], lang) for qid in topics]
        found = list(generator.generate(sources, lambda done: None))
        assert found == [Generation(qid, *records[qid][1:]) for qid in topics]
        total += len(topics)
    assert generator.facts() == {"generated": total, "unreadable": 0, "missing": 0, "other_reference": 0}


def test_generations_that_are_missing_or_of_another_positive(tmp_path):
    kept = {"qid": "q1", "reference": "r", "summary": "s", "query": "q"}
    write(tmp_path / "generations-en-train.jsonl", kept, {**kept, "qid": "q2", "summary": None, "query": None})
    generator = generation_replay.Replay(generation_replay.Config(folder=str(tmp_path), missing="unreadable"))
    sources = [source("q1", "other"), source("q2", "r"), source("q3", "r")]
    found = list(generator.generate(sources, lambda done: None))
    assert found == [Generation("q1", "s", "q"), Generation("q2", None, None), Generation("q3", None, None)]
    assert generator.facts() == {"generated": 3, "unreadable": 2, "missing": 1, "other_reference": 1}
    with pytest.raises(DataError, match=r"no generation for query 'q3' \(en\)"):
        list(generation_replay.Replay(generation_replay.Config(folder=str(tmp_path))).generate(sources, silent))
    with pytest.raises(DataError, match="holds no recorded generations"):
        generation_replay.Replay(generation_replay.Config(folder=str(tmp_path / "nowhere"))).prepare(silent)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"qid": "q1"}, "'q1' occurs twice"), ({"query": None}, "missing or empty"), ({"query": " "}, "missing or empty")],
)
def test_a_wrong_generation_is_named_by_line(tmp_path, change, message):
    kept = {"qid": "q1", "reference": "r", "summary": "s", "query": "q"}
    path = write(tmp_path / "generations-en-train.jsonl", kept, {**kept, "qid": "q2", **change})
    with pytest.raises(DataError, match=message) as caught:
        generation_replay.read(path)
    assert caught.value.where == f"{path}:2"


# -- none --------------------------------------------------------------------------------------------------------------


def test_no_judge_and_no_generator_decide_nothing_and_are_not_asked():
    judge, generator = none.NoJudge(NoSettings()), no_generation.NoGenerator(NoSettings())
    judge.prepare(silent)
    generator.prepare(silent)
    assert judge.conventions() == generator.conventions() == judge.facts() == generator.facts() == {}
    assert judge.estimate([pair("d")]) == Estimate(0, 0, 0, 0, 0.0)
    with pytest.raises(RuntimeError, match="'none' was asked"):
        judge.judge([pair("d")], silent)
    with pytest.raises(RuntimeError, match="'none' was asked"):
        generator.generate([source("q1", "r")], silent)


@pytest.mark.parametrize("family", ["judges", "generation"])
def test_members_are_listed_with_a_summary(family):
    found = registry.members(family)
    assert {"none", "replay"} <= found.keys()
    assert not any(name.startswith("-") for name in found)
    assert all(len(source.summary) > 20 for source in found.values())
