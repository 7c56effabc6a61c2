"""Training a tiny BERT: what it writes, what an interruption costs, what it refuses; two processes against one."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.process_groups import run
from support.project import PROJECT
from support.training import DATA, Plan, conventions, opened, passage_keys, settings, without_dropout

from mdrbench.core.errors import DataError, SetupError, StepError, UsageError
from mdrbench.core.types import Negative, TrainingGroup
from mdrbench.hub import loading
from mdrbench.retrieval.encoders import transformer
from mdrbench.training import Material, checkpoints, held_out, token_files
from mdrbench.training.data import Examples
from mdrbench.training.loop import train
from mdrbench.training.settings import Settings, rate
from mdrbench.training.token_files import TrainingData, tokenise


def trained(out: Path, folder, chosen: Settings | None = None, plan=None, weights=None, **changes) -> dict:
    encoder = conventions(folder, **changes)
    return train(chosen or settings(), Path(folder), encoder, DATA, plan or Plan(), weights, out=out)


def weights_in(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def assert_same(one: Path, other: Path, tolerance: float = 0.0):
    first, second = weights_in(one), weights_in(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert (value - second[name]).abs().max() <= tolerance, name


# -- what it writes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", True), ("cls", False)])
def test_sentence_transformers_loads_the_folder_and_gives_our_embeddings(tiny_model, tmp_path, pooling, normalize):
    from sentence_transformers import SentenceTransformer

    trained(tmp_path / "out", tiny_model, plan=Plan(3), pooling=pooling, normalize=normalize)
    folder = tmp_path / "out" / "model"
    ours = transformer.Transformer(conventions(folder, pooling=pooling, normalize=normalize))
    theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert theirs.max_seq_length == 16
    assert theirs.similarity_fn_name == "cosine"
    texts = list(DATA["en"].passages.values())
    assert np.abs(theirs.encode_document(texts) - ours.encode_passages(texts, lambda done: None)).max() < 1e-5
    assert np.abs(theirs.encode_query(["ringed seal"]) - ours.encode_queries(["ringed seal"])).max() < 1e-5


def test_training_lowers_the_loss_and_says_what_it_did(tiny_model, tmp_path):
    seen = []
    chosen = settings(negatives=5, attention_dropout=0.0, tensorboard=True, log_every=2)
    said = []
    facts = train(
        chosen,
        tiny_model,
        conventions(tiny_model),
        DATA,
        Plan(40),
        out=tmp_path,
        base="tiny-bert",
        say=said.append,
        progress=lambda *news: seen.append(news),
    )
    assert [(step, steps) for step, steps, _ in seen] == [(i + 1, 40) for i in range(40)]
    losses = [loss for *_, loss in seen]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert facts["queries"] == {"en": 14, "fi": 9}
    assert facts["queries_short_of_negatives"] == sum(len(g.negatives) < 5 for d in DATA.values() for g in d.groups)
    assert facts == json.loads((tmp_path / "training.json").read_text())
    log = checkpoints.read_log(tmp_path)
    assert [entry["step"] for entry in log] == list(range(2, 41, 2))
    assert set(log[0]) == {
        *("kind", "step", "loss", "lr", "grad_norm", "examples_per_second", "tokens_per_second", "memory")
    }
    assert log[0]["loss"] == losses[1]
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Trained from `tiny-bert` on 23 queries in 2 languages" in card
    assert str(tmp_path) not in card
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["attention_probs_dropout_prob"] == 0.1  # the model's own, though training went without
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "tokens").exists()
    try:
        import tensorboard  # noqa: F401
    except ModuleNotFoundError:
        assert sum("tensorboard is not installed" in line for line in said) == 1
    else:
        assert list((tmp_path / "tensorboard").iterdir())


def test_a_finished_training_is_returned_as_it_is_and_another_is_refused(tiny_model, tmp_path):
    facts = trained(tmp_path, tiny_model, plan=Plan(2))
    before = (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns
    assert trained(tmp_path, tiny_model, settings(save_every=1), Plan(2)) == facts
    assert (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns == before
    for other in (settings(seed=1), settings(temperature=0.03)):
        with pytest.raises(UsageError, match="another model, other settings or other data"):
            trained(tmp_path, tiny_model, other, Plan(2))
    with pytest.raises(UsageError, match="other data"):
        trained(tmp_path, tiny_model, plan=Plan(2), weights=lambda key: 0.5)


@pytest.mark.parametrize("name", ["Bert", "DistilBert"])
def test_micro_batches_and_checkpointing_train_the_same_model(tiny_models, tmp_path, name):
    facts = trained(tmp_path / "whole", tiny_models[name], plan=Plan(3))
    assert facts["dropout"] == "by text"
    trained(tmp_path / "pieces", tiny_models[name], settings(micro_batch=3, gradient_checkpointing=True), Plan(3))
    assert_same(tmp_path / "whole", tmp_path / "pieces", 2e-5)


@pytest.mark.parametrize("on", ["negative", "example"])
def test_weights_change_what_is_learned(tiny_model, tmp_path, on):
    by_query = {(lang, group.qid): 0.2 + i / 5 for lang, d in DATA.items() for i, group in enumerate(d.groups)}
    plain = trained(tmp_path / "plain", tiny_model, settings(weights_on=on), Plan(2))
    ones = trained(tmp_path / "ones", tiny_model, settings(weights_on=on), Plan(2), lambda key: 1.0)
    other = trained(tmp_path / "weighted", tiny_model, settings(weights_on=on), Plan(2), by_query)
    assert plain["identity"] != ones["identity"] != other["identity"]
    first = [checkpoints.read_log(tmp_path / name)[0]["loss"] for name in ("plain", "ones", "weighted")]
    assert first[0] == pytest.approx(first[1], abs=1e-6)
    assert abs(first[0] - first[2]) > 1e-3


def test_bf16_trains_near_fp32(tiny_model, tmp_path):
    trained(tmp_path / "fp32", tiny_model, plan=Plan(3))
    trained(tmp_path / "bf16", tiny_model, settings(precision="bf16"), Plan(3))
    losses = [[e["loss"] for e in checkpoints.read_log(tmp_path / name)] for name in ("fp32", "bf16")]
    assert losses[0] != losses[1]
    assert np.allclose(*losses, rtol=0.05)
    assert weights_in(tmp_path / "bf16")["embeddings.word_embeddings.weight"].dtype == torch.float32


# -- interruptions -----------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from mdrbench.training import held_out
from support.training import DATA, Plan, conventions, settings
from mdrbench.training.loop import train
torch.set_num_threads(1)
def progress(step, steps, loss):
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path(sys.argv[2])
chosen = settings(validation=0.2, validate_every=2, patience=9, save_every=2, keep=1)
plan = Plan(8, held_out([(lang, g.qid) for lang, d in DATA.items() for g in d.groups], 0.2, 0))
train(chosen, folder, conventions(folder), DATA, plan, out=Path(sys.argv[3]), progress=progress)
"""


@pytest.mark.medium
def test_a_killed_training_goes_on_to_the_same_weights(tiny_model, tmp_path):
    words = [sys.executable, "-c", KILLED, str(PROJECT / "tests"), str(tiny_model), str(tmp_path / "killed")]
    killed = subprocess.run(words, cwd=PROJECT, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(path.name for path in (tmp_path / "killed" / "checkpoints").iterdir()) == ["best.pt", "step-4.pt"]
    chosen = settings(validation=0.2, validate_every=2, patience=9, save_every=2, keep=1)
    plan = Plan(8, held_out([(lang, g.qid) for lang, d in DATA.items() for g in d.groups], 0.2, 0))
    said, steps = [], []
    resumed = train(
        chosen,
        tiny_model,
        conventions(tiny_model),
        DATA,
        plan,
        out=tmp_path / "killed",
        say=said.append,
        progress=lambda step, *_: steps.append(step),
    )
    assert said == ["continuing after step 4 of 8"]
    assert steps == [5, 6, 7, 8]
    whole = trained(tmp_path / "whole", tiny_model, chosen, plan)
    assert resumed["validation"] == whole["validation"]
    assert_same(tmp_path / "killed", tmp_path / "whole")
    logs = [checkpoints.read_log(tmp_path / name) for name in ("killed", "whole")]
    one, other = ([(e["kind"], e["step"], e["loss"]) for e in log] for log in logs)
    assert one == other


class Interrupted(Exception):
    pass


def interrupted(out: Path, folder, chosen: Settings, at: int, plan=None) -> None:
    def progress(step, steps, loss):
        if step == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(chosen, folder, conventions(folder), DATA, plan or Plan(), out=out, progress=progress)


def test_the_last_checkpoints_are_kept_and_a_damaged_one_is_named(tiny_model, tmp_path):
    interrupted(tmp_path, tiny_model, settings(save_every=1, keep=2), 5)
    files = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in files] == ["step-4.pt", "step-5.pt"]
    with pytest.raises(UsageError, match="other settings"):
        trained(tmp_path, tiny_model, settings(learning_rate=2e-3))
    files[-1].write_bytes(files[-1].read_bytes()[:1000])
    with pytest.raises(StepError, match=r"step-5\.pt: the checkpoint cannot be read") as error:
        trained(tmp_path, tiny_model)
    assert "delete the folder `checkpoints`" in error.value.mend


# -- validation --------------------------------------------------------------------------------------------------------


def test_the_held_out_queries_follow_from_the_seed():
    keys = [(lang, f"q{i}") for lang, n in (("en", 50), ("fi", 9), ("sw", 1)) for i in range(n)]
    kept = held_out(keys, 0.1, 0)
    assert sorted(lang for lang, _ in kept) == ["en"] * 5 + ["fi"]
    assert held_out(reversed(keys), 0.1, 0) == kept != held_out(keys, 0.1, 1)
    assert held_out(keys, 0.0, 0) == set()


def test_early_stopping_keeps_the_weights_with_the_lowest_validation_loss(tiny_model, tmp_path):
    kept = held_out([(lang, g.qid) for lang, d in DATA.items() for g in d.groups], 0.2, 0)
    plan = Plan(60, kept)
    chosen = settings(validation=0.2, validate_every=2, patience=2, learning_rate=0.03, warmup=0.0)
    facts = trained(tmp_path, tiny_model, chosen, plan)
    losses = [entry["loss"] for entry in facts["validation"]]
    best = losses.index(min(losses))
    assert facts["steps"] < facts["planned_steps"] == 60
    assert len(losses) - 1 - best == 2
    assert facts["kept_step"] == 2 * (best + 1)
    other = settings(validation=0.2, validate_every=2, learning_rate=0.03, warmup=0.0)
    interrupted(
        tmp_path / "part",
        tiny_model,
        other.model_copy(update={"save_every": facts["kept_step"]}),
        facts["kept_step"] + 1,
        plan,
    )
    state = torch.load(tmp_path / "part" / "checkpoints" / f"step-{facts['kept_step']}.pt", weights_only=True)
    for name, value in weights_in(tmp_path).items():
        assert torch.equal(value, state["model"][name]), name


def test_a_batch_with_a_held_out_query_is_refused(tiny_model, tmp_path):
    with pytest.raises(UsageError, match="held out for validation"):
        trained(tmp_path, tiny_model, settings(validation=0.3), Plan(30))


# -- what a step is made of --------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path, tiny_model) -> TrainingData:
    return opened(tmp_path / "tokens", tiny_model)


def group_of(key: tuple[str, str]) -> TrainingGroup:
    return next(group for group in DATA[key[0]].groups if group.qid == key[1])


def test_negatives_are_drawn_by_seed_step_and_query_and_never_twice(data):
    examples, names = Examples(data, 3, 0), passage_keys(data)
    keys = [("en", f"q{i}") for i in range(14)]
    batch = examples.draw(5, keys)
    assert batch == examples.draw(5, keys)
    assert examples.draw(5, keys[::-1]).passages[-1:] == [batch.passages[batch.targets[1] - 1]]
    assert batch != examples.draw(6, keys)
    assert batch != Examples(data, 3, 1).draw(5, keys)
    ends = [*batch.targets[1:], len(batch.passages)]
    for key, at, end in zip(keys, batch.targets, ends, strict=True):
        group = group_of(key)
        positive, *negatives = (names[row][1] for row in batch.passages[at:end])
        assert positive in group.positives
        assert len(negatives) == len(set(negatives)) == min(3, len(group.negatives))
        assert set(negatives) <= {negative.docid for negative in group.negatives}
    drawn = {names[examples.draw(step, [("en", "q1")]).passages[0]] for step in range(30)}
    assert drawn == {("en", "p1"), ("en", "p21")}


def test_with_replacement_as_many_negatives_are_drawn_whatever_the_group_has(data):
    keys = [("en", "q0"), ("fi", "q1")]
    batch = Examples(data, 40, 0, with_replacement=True).draw(5, keys)
    for place, key in enumerate(keys):
        start = batch.targets[place]
        drawn = [passage_keys(data)[row] for row in batch.passages[start + 1 : start + 41]]
        assert len(drawn) == 40
        assert set(drawn) <= {(key[0], negative.docid) for negative in group_of(key).negatives}


def test_without_hard_negatives_there_are_the_positives_only(data):
    batch = Examples(data, 0, 0).draw(0, [("en", "q0"), ("fi", "q0")])
    assert [passage_keys(data)[row] for row in batch.passages] == [("en", "p0"), ("fi", "p0")]


def test_a_positive_of_the_query_is_no_negative_of_it_and_languages_are_apart(tiny_model, tmp_path):
    found = Negative("d2", 0.5, "mined", False)
    part = Material(
        {"1": "a", "2": "b"},
        [
            TrainingGroup("1", ("d1",), (found,)),
            TrainingGroup("2", ("d1", "d2"), (Negative("d3", 0.5, "mined", False),)),
        ],
        {docid: f"text {docid}" for docid in ("d1", "d2", "d3")},
    )
    fi = part._replace(passages={docid: f"fi {text}" for docid, text in part.passages.items()})
    data = opened(tmp_path / "tokens", tiny_model, {"en": part, "fi": fi})
    examples, names = Examples(data, 7, 3), passage_keys(data)
    batch = examples.draw(0, [("en", "1"), ("en", "2"), ("fi", "1")])
    rows = examples.ignored(batch)
    mine = {0: {("en", "d1")}, 1: {("en", "d1"), ("en", "d2")}, 2: {("fi", "d1")}}
    for i, target in enumerate(batch.targets):
        for j, passage in enumerate(batch.passages):
            assert rows[i, j] == (names[passage] in mine[i] and j != target)
    assert rows[1].sum() == 2  # the other one's positive or its own other one, and its other one as a hard negative
    assert batch.owners() == [0, 0, 1, 1, 2, 2]


def test_equal_texts_of_two_docids_are_no_negatives_of_each_other(tiny_model, tmp_path):
    """In another query's place, as a hard negative, and in another language."""
    negative = Negative("copy", 0.5, "mined", False)
    part = Material(
        {"1": "a", "2": "b"},
        [TrainingGroup("1", ("d1",), (negative,)), TrainingGroup("2", ("d2",), ())],
        {"d1": "The Lake", "copy": "the  lake", "d2": "the lake", "d3": "other"},
    )
    other = Material({"3": "c"}, [TrainingGroup("3", ("d3",), ())], {"d3": "the lake"})
    data = opened(tmp_path / "tokens", tiny_model, {"en": part, "fi": other})
    examples = Examples(data, 7, 3)
    batch = examples.draw(0, [("en", "1"), ("en", "2"), ("fi", "3")])
    assert [passage_keys(data)[row][1] for row in batch.passages] == ["d1", "copy", "d2", "d3"]
    assert examples.ignored(batch).tolist() == [
        [False, True, True, True],
        [True, True, False, True],
        [True, True, True, False],
    ]


def test_a_batch_is_shared_out_among_processes(data):
    batch = Examples(data, 3, 0).draw(0, [("en", f"q{i}") for i in range(5)])
    shares = batch.shares(2)
    assert [share[0] for share in shares] == [slice(0, 2), slice(2, 5)]
    assert [share[1] for share in shares] == [slice(0, batch.targets[2]), slice(batch.targets[2], len(batch.passages))]
    assert batch._replace(keys=batch.keys[:1]).shares(2)[0][0] == slice(0, 0)


# -- token files -------------------------------------------------------------------------------------------------------


def test_token_ids_are_the_encoders(tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))
    first, second = tokenise(tokenizer, "query : ", ["ringed seal", "a " * 40], 8)
    assert tokenizer.decode(first) == "[CLS] query : ringed seal [SEP]"
    assert len(second) == 8


def test_token_files_hold_what_the_groups_say(data, tiny_model):
    names = passage_keys(data)
    assert data.keys == [(lang, group.qid) for lang, one in DATA.items() for group in one.groups]
    for key, row in data.rows.items():
        group = group_of(key)
        assert data.positive_docids[row] == group.positives
        assert [names[at] for at in data.positives[row]] == [(key[0], docid) for docid in group.positives]
        assert [names[at][1] for at in data.negatives[row]] == [negative.docid for negative in group.negatives]
    tokenizer = loading.load_tokenizer(tiny_model)
    for row, (lang, docid) in enumerate(names):
        [ids] = tokenise(tokenizer, "passage : ", [DATA[lang].passages[docid]], 16)
        assert data.passages[row].tolist() == ids.tolist()


def test_token_files_are_used_again_if_they_are_whole_and_of_the_same_source(tiny_model, tmp_path):
    folder, encoder = tmp_path / "tokens", conventions(tiny_model)

    def written(source, **changes) -> bool:
        own = conventions(tiny_model, **changes) if changes else encoder
        return token_files.write(folder, Path(tiny_model), own, DATA.items(), source)

    assert written("one")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not written("one")
    assert written("two")
    assert written("two", passage_length=9)
    assert written("one")
    ids = folder / "passage-ids.flat"
    ids.write_bytes(bytes(4) + ids.read_bytes()[4:])
    assert written("one")  # damaged
    (folder / "whole.json").unlink()
    assert written("one")  # a writer was killed before the end
    again = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert again.pop("whole.json")
    assert again == {name: content for name, content in first.items() if name != "whole.json"}


def test_a_query_with_two_groups_is_refused(tiny_model, tmp_path):
    twice = DATA["en"]._replace(groups=[*DATA["en"].groups, DATA["en"].groups[0]])
    with pytest.raises(DataError, match=r"query 'q0' \(en\) has two training groups"):
        opened(tmp_path, tiny_model, {"en": twice})


@pytest.mark.parametrize(("warmup", "decay"), [(0.1, "linear"), (0.25, "cosine"), (0.1, "constant")])
def test_the_learning_rate_is_that_of_transformers(warmup, decay):
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    name = "constant_with_warmup" if decay == "constant" else decay
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=math.ceil(warmup * 20), num_training_steps=20)
    for step in range(20):
        assert rate(step, 20, Settings(warmup=warmup, decay=decay)) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


# -- what it refuses ---------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_names_the_batch(tiny_model, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    values = load_file(broken / "model.safetensors")
    values["embeddings.LayerNorm.weight"][:] = float("nan")
    save_file(values, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(StepError, match="the loss is nan at step 1") as error:
        trained(tmp_path / "out", broken)
    lang = Plan().batch(0)[0][0]
    assert f"queries {lang}: {' '.join(qid for _, qid in Plan().batch(0))}" in error.value.message
    assert not (tmp_path / "out" / "training.json").exists()


def test_data_that_do_not_fit_together(tiny_model, tmp_path):
    class Strangers(Plan):
        def batch(self, n):
            return [("sw", "q1")]

    with pytest.raises(DataError, match=r"query 'q1' \(sw\), which has no training group"):
        trained(tmp_path, tiny_model, plan=Strangers())
    with pytest.raises(DataError, match=r"weight of query 'q0' \(en\) is 0\.0, not a positive number"):
        trained(tmp_path, tiny_model, weights=lambda key: 0.0)
    with pytest.raises(DataError, match="is nan, not a positive number"):
        trained(tmp_path, tiny_model, weights={("en", "q0"): 1.0})
    part = DATA["en"]
    lacking = {"en": part._replace(passages={})}
    with pytest.raises(DataError, match=r"passage 'p0' \(en\) of the training groups has no text"):
        train(
            settings(),
            tiny_model,
            conventions(tiny_model),
            lacking,
            OnlyEnglish(),
            out=tmp_path,
        )


class OnlyEnglish(Plan):
    def batch(self, n):
        return [("en", "q0"), ("en", "q1")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works on a GPU")
def test_fp16_needs_a_gpu(tiny_model, tmp_path):
    with pytest.raises(SetupError, match="fp16 needs a GPU"):
        trained(tmp_path, tiny_model, settings(precision="fp16"))


# -- several processes -------------------------------------------------------------------------------------------------

TOGETHER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from mdrbench.training import held_out
from support.training import DATA, Plan, conventions, settings
from mdrbench.training.loop import train
torch.set_num_threads(1)
folder, out = Path(sys.argv[2]), Path(sys.argv[3])
kept = held_out([(lang, g.qid) for lang, d in DATA.items() for g in d.groups], 0.2, 0)
for size in map(int, sys.argv[4:]):
    train(settings(validation=0.2, validate_every=2, micro_batch=size), folder, conventions(folder), DATA,
          Plan(3, kept, size=3), lambda key: 0.5 + int(key[1][1:]) / 9, out=out / str(size))
"""


@pytest.mark.slow
def test_two_processes_train_the_same_model_as_one(tiny_model, tmp_path):
    kept = held_out([(lang, g.qid) for lang, d in DATA.items() for g in d.groups], 0.2, 0)
    chosen, plan = settings(validation=0.2, validate_every=2), Plan(3, kept, size=3)
    trained(tmp_path / "alone", tiny_model, chosen, plan, lambda key: 0.5 + int(key[1][1:]) / 9)
    words = ["-c", TOGETHER, str(PROJECT / "tests"), str(tiny_model), str(tmp_path), "0", "2"]
    assert run(2, words) == [0, 0]
    for micro_batch in ("0", "2"):
        assert_same(tmp_path / "alone", tmp_path / micro_batch, 2e-5)
        logs = [checkpoints.read_log(tmp_path / name) for name in ("alone", micro_batch)]
        assert [entry["loss"] for entry in logs[0]] == pytest.approx([entry["loss"] for entry in logs[1]], abs=1e-4)


class Same(Plan):
    """The same four queries at each step."""

    def batch(self, n):
        return [("en", f"q{i}") for i in range(4)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_weights_are_those_of_sentence_transformers_trainer(tiny_model, tmp_path):
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    still = without_dropout(tiny_model, tmp_path / "still")
    trained(tmp_path / "start", still, settings(learning_rate=1e-30), Same(1))
    negatives = tuple(Negative(f"p{40 + j}", 0.5, "mined", False) for j in range(2))
    groups = [TrainingGroup(f"q{i}", (f"p{i}",), negatives) for i in range(4)]
    part = DATA["en"]._replace(groups=groups)
    chosen = settings(negatives=2, warmup=0.0, temperature=0.05)
    train(chosen, still, conventions(still), {"en": part}, Same(4), out=tmp_path / "ours")
    rows = {"anchor": [f"query : {part.queries[g.qid]}" for g in groups]}
    rows["positive"] = [f"passage : {part.passages[g.positives[0]]}" for g in groups]
    for i in range(2):
        rows[f"negative_{i}"] = [f"passage : {part.passages[g.negatives[i].docid]}" for g in groups]
    model = SentenceTransformer(str(tmp_path / "start" / "model"), device="cpu", local_files_only=True)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "theirs"),
        per_device_train_batch_size=4,
        max_steps=4,
        learning_rate=chosen.learning_rate,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    loss = MultipleNegativesRankingLoss(model, scale=20.0)
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=Dataset.from_dict(rows), loss=loss)
    trainer.train()
    theirs = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    ours = checkpoints.read_log(tmp_path / "ours")
    assert [e["lr"] for e in ours] == pytest.approx([float(e["learning_rate"]) for e in theirs])
    assert [e["loss"] for e in ours] == pytest.approx([float(e["loss"]) for e in theirs], abs=2e-3)
    assert [e["grad_norm"] for e in ours] == pytest.approx([float(e["grad_norm"]) for e in theirs], rel=2e-3)
    expected = model[0].auto_model.state_dict()
    for name, value in weights_in(tmp_path / "ours").items():
        if not name.endswith("key.bias"):  # its gradient is zero but for rounding, which Adam blows up
            assert (value - expected[name]).abs().max() < 1e-4, name
