"""Members: built in, from packages, from files; what is in their key; errors that name file and line."""

from __future__ import annotations

import pickle
import sys

import pytest
from pydantic import ValidationError

from mdrbench.core import members, registry
from mdrbench.core.errors import UsageError
from mdrbench.core.members import Member, without_run_only

RULE = '''"""My rule: the first k."""

from mdrbench.core.members import Spec
from mdrbench.negatives.mining._ranking import Ranking, RankingConfig


class Config(RankingConfig):
    pause: int = 0


class MyRule(Ranking):
    spec = Spec(Config, version=3, run_only=("pause",))

    def select(self, candidates, reference):
        return candidates[: self.config.k]
'''
ENCODER = {"name": "transformer", "model": "m", "batch_tokens": 5}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers the miner ``my-rule``."""
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "my_package" / "rules.py").write_text(RULE)
    info = tmp_path / "my_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[mdrbench.miners]\nmy-rule = my_package.rules:MyRule\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        del sys.modules[name]


def test_a_member_of_a_package_is_listed_built_and_identified(package):
    source = registry.members("mining")["my-rule"]
    assert (source.origin, source.summary) == ("package my-package 1.2", "My rule: the first k.")
    member = Member.of("mining", {"name": "my-rule", "k": 2, "depth": 9})
    assert (member.build().keep, member.spec.version) == (2, 3)
    origin = member.settings["from"]
    assert (origin["package"], origin["version"], origin["run_only"]) == ("my-package", "1.2", ["pause"])
    (package / "my_package" / "helper.py").write_text("x = 1\n")  # any file of the package may matter
    assert Member.of("mining", {"name": "my-rule"}).settings["from"]["sha256"] != origin["sha256"]


def test_a_package_cannot_take_the_name_of_a_built_in_member(package):
    entry = package / "my_package-1.2.dist-info" / "entry_points.txt"
    entry.write_text("[mdrbench.miners]\ntopk = my_package.rules:MyRule\n")
    with pytest.raises(UsageError, match="two members of mining are called 'topk': built in and package my-package"):
        registry.members("mining")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def broken(:\n", r"SyntaxError"),
        ("x = 1\nimport no_such_module\n", r"my_rule\.py:2: .*ModuleNotFoundError: No module named 'no_such_module'"),
        ("class MyRule:\n    pass\n", r"my_rule\.py: .*one class with `spec = Spec\(\.\.\.\)`; the file has 0"),
        (RULE + "\n\nclass Other(MyRule):\n    spec = MyRule.spec\n", r"the file has 2"),
        ("class MyRule:\n    spec = 5\n", r"has no `spec = Spec\(\.\.\.\)`"),
    ],
)
def test_a_file_without_a_usable_member_says_what_is_wrong(tmp_path, code, said):
    path = tmp_path / "my_rule.py"
    path.write_text(code)
    with pytest.raises(UsageError, match=said):
        Member.of("mining", {"name": str(path)})


def test_a_member_of_a_file_keeps_its_identity_without_its_folder(tmp_path):
    path = tmp_path / "my_rule.py"
    path.write_text(RULE)
    member = Member.of("mining", {"name": str(path), "pause": 3})
    assert member.name == "./my_rule.py"
    assert "pause" not in member.keyed
    assert without_run_only("mining", member.settings) == member.keyed
    assert pickle.loads(pickle.dumps(member)) == member
    assert member.vary(k=7).config.k == 7
    written = member.written
    path.write_text(RULE + "# changed\n")
    with pytest.raises(UsageError, match="is not the code that the recipe was made with"):
        Member.of("mining", written)


def test_the_key_of_a_member_from_outside_leaves_out_what_cannot_change_the_output_of_its_parts(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine."""\n'
        "from mdrbench.core.members import EncoderMember, MemberConfig, RetrieverMembers, Spec\n\n\n"
        "class Config(MemberConfig):\n    encoder: EncoderMember\n    of: RetrieverMembers\n\n\n"
        "class Mine:\n    spec = Spec(Config, version=1)\n"
    )
    dense = {"name": "dense", "encoder": ENCODER, "shard_size": 5}
    member = Member.of("retrievers", {"name": str(path), "encoder": ENCODER, "of": {"a": dense, "name": dense}})
    assert member.settings["from"]["parts"] == {"encoder": "encoders", "of": "retrievers"}
    assert member.keyed["encoder"] == Member.of("encoders", ENCODER).keyed
    assert member.keyed["of"] == dict.fromkeys(("a", "name"), Member.of("retrievers", dense).keyed)
    path.unlink()
    assert without_run_only("retrievers", member.settings) == member.keyed  # a recorded recipe needs no code


def test_the_key_leaves_out_settings_that_cannot_change_the_output():
    member = Member.of("retrievers", {"name": "dense", "encoder": ENCODER, "shard_size": 5})
    assert member.keyed == Member.of("retrievers", {"name": "dense", "encoder": {**ENCODER, "batch_tokens": 9}}).keyed
    assert {"trust_remote_code", "overrides_model"}.isdisjoint(member.keyed["encoder"])  # added later, at their default
    allowed = member.vary(encoder={"trust_remote_code": "abc"})
    assert allowed.keyed["encoder"]["trust_remote_code"] == "abc"
    assert {key: part.name for key, part in member.parts.items()} == {"encoder": "transformer", "index": "exact"}


def test_all_mistakes_of_a_tree_of_members_are_found_at_once():
    parts = {"a": {"name": "bm25", "k1": "x"}, "b": {"name": "dense", "encoder": {"name": "no"}}}
    with pytest.raises(ValidationError) as error:
        Member.of("retrievers", {"name": "hybrid", "of": parts, "depth": 0})
    places = {".".join(map(str, item["loc"])) for item in error.value.errors()}
    assert places == {"of.a.k1", "of.b.encoder.name", "depth"}


@pytest.mark.parametrize("family", [name for name in registry.FAMILIES if name not in ("executors", "datasets")])
def test_the_settings_of_every_member_can_be_shown(family):
    for name in registry.members(family):
        summary, rows = members.described(family, name)
        assert summary
        assert all(set(row) == {"setting", "default", "keyed", "meaning"} for row in rows)


def test_a_setting_is_shown_with_default_meaning_and_whether_it_is_in_the_key():
    _, rows = members.described("judges", "llm")
    by_name = {row["setting"]: row for row in rows}
    assert by_name["model"]["default"] == "required"
    assert (by_name["concurrency"]["default"], by_name["concurrency"]["keyed"]) == ("8", False)
    assert by_name["response_format"]["meaning"].endswith("one of text, json_object, json_schema")
    assert by_name["cutoffs"]["default"] == "[0.5, 0.5]"
    with pytest.raises(UsageError, match="'oracle'"):
        members.described("judges", "oracle")
