"""A decoder that is asked for yes or no on this machine, with random weights."""

from __future__ import annotations

import pytest
from support.judging import pairs, verdicts

from mdrbench.core.errors import DataError
from mdrbench.core.members import Member
from mdrbench.core.types import Passage

WORDS = [
    *("yes", "no", "mikä", "on", "suurin", "järvi", "Järvi", "Kohta", "0", "1", "2"),
    *(".", "<", ">", ":", "/", "Instruct", "Query", "Document"),
]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("decoder")
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(vocabulary), pad_token_id=0, **sizes)).save_pretrained(folder)
    return folder


def judge(decoder, **settings):
    common = {"name": "yes-no", "model": str(decoder), "precision": "fp32", "cutoffs": [0.5, 0.5]}
    return Member.of("judges", {**common, **settings}).build()


def test_the_score_is_the_logit_of_yes_minus_that_of_no(decoder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    short = pairs(1)[0]
    long = short._replace(passage=Passage("1#0", "Järvi", "Kohta 1 . " * 20))
    asked = judge(decoder, activation="none")
    found = asked.scores([short, long])  # padded together on the left
    tokenizer, model = AutoTokenizer.from_pretrained(decoder), AutoModelForCausalLM.from_pretrained(decoder).eval()
    for pair, score in zip([short, long], found, strict=True):
        ids = asked._prompt(tokenizer, pair)
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1]
        assert score == pytest.approx(float(logits[2] - logits[3]), abs=1e-5)
    assert judge(decoder).scores([short])[0] == pytest.approx(1 / (1 + 2.718281828459045 ** -found[0]), abs=1e-5)


def test_grades_batches_and_what_is_part_of_the_key(decoder):
    asked = judge(decoder, batch_size=2)
    graded = verdicts(asked, pairs(3))
    assert [one.grade for one in graded] == [2 * (one.score >= 0.5) for one in graded]
    assert asked.facts()["judged"] == 3
    assert judge(decoder, batch_size=3).conventions() == asked.conventions()
    assert judge(decoder, task="x").conventions() != asked.conventions()


def test_a_passage_is_cut_so_that_the_prompt_fits(decoder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(decoder)
    pair = pairs(1)[0]._replace(passage=Passage("1#0", "", "Kohta " * 500))
    ids = judge(decoder, max_length=150)._prompt(tokenizer, pair)
    assert len(ids) == 150
    suffix = tokenizer.encode(judge(decoder).config.suffix, add_special_tokens=False)
    assert ids[-len(suffix) :] == suffix


def test_words_that_are_no_tokens_are_refused(decoder):
    with pytest.raises(DataError, match="'kyllä' is not one token"):
        judge(decoder, yes="kyllä").scores(pairs(1))
