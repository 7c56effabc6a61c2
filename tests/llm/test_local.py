"""A language model in this process, a Llama with random weights: prompts, batches, seeds, the store, the record."""

from __future__ import annotations

import json
import pickle
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.judging import grades, pairs, verdicts

from mdrbench.core.errors import SetupError, StepError
from mdrbench.core.members import Member
from mdrbench.core.types import Source
from mdrbench.llm import local
from mdrbench.llm.answers import Answers
from mdrbench.llm.replies import Reply
from mdrbench.negatives.judges import llm

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("llama")
    words = ["[PAD]", "[UNK]", "[END]", "yes", "no", *(f"w{n}" for n in range(40)), "Kohta", *map(str, range(10))]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "[END]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.chat_template = TEMPLATE
    fast.save_pretrained(path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(words), pad_token_id=0, eos_token_id=2, initializer_range=0.5, **sizes)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture
def settings(folder, tmp_path):
    common = {"name": "llm", "engine": "transformers", "model": str(folder), "precision": "fp32", "max_tokens": 6}
    return lambda **changes: {**common, "store": str(tmp_path / "a.sqlite"), **changes}


@pytest.fixture
def judge(settings):
    return lambda **changes: Member.of("judges", settings(**changes)).build()


@pytest.fixture
def says(monkeypatch):
    """Let the model say what a function of the prompt's tokens says; return the sizes of its batches."""
    sizes = []

    def script(say):
        def generated(self, tokenizer, model, prompts, asked):
            sizes.append(len(asked))
            return [Reply(say(one), "stop", len(ids), 3, self.name) for ids, one in zip(prompts, asked, strict=True)]

        monkeypatch.setattr(local.LocalModel, "_generated", generated)
        return sizes

    return script


def stored(settings) -> list:
    with closing(Answers(Path(settings()["store"]))) as answers:
        return list(answers.all())


def test_the_first_tokens_probability_is_that_of_the_model(judge, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    asked = judge(answer="logprob", max_tokens=1, batch_tokens=100_000)
    graded = verdicts(asked, pairs(3))
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    for pair, judgment in zip(pairs(3), graded, strict=True):
        question = asked._question(pair, 0, 0)
        text = tokenizer.apply_chat_template(question.messages, tokenize=False, add_generation_prompt=True)
        with torch.inference_mode():
            logits = model(torch.tensor([tokenizer.encode(text, add_special_tokens=False)])).logits[0, -1]
        top = set(logits.topk(20).indices.tolist())
        wanted = logits[3:5].softmax(-1)[0].item() if {3, 4} <= top else float(3 in top) if {3, 4} & top else None
        assert judgment.score == (None if wanted is None else pytest.approx(wanted, abs=1e-5))
    facts = asked.facts()
    assert (facts["requests"], facts["stored"], facts["device"], facts["precision"]) == (3, 0, "cpu", "fp32")


def test_answers_are_stored_and_read_as_those_of_an_endpoint(judge, settings, says, folder):
    sizes = says(lambda one: "Well: " + grades(1, 2))
    asked = judge(batch_tokens=100_000)
    assert [one.grade for one in verdicts(asked, pairs(300))] == [1] * 300
    assert sum(sizes) == 300
    assert asked.facts()["requests"] == 300
    again = judge()
    assert len(verdicts(again, pairs(300))) == 300
    assert (again.facts()["requests"], again.facts()["stored"], sum(sizes)) == (0, 300, 300)
    first = stored(settings)[0]
    files = asked.chat.local.chosen.files
    assert first.model == first.served == f"{folder.name}@{files.revision[7:19]} transformers fp32"
    assert str(folder) not in json.dumps(first._asdict())
    told = asked.conventions()
    assert (told["model"], told["model_revision"], told["precision"]) == (files.name, files.revision, "fp32")
    assert {"torch", "transformers"} <= told.keys()
    assert "response_format" not in told


def test_unreadable_answers_are_asked_again_and_all_votes_are_asked_together(judge, says):
    sizes = says(lambda one: grades(2, 2) if one.sampling["seed"] % 1000 else "what?")
    asked = judge(votes=3, temperature=0.7, batch_tokens=100_000)
    assert [one.grade for one in verdicts(asked, pairs(4))] == [2] * 4
    assert sizes == [12, 12]
    assert asked.facts()["unreadable_answers"] == 12


def test_a_sample_depends_on_its_seed_and_not_on_its_batch(judge):
    def texts(**changes):
        asked = judge(temperature=1.5, top_p=0.9, reasks=0, **changes)
        found = asked.chat.each(lambda pair: asked.chat.ask(asked._question(pair, 0, 0), lambda a: None).text, pairs(6))
        with closing(found) as answers:
            return list(answers)

    one_by_one = texts(batch_tokens=1)
    together = texts(batch_tokens=100_000, store=judge().config.store + "2")
    assert one_by_one == together
    assert len(set(one_by_one)) > 1
    assert texts(seed=7, store=judge().config.store + "3") != together


def test_pairs_that_do_not_fit_the_context_are_shortened(judge, says, monkeypatch):
    import torch

    class Short:
        config = type("Config", (), {"max_position_embeddings": 500})
        device = torch.device("cpu")

    load = local._load
    monkeypatch.setattr(local, "_load", lambda *how: (load(*how)[0], Short()))
    says(lambda one: grades(0, 0))
    pair = pairs(1)[0]
    long = pair._replace(passage=pair.passage._replace(text="Kohta 1 . " * 200))
    asked = judge()
    assert [one.grade for one in verdicts(asked, [long])] == [0]
    assert asked.facts()["shortened_to_fit"] == 1
    with pytest.raises(StepError, match="do not fit the context"):
        verdicts(asked, [pair._replace(query="Kohta " * 600)])


def test_queries_are_generated_by_the_same_model(settings, says, tmp_path):
    says(lambda one: "Mikä on Suomen suurin järvi?" if "query" in one.messages[1]["content"] else "x")
    rest = {key: value for key, value in settings().items() if key != "name"}
    generator = Member.of("generation", {"name": "back-forward", **rest}).build()
    pair = pairs(1)[0]
    (made,) = generator.generate([Source("fi", "q0", "mikä on järvi", pair.reference)], lambda done: None)
    assert made.qid == "q0"
    assert generator.facts()["requests"] >= 2
    assert generator.facts()["device"] == "cpu"


def test_what_cannot_work_is_refused(settings, judge, folder, tmp_path):
    for changes, problem in (
        ({"base_url": "http://localhost"}, "asks no endpoint: remove base_url"),
        ({"response_format": "json_schema"}, "holds a model to no form"),
        ({"extra": {"top_k": 1}}, "takes chat_template_kwargs alone: remove top_k"),
        ({"engine": "endpoint", "model": "m"}, "precision: only for engine: transformers"),
    ):
        with pytest.raises(ValidationError, match=problem):
            Member.of("judges", settings(**changes))
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in folder.iterdir():
        if path.name != "chat_template.jinja":
            (bare / path.name).write_bytes(path.read_bytes())
    with pytest.raises(SetupError, match="has no chat template"):
        judge(model=str(bare)).prepare(lambda text: None)


def test_a_model_here_needs_a_gpu_and_the_key_of_an_endpoint_stays(settings):
    from mdrbench.pipeline.plan import steps

    assert steps._needs(Member.of("judges", settings())) == "gpu"
    local = Member.of("judges", settings())
    assert pickle.loads(pickle.dumps(local)) == local
    endpoint = Member.of("judges", {"name": "llm", "model": "m"})
    assert steps._needs(endpoint) == "endpoint"
    assert (
        not {"engine", "revision", "source", "precision", "batch_tokens"}
        & llm.LLMJudge(endpoint.config).conventions().keys()
    )
