"""Seals of older results, and signatures over results that are handed on."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from support.project import PROJECT
from support.recorded_results import edit, quick

from mdrbench import results
from mdrbench.commands.audit import ablation_claims, sealing, signatures, training_claims, verification
from mdrbench.core.errors import DataError, UsageError
from mdrbench.data.access import open_dataset
from mdrbench.results import ablations
from mdrbench.results.verified import Verified


def older(data: dict) -> None:
    """Make a file one of schema 1."""
    data.update(schema_version=1)
    data.pop("seal")


def quiet(text: str) -> None:
    pass


def test_a_result_of_the_older_schema_is_sealed_after_it_was_derived_again(results_root, cli):
    before = quick(results_root).read_text()
    edit(quick(results_root), older, reseal=False)
    checked = cli("check", "results/sample", "--against", "results")
    assert checked.returncode == 3
    assert "is not sealed: an older mdrbench wrote it" in checked.stdout
    with pytest.raises(UsageError, match="only after its runs were scored again"):
        sealing.seal([results_root], None, quiet)
    done = cli("seal", "results", "--data", "sample")
    assert (done.returncode, done.stdout) == (0, "sealed 1 file\n"), done.stderr
    assert json.loads(quick(results_root).read_text()) == json.loads(before)
    assert cli("check", "results/sample", "--against", "results").returncode == 0


@pytest.mark.medium
def test_a_forged_result_gets_no_seal(results_root):
    edit(quick(results_root), older, reseal=False)
    edit(quick(results_root), lambda d: d["languages"]["sw"]["scores"]["nDCG@10"].update(value=0.99))
    sealed, [wrong] = sealing.seal([results_root], open_dataset("sample"), quiet)
    assert sealed == []
    assert [(p.lang, p.measure) for p in wrong.problems] == [("sw", "nDCG@10")]
    assert not results.read(quick(results_root)).sealed


@pytest.mark.slow
def test_an_ablation_is_derived_from_sealed_results_only(tmp_path):
    root = shutil.copytree(PROJECT / "results" / "sample", tmp_path / "sample")
    stored = root / "ablations" / "boosted-sample.json"
    edit(root / "boosted-sample.json", older, reseal=False)
    [found] = verification.verify([stored], None, progress=quiet)
    assert "is not sealed" in found.problems[0].what
    edit(stored, older, reseal=False)
    sealed, wrong = sealing.seal([root], open_dataset("sample"), quiet)
    assert (sealed, wrong) == ([root / "boosted-sample.json", stored], [])
    assert ablations.read(stored, ("sealed",)).sealed


SAMPLE = PROJECT / "results" / "sample"


def swap_names(data):
    one, other = data["variants"][:2]
    one["names"], other["names"] = other["names"], one["names"]


def swap_labels(data):
    one, other = (variant["names"][0] for variant in data["variants"][:2])
    one["label"], other["label"] = other["label"], one["label"]


def contradict(data):
    """Contradict the ablation in five places that do not touch each other."""
    data["variants"][2]["overrides"].append("seed=3")
    data["variants"][2]["runs"][0].update(seed=7)
    data["variants"].pop(3)
    data.update(summary="better")
    data["tested"].update(resamples=10)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swap_names, ["'without training' is not what the recipe with negatives=null is"]),
        (swap_labels, ["'without training' is not what the recipe with negatives=null is"]),
        (
            contradict,
            [
                "is a variant of it that the ablation leaves out",
                "the overrides of its run are not its own",
                "the seed is not the result's",
                "summary is not the complete recipe's",
                "tested is not how this mdrbench tests",
            ],
        ),
    ],
)
def test_a_contradiction_in_an_ablation_is_named_though_its_seal_was_computed_again(tmp_path, change, said):
    root = shutil.copytree(SAMPLE, tmp_path / "sample")
    found = Verified(root / "ablations" / "boosted-sample.json")
    edit(found.path, change)
    ablation_claims.check(found.path, found)
    problems = "\n".join(map(str, found.problems))
    for text in said:
        assert text in problems


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("judge", "judge", "judged"), 1, "negatives.judge.judge.judged is not what the other counts give"),
        (("judge", "eliminated_share"), 0.5, "negatives.judge.eliminated_share is not what the other counts give"),
        (("judge", "agreement", "kappa"), 1.0, "negatives.judge.agreement.kappa is not what the other counts give"),
        (("judge", "grades"), [], "negatives are not counts that mdrbench writes"),
        (("mine", "queries"), -1, "negatives.mine.queries is negative"),
    ],
)
def test_counts_of_negatives_that_contradict_each_other_are_named(place, value, said):
    result = results.read(SAMPLE / "boosted-sample.json")
    counts = result.languages["sw"].negatives
    assert list(training_claims.negatives("sw", counts)) == []
    inner = counts
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert said in [found.what for found in training_claims.negatives("sw", counts)]


def test_facts_of_a_training_that_contradict_its_recipe_are_named():
    result = results.read(SAMPLE / "boosted-sample.json")
    [(name, training)] = result.trainings.items()
    assert list(training_claims.training(name, training, result)) == []
    training.facts["settings"]["learning_rate"] = 1.0
    training.facts["versions"]["torch"] = "9"
    training.domains["labelled"] = 1
    assert [found.what for found in training_claims.training(name, training, result)] == [
        f"training {name}: settings.learning_rate is not the recipe's",
        f"training {name}: versions.torch is not its environment's",
        f"training {name}: domains.labelled is not the sum of its domains",
    ]


@pytest.mark.medium
def test_variants_that_were_dropped_together_with_their_files_are_named(tmp_path):
    stored = shutil.copytree(SAMPLE, tmp_path / "sample") / "ablations" / "boosted-sample.json"
    dropped = ablations.read(stored).variants[3]
    expected = {f"'{name.label}' is not there, though its command makes it" for name in dropped.names}
    edit(stored, lambda data: data["variants"].pop(3))
    (tmp_path / "sample" / dropped.runs[0].result).unlink()
    edit(tmp_path / "sample" / "boosted-sample.json", of_another_commit)
    found = Verified(stored)
    ablation_claims.check(stored, found)
    assert expected.isdisjoint(problem.what for problem in found.problems)
    assert {f"{one} today" for one in expected} <= {*found.unchecked}
    edit(tmp_path / "sample" / "boosted-sample.json", without_a_checkout)
    found = Verified(stored)
    ablation_claims.check(stored, found)
    assert expected <= {problem.what for problem in found.problems}
    edit(stored, lambda data: data.update(failed=[dropped.label]))
    found = Verified(stored)
    ablation_claims.check(stored, found)
    assert expected.isdisjoint(problem.what for problem in found.problems)


def of_another_commit(data):
    for environment in data["environments"].values():
        environment["git"] = {"commit": "0" * 40, "dirty": False}


def without_a_checkout(data):
    for environment in data["environments"].values():
        environment["git"] = None


@pytest.fixture
def key(tmp_path):
    """An OpenSSH key, and a file that allows its owner to sign."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH is not installed")
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    (tmp_path / "signers").write_text(f"maria@example.org {path.with_suffix('.pub').read_text()}")
    return path


def test_a_signed_result_is_accepted_from_its_signer_only(results_root, key, tmp_path, cli):
    signed = cli("sign", "results", "--key", key)
    assert (signed.returncode, signed.stdout) == (0, "results/sample/quick.json.sig\n"), signed.stderr
    assert cli("verify", "--signers", tmp_path / "signers").returncode == 0
    path = quick(results_root)
    text = path.read_text()
    edit(path, lambda d: d["languages"]["sw"].update(command="mdrbench run better"))
    assert "was changed after maria@example.org signed it" in signatures.refused(path, tmp_path / "signers")
    assert cli("verify", "--signers", tmp_path / "signers").returncode == 3
    path.write_text(text)
    (tmp_path / "others").write_text("")
    assert "not among the signers" in signatures.refused(path, tmp_path / "others")
    signatures.signature_of(path).unlink()
    assert signatures.refused(path, tmp_path / "signers") == "is not signed"


def test_only_what_has_its_seal_is_signed(results_root, key):
    edit(quick(results_root), lambda d: d["system"].update(name="x"), reseal=False)
    with pytest.raises(DataError, match="its seal does not match"):
        sealing.sealed_files([results_root])
    with pytest.raises(UsageError, match="no such key"):
        signatures.sign(quick(results_root), key.with_name("nokey"))
