"""Tuning the generator on a random Llama built on the spot: what is trained and saved, what an interruption costs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mdrbench.cli.app import app
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.hub import models
from mdrbench.training.generator import instructions
from mdrbench.training.generator import tuning as generator_tuning
from mdrbench.training.generator.instructions import Example, collate, encode, read_instructions
from mdrbench.training.generator.tuning import Config, batch_of, rate, tune

ROWS = [
    ("Summarise the text.", "Saimaa is the largest lake in Finland.", "Saimaa is a large lake.", "en"),
    ("Tiivistä teksti.", "Saimaa on Suomen suurin järvi.", "Saimaa on suuri järvi.", "fi"),
    ("Fasse den Text zusammen.", "Der Saimaa ist der grösste See Finnlands.", "Der Saimaa ist ein See.", "de"),
    ("要約してください。", "サイマー湖はフィンランド最大の湖です。", "サイマーは湖です。", "ja"),
    ("Fupisha maandishi.", "Saimaa ni ziwa kubwa zaidi Ufini.", "Saimaa ni ziwa.", "sw"),
    ("Name a lake.", "", "Saimaa", "en"),
]


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    """Two random layers of Llama with a byte-level tokenizer, as a folder."""
    pytest.importorskip("peft")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("llama")
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    inner.train_from_iterator([text for row in ROWS for text in row[:3]], trainer)
    PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(7)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=inner.get_vocab_size(), bos_token_id=0, eos_token_id=1, initializer_range=0.2, **sizes
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "instructions.jsonl"
    rows = [dict(zip(("instruction", "input", "output", "lang"), row, strict=True)) for row in ROWS]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _own_models(tmp_path, monkeypatch):
    monkeypatch.setenv("MDRBENCH_MODELS", str(tmp_path / "models"))


def config(llama: Path, **changes) -> Config:
    given = {"model": str(llama), "batch_size": 4, "micro_batch": 2, "precision": "fp32", "save_every": 3, "epochs": 4}
    return Config(**{**given, **changes})


def silent(text: str) -> None:
    pass


def load_tokenizer(folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def adapter_weights(out: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(out / "adapter" / "adapter_model.safetensors")


# -- instructions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"instruction": "a", "input": "", "output": "b"}', "'lang' is missing"),
        ('{"instruction": "a", "input": null, "output": "b", "lang": "en"}', "'input' must be a string, not null"),
        ('{"instruction": "a", "input": "", "output": " ", "lang": "en"}', "'output' is empty"),
        ('{"instruction": "a", "input": "", "output": "b", "lang": "Swahili"}', "unknown language 'Swahili'"),
        ("[]", "not a JSON object"),
        ("{", "not a JSON object"),
    ],
)
def test_a_wrong_line_is_named(file, line, message):
    with file.open("a", encoding="utf-8") as out:
        out.write(f"\n{line}\n")
    with pytest.raises(DataError, match=message) as caught:
        read_instructions(file)
    assert caught.value.where == f"{file}:{len(ROWS) + 2}"


def test_prompt_and_answer_are_those_of_the_chat_template(llama, file):
    tokenizer = load_tokenizer(llama)
    said = []
    examples, too_long = encode(read_instructions(file), tokenizer, 1024, said.append)
    assert not too_long
    assert said == ["the tokenizer has no chat template: Alpaca's prompt is used and saved with the adapter"]
    ids, start = examples[0]
    assert tokenizer.decode(ids[:start]) == (
        "<s>Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nSummarise the text.\n\nSaimaa is the largest lake in Finland.\n\n### Response:\n"
    )
    assert tokenizer.decode(ids[start:]) == "Saimaa is a large lake.</s>"
    assert "### Instruction:\nName a lake.\n\n### Response" in tokenizer.decode(examples[-1].ids)


def test_a_template_that_rewrites_answers_still_trains_the_bare_answer_and_its_end(llama, file):
    tokenizer = load_tokenizer(llama)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]<think>{% endif %}"
    )
    examples, _ = encode(read_instructions(file), tokenizer, 1024)
    ids, start = examples[-1]
    assert tokenizer.decode(ids[:start]) == "[user]Name a lake.[assistant]<think>"
    assert tokenizer.decode(ids[start:]) == "Saimaa</s>"


def test_long_examples_are_left_out_and_counted_by_language(llama, file):
    tokenizer = load_tokenizer(llama)
    lengths = [len(example.ids) for example in encode(read_instructions(file), tokenizer, 1024)[0]]
    said = []
    examples, too_long = encode(read_instructions(file), tokenizer, sorted(lengths)[-2], said.append)
    longest = ROWS[lengths.index(max(lengths))][3]
    assert len(examples) == len(ROWS) - 1
    assert too_long == {longest: 1}
    assert said[-1].startswith("1 of 6 examples are longer than")
    with pytest.raises(DataError, match="no example has 8 tokens or fewer"):
        encode(read_instructions(file), tokenizer, 8)


def test_the_loss_sees_outputs_only():
    ids, mask, labels = collate([Example([5, 6, 7], 2), Example([8, 9], 1)])
    assert ids.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert labels.tolist() == [[-100, -100, 7], [-100, 9, -100]]


# -- schedule and order ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.1), (10, 0.1), (25, 0.1), (30, 0.0), (7, 1.0)])
def test_the_schedule_is_that_of_transformers(steps, warmup):
    import math

    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = get_cosine_schedule_with_warmup(optimizer, math.ceil(warmup * steps), steps)
    for step in range(steps):
        assert rate(step, steps, warmup) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


def test_every_epoch_takes_every_example_once_in_an_order_of_its_own():
    epochs = [[i for step in range(4 * e, 4 * e + 4) for i in batch_of(step, 10, 3, seed=1)[1]] for e in range(3)]
    assert [sorted(order) for order in epochs] == [list(range(10))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert [batch_of(step, 10, 3, seed=1)[0] for step in range(8)] == [0] * 4 + [1] * 4


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of peft
def test_training_lowers_the_loss_and_the_adapter_loads_to_the_same_logits(llama, file, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    record = tune(config(llama, epochs=12, learning_rate=3e-2), file, out, silent, merge=True)
    assert record["steps"] == 24
    assert record["loss_by_epoch"][0] > 5  # about ln 320
    assert record["loss_by_epoch"][-1] < 0.6 * record["loss_by_epoch"][0]
    assert record["instructions"]["by_language"] == {"de": 1, "en": 2, "fi": 1, "ja": 1, "sw": 1}
    assert not list(out.glob("checkpoint-*")) + list(out.glob(".*.part"))
    assert len((out / "log.jsonl").read_text().splitlines()) == 24

    tokenizer = load_tokenizer(out / "adapter")
    chat = [{"role": "user", "content": "Name a lake."}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(llama).eval()
        before = base(ids).logits
        adapted = PeftModel.from_pretrained(base, out / "adapter").eval()
        after = adapted(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(out / "merged").eval()(ids).logits
    assert (before - after).abs().max() > 0.1
    torch.testing.assert_close(merged, after, rtol=1e-4, atol=1e-4)


def test_only_the_lora_matrices_of_all_linear_layers_are_trained(llama, file, tmp_path):
    out = tmp_path / "out"
    record = tune(config(llama), file, out, silent)
    weights = adapter_weights(out)
    layers = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert {name.split(".")[-3] for name in weights} == set(layers)
    assert len(weights) == 2 * 2 * len(layers)  # A and B, two layers
    assert record["trained_parameters"] == sum(w.numel() for w in weights.values()) == 2 * 8 * (4 * 64 + 3 * 96)
    assert all(w.abs().max() > 0 for w in weights.values())  # B starts at zero: it was trained
    assert json.loads((out / "adapter" / "adapter_config.json").read_text())["r"] == 8


@pytest.mark.medium
def test_an_interrupted_run_ends_with_the_same_weights(llama, file, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    tune(config(llama), file, whole, silent)

    def interrupt(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(config(llama), file, broken, silent, progress=interrupt)
    assert [path.name for path in broken.glob("checkpoint-*")] == ["checkpoint-3"]
    assert not (broken / "tuning.json").exists()
    with (broken / "log.jsonl").open("a") as log:
        log.write('{"step": 6, "ep')  # what a kill leaves
    said, seen = [], []
    tune(config(llama), file, broken, said.append, progress=lambda step, *_: seen.append(step))
    assert "continuing after step 3 of 8" in said
    assert seen == [4, 5, 6, 7, 8]
    expected, found = adapter_weights(whole), adapter_weights(broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert (whole / "log.jsonl").read_text() == (broken / "log.jsonl").read_text()


def test_a_finished_run_is_not_run_again_and_another_one_is_refused(llama, file, tmp_path):
    out = tmp_path / "out"
    first = tune(config(llama), file, out, silent)
    seen = []
    again = tune(config(llama, micro_batch=1), file, out, silent, progress=lambda *step: seen.append(step))
    assert again == first
    assert not seen
    with pytest.raises(UsageError, match="another model, other settings or other instructions"):
        tune(config(llama, seed=1), file, out, silent)
    with pytest.raises(UsageError, match="without a merged model"):
        tune(config(llama), file, out, silent, merge=True)
    with file.open("a", encoding="utf-8") as more:
        more.write('{"instruction": "a", "input": "", "output": "b", "lang": "en"}\n')
    with pytest.raises(UsageError, match="other instructions"):
        tune(config(llama), file, out, silent)


def test_a_checkpoint_of_another_run_is_not_gone_on_from(llama, file, tmp_path):
    def interrupt(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(config(llama), file, tmp_path / "out", silent, progress=interrupt)
    with pytest.raises(UsageError, match="another model, other settings"):
        tune(config(llama, learning_rate=1e-4), file, tmp_path / "out", silent)


@pytest.mark.medium
def test_the_micro_batch_changes_memory_and_not_the_weights(llama, file, tmp_path):
    for size in (1, 4):
        tune(config(llama, micro_batch=size, dropout=0.3), file, tmp_path / str(size), silent)
    one, four = adapter_weights(tmp_path / "1"), adapter_weights(tmp_path / "4")
    for name, weights in one.items():
        torch.testing.assert_close(weights, four[name], rtol=1e-3, atol=1e-5)


@pytest.mark.medium
def test_the_seed_decides_the_weights(llama, file, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        tune(config(llama, seed=seed), file, tmp_path / name, silent)
    a, b, c = (adapter_weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_without_peft_the_error_names_the_command(llama, file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SetupError) as caught:
        tune(config(llama), file, tmp_path / "out", silent)
    assert caught.value.mend == "run `pip install 'mdrbench[generator]'`"


def test_a_loss_that_is_no_number_stops_the_run(llama, file, tmp_path, monkeypatch):
    monkeypatch.setattr(generator_tuning, "_backward", lambda *_: (float("nan"), 1))
    with pytest.raises(DataError, match="the loss is nan at step 1"):
        tune(config(llama), file, tmp_path / "out", silent)
    assert not (tmp_path / "out" / "adapter").exists()


def test_the_command_writes_a_card_that_says_how_to_serve(llama, file, tmp_path):
    out = tmp_path / "out"
    words = ["tune-generator", "--model", str(llama), "--instructions", str(file), "--out", str(out), "--epochs", "1"]
    done = CliRunner().invoke(app, [*words, "--precision", "fp32"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "step 1 of 1  loss" in done.stderr
    card = (out / "README.md").read_text(encoding="utf-8")
    command = f"vllm serve {llama} --tokenizer adapter \\\n  --enable-lora --max-lora-rank 8 --lora-modules"
    name = f"mdrbench-generator-{json.loads((out / 'tuning.json').read_text())['identity'][:8]}"
    assert f"{command} {name}=adapter" in card
    assert f"model: {name}, untuned: {llama}, base_url:" in card
    assert "de 1, en 2, fi 1, ja 1, sw 1. Left out as too long: none." in card
    assert "| rank | 8 |" in card
    assert models.find(str(llama)).revision in card
    with pytest.raises(UsageError, match="rank: Input should be 8, 16"):
        CliRunner().invoke(app, [*words, "--rank", "7"], catch_exceptions=False)


def test_alpacas_template_knows_system_messages(llama):
    tokenizer = load_tokenizer(llama)
    tokenizer.chat_template = instructions.ALPACA
    chat = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Name a lake."}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text.startswith("<s>Be short.\n\nBelow is an instruction")
    assert text.endswith("### Instruction:\nName a lake.\n\n### Response:\n")
