"""Training through the pipeline: the recipe's encoder is trained on its groups, and the trained one is evaluated."""

from __future__ import annotations

import gzip
import json

import pytest
from support.folders import FolderMaker
from support.training_plans import ENCODER, planned
from support.training_plans import trained_recipe as load

import mdrbench
from mdrbench.commands.audit import verification
from mdrbench.commands.run import run_plans, run_steps
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.store import Store
from mdrbench.core.types import Example
from mdrbench.data.access import open_dataset
from mdrbench.formats import trec
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.training import averaging, weighting


def sample():
    return open_dataset("sample")


def stages(plan) -> list[str]:
    return [f"{step.scope} {step.stage}" for step in plan.steps()]


def test_groups_of_all_languages_are_trained_on_before_any_is_indexed(tmp_path, store, tiny_model):
    order = stages(planned(load(tmp_path, tiny_model), store))
    assert order.index("all train") > max(order.index("en mine"), order.index("sw mine"), order.index("all label"))
    assert order.index("all train") < min(order.index("en index"), order.index("sw index"))
    without = stages(planned(load(tmp_path, tiny_model, "negatives=null"), store))
    assert "en pair" in without
    assert "en mine" not in without


def test_what_training_depends_on_changes_the_evaluated_index(tmp_path, store, tiny_model):
    def index(*changes, languages=("en", "sw")):
        plan = planned(load(tmp_path, tiny_model, *changes), store, languages)
        [step] = [step for step in plan.by_language["en"].steps if step.stage == "index"]
        return step.key

    base = index()
    assert index("training.learning_rate=0.02") != base
    assert index("negatives.mining.k=3") != base
    assert index(languages=("en",)) != base
    assert index("training.micro_batch=2", "training.save_every=7") == base


@pytest.mark.medium
def test_a_recipe_trains_and_the_trained_encoder_is_evaluated(tmp_path, store, tiny_model):
    from sentence_transformers import SentenceTransformer

    plan = planned(load(tmp_path, tiny_model), store)
    [(path, result)], error = run_plans([plan], store, tmp_path / "results", "mdrbench run trained", quiet=True)
    assert error is None
    assert result.languages["sw"].conventions["trained_by"] == plan.training[-1].key
    assert {"train", "index", "search", "evaluate"} <= set(result.languages["sw"].steps)
    assert result.languages["sw"].negatives["mine"]["queries"] == 12
    assert result.languages["sw"].negatives["mine"]["negatives"] == 12 * 4
    model = store.find(*plan.training[-1].ref).path / "model"
    assert SentenceTransformer(str(model), device="cpu").encode(["a lake"]).shape == (1, 32)
    untrained = plan_recipe(
        load(tmp_path, tiny_model, "negatives=null", "training=null"), sample(), ["sw"], "dev", store, []
    )
    [(other, _)], _ = run_plans([untrained], store, tmp_path / "other", "mdrbench run", quiet=True)
    run = "trained/sw-dev.run.trec.gz"
    assert trec.read_run(path.parent / run) != trec.read_run(other.parent / run)


def indexes(store) -> list[str]:
    return sorted(key for stage, key in store.all() if stage == "index")


@pytest.mark.medium
def test_embeddings_of_a_trained_encoder_are_removed_once_they_were_searched(tmp_path, store, tiny_model, capsys):
    mining = "negatives.mining={name: topk, k: 4, depth: 8}"
    plan = planned(load(tmp_path, tiny_model, mining), store, ["sw"])
    trained = plan.trained_embeddings()
    [(stage, key)] = trained
    assert stage == "index"

    def run(keep: bool):
        return mdrbench.run(
            tmp_path / "trained.yaml",
            data="sample",
            langs="sw",
            overrides={"negatives.mining": {"name": "topk", "k": 4, "depth": 8}},
            results=tmp_path / "results",
            cache=store.root,
            keep_embeddings=keep,
        )

    found = run(keep=False)
    [path] = found.paths
    assert " --keep-embeddings no" in found[0].languages["sw"].command
    assert "index    removed after its search" in capsys.readouterr().err
    [base] = indexes(store)  # the untrained encoder's, which other recipes share
    assert base != key
    result = path.read_bytes()
    run(keep=False)  # nothing is made again for the result
    assert indexes(store) == [base]
    assert path.read_bytes() == result
    search = plan.by_language["sw"].run
    store.remove(*search.ref)
    run(keep=True)
    assert indexes(store) == sorted([base, key])
    run(keep=False)  # as after a run that was killed between search and removal
    assert indexes(store) == [base]
    with Store(store.root).in_use([key]):  # by this process: its own run needs the embeddings no longer
        assert not store.remove("index", key)


def test_recipes_with_one_base_encoder_share_its_embeddings(tmp_path, store, tiny_model):
    mining = "negatives.mining={name: topk, k: 4, depth: 8}"

    def keys(*changes):
        steps = planned(load(tmp_path, tiny_model, *changes), store, ["sw"]).steps()
        return {"train" in step.inputs: step.key for step in steps if step.stage == "index"}

    one, other = keys(mining), keys(mining, "training.learning_rate=0.02", "negatives.mining.k=3")
    assert one[False] == other[False] == keys("negatives=null", "training=null")[False]
    assert one[True] != other[True]


@pytest.mark.medium
def test_a_teacher_is_embedded_once_and_its_scores_change_what_is_learned(tmp_path, store, tiny_model):
    taught = ["training.distillation={loss: kl, weight: 1.0}", "training.mask_margin=0.1"]
    teacher = ["training.teacher={name: dense, encoder: " + ENCODER.format(model=tiny_model) + "}"]
    plain = planned(load(tmp_path, tiny_model), store)
    assert "en teach" not in stages(plain)
    plan = planned(load(tmp_path, tiny_model, *taught, *teacher), store)
    assert stages(plan).count("en teach") == 1
    again = planned(load(tmp_path, tiny_model, *taught, *teacher, "training.seed=5"), store)
    assert {s.key for s in plan.steps() if s.stage == "teach"} == {s.key for s in again.steps() if s.stage == "teach"}
    [(_, result)], error = run_plans([plan], store, tmp_path / "results", "mdrbench run trained", quiet=True)
    assert error is None
    [training] = result.trainings.values()
    assert training.facts["settings"]["distillation"]["weight"] == 1.0


@pytest.mark.medium
def test_a_fused_ranking_teaches_the_pairs_that_it_holds(tmp_path, store, tiny_model):
    taught = ["training.distillation={loss: kl, weight: 1.0, teacher_temperature: 0.01}"]
    both = "{one: bm25, two: {name: bm25, k1: 2.0}}"
    fused = f"training.teacher={{name: hybrid, of: {both}, fusion: reciprocal-rank, depth: 3}}"
    plan = planned(load(tmp_path, tiny_model, *taught, fused), store)
    assert "en teach" not in stages(plan)
    assert stages(plan).count("en fuse") == 1
    [(_, result)], error = run_plans([plan], store, tmp_path / "results", "mdrbench run trained", quiet=True)
    assert error is None
    [training] = result.trainings.values()
    assert training.facts["taught"] == {"pairs": 124, "scored": 23}  # 3 hits a query


@pytest.mark.medium
def test_the_weights_of_several_seeds_are_averaged(tmp_path, store, tiny_model):
    from safetensors.torch import load_file

    weights = {}
    for name, changes in {
        "first": (),
        "second": (f"training.seed={averaging.STEP}",),
        "both": ("training.average=2",),
    }.items():
        plan = planned(load(tmp_path, tiny_model, "training.validation=0", *changes), store, ["en"])
        outcome = run_steps(plan.steps(), [plan.training[-1]], store, quiet=True)
        assert not outcome.failures
        folder = outcome.artifacts[plan.training[-1].ref].path
        weights[name] = load_file(folder / "model" / "model.safetensors")
        assert sorted(path.name for path in folder.glob("member-*")) == []
    for name, value in weights["both"].items():
        assert (value - (weights["first"][name] + weights["second"][name]) / 2).abs().max() < 1e-6
    assert any(not value.equal(weights["first"][name]) for name, value in weights["both"].items())


def lines(path) -> list[dict]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


@pytest.mark.medium
def test_a_result_holds_its_training_with_the_log_and_the_domains(tmp_path, store, tiny_model):
    plan = planned(load(tmp_path, tiny_model), store)
    root = tmp_path / "results"
    [(path, result)], _ = run_plans([plan], store, root, "mdrbench run trained", quiet=True)
    [(name, training)] = result.trainings.items()
    assert plan.training[-1].key == result.languages["en"].steps["train"].key == training.steps["train"].key
    assert name == training.steps["train"].key[:12]
    assert (training.languages, set(training.steps)) == (["en", "sw"], {"label", "train"})
    assert (training.facts["steps"], training.domains["labelled"]) == (4, 24)
    assert training.domains["distribution"]["sw"]["all"] == 12
    assert {"groups/mine", "groups/draw"} <= set(result.languages["sw"].steps)
    log = path.parent / training.log.path
    assert [line["step"] for line in lines(log) if line["kind"] == "train"] == [1, 2, 3, 4]
    assert set(lines(log)[0]) == {"kind", "step", "lr", "loss", "grad_norm"}
    assert verification.verify([path], None, progress=str)[0].problems == []
    first = path.read_bytes(), log.read_bytes()
    run_plans([plan], store, root, "mdrbench run trained", quiet=True)
    assert (path.read_bytes(), log.read_bytes()) == first

    store.remove(*plan.training[-1].ref)  # nothing is trained anew, and what was recorded stays
    [(_, again)], _ = run_plans([plan], store, root, "mdrbench run trained", quiet=True)
    assert again.trainings == result.trainings
    [(_, elsewhere)], _ = run_plans([plan], store, tmp_path / "new", "mdrbench run trained", quiet=True)
    assert (elsewhere.trainings[name].log, elsewhere.trainings[name].facts) == (None, training.facts)

    log.write_bytes(log.read_bytes()[:-1])
    [problem] = verification.verify([path], None, progress=str)[0].problems
    assert problem.what.startswith("is not the file the result was recorded with")
    assert problem.file.endswith(f"training-{name}.jsonl.gz")


@pytest.mark.medium
def test_languages_trained_together_name_one_training_and_those_trained_apart_another(tmp_path, store, tiny_model):
    one, root = load(tmp_path, tiny_model), tmp_path / "results"
    [(path, _)], _ = run_plans([planned(one, store, ["en"])], store, root, "x", quiet=True)
    [(_, both)], _ = run_plans([planned(one, store, ["sw"])], store, root, "x", quiet=True)
    assert {lang: both.trainings[e.steps["train"].key[:12]].languages for lang, e in both.languages.items()} == {
        "en": ["en"], "sw": ["sw"],
    }  # fmt: skip
    [(_, together)], _ = run_plans([planned(one, store)], store, root, "x", quiet=True)
    [training] = together.trainings.values()
    assert training.languages == ["en", "sw"]
    assert [p.name for p in sorted((path.parent / "trained").glob("training-*"))] == [training.log.path.split("/")[1]]


def test_positives_that_cannot_fill_a_batch_are_refused_before_anything_is_mined(tmp_path, store, tiny_model):
    maker = FolderMaker(tmp_path / "shared")
    maker.whole()
    maker.corpus(passages=[{"docid": f"{n}#0", "title": "", "text": f"passage {n}"} for n in range(15)])
    maker.split("topics", "".join(f"q{n}\tquestion {n}\n" for n in range(30)), split="train")
    maker.split("qrels", "".join(f"q{n}\tQ0\t{n % 15}#0\t1\n" for n in range(30)), split="train")
    loaded = load(tmp_path, tiny_model, "training.batch_size=16", "training.validation=0")
    with pytest.raises(DataError, match="at most 15 can be together") as caught:
        plan_recipe(loaded, maker.folder(), ["en"], "dev", store, [])
    assert "training.batch_size to 15" in caught.value.mend


def test_negatives_without_training_are_refused(tmp_path, store, tiny_model):
    with pytest.raises(UsageError, match="makes hard negatives but trains nothing on them"):
        planned(load(tmp_path, tiny_model, "training=null"), store)


def test_only_a_dense_retriever_can_be_trained(tmp_path, store, tiny_model):
    with pytest.raises(UsageError, match="its retriever is 'bm25'"):
        planned(load(tmp_path, tiny_model, "retriever=bm25"), store)


def test_weights_by_share():
    examples = [Example("en", "1", "a", ("x",)), Example("en", "2", "a", ("x",)), Example("sw", "3", "b", ("x",))]
    found = weighting.weights(examples, "share", 0.45, 0.40)
    # shares 2/3 and 1/3: 1 - p is 1/3 and 2/3, their mean 1/2
    assert found["en", "1"] == pytest.approx(0.45 * (2 / 3) + 0.40 * (2 / 3))
    assert found["sw", "3"] == pytest.approx(0.45 * (4 / 3) + 0.40 * (4 / 3))
    assert set(weighting.weights(examples, "fixed", 0.45, 0.40).values()) == {0.45 + 0.40}
    assert weighting.weights(examples, "none", 0.45, 0.40) is None
    assert weighting.coefficients(["one", "one"], 0.4, by_share=True) == {"one": 0.4}


@pytest.mark.slow
def test_processes_say_what_stopped_them(tmp_path, store, tiny_model):
    plan = planned(
        load(tmp_path, tiny_model, "negatives=null", "training.processes=2", "training.precision=fp16"), store
    )
    outcome = run_steps(plan.steps(), [plan.training[-1]], store, quiet=True)
    assert "fp16 needs a GPU" in str(outcome.failures[plan.training[-1].ref])
