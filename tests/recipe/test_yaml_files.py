"""Recipes that are hostile, damaged or ambiguous: every mistake is named with its line, never a traceback."""

from __future__ import annotations

import pytest

from mdrbench import recipe
from mdrbench.core.errors import UsageError

GOOD = "summary: mine\nretriever: {name: bm25}\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("retriever: &r\n  name: bm25\n  also: *r\n", 1, "an alias contains itself"),
        ("search: &s [*s]\n", 1, "an alias contains itself"),
        ("summary: x\nsearch: " + "[" * 3000 + "]" * 3000, 2, "nested too deeply"),
        ("search: " + "{a: " * 3000 + "1" + "}" * 3000, 1, "nested too deeply"),
        ("x0: &x0 [a]\n" + "".join(f"x{n + 1}: &x{n + 1} [*x{n}]\n" for n in range(60)), 1, "nested too deeply"),
        ("x0: &x0 [a]\n" + "".join(f"x{n + 1}: &x{n + 1} [{f'*x{n}, ' * 20}]\n" for n in range(20)), None, "values"),
        (GOOD + "seed: " + "9" * 5000 + "\n", 3, "a number of 5000 characters"),
        (GOOD + "seed: 0x" + "f" * 5000 + "\n", 3, "a number of 5002 characters"),
        (GOOD + "evaluation: {confidence: 1" + "0" * 400 + ".0}\n", 3, "a number of 403 characters"),
        (GOOD + "name: 2024-13-45\n", 3, "'2024-13-45' cannot be read as timestamp"),
        (GOOD + "seed: !!int many\n", 3, "'many' cannot be read as int"),
        (GOOD + "seed: !!python/object:os.system x\n", 3, "not valid YAML"),
        (GOOD + "? [a, b]\n: 1\n", 3, "a key must be text, not a list or mapping"),
        (GOOD + "5: 1\n", 3, "a key must be text, not 5"),
        (GOOD + "search: {<<: {depth: 5}}\n", 3, "a key must be text"),
        (GOOD + "on: 1\n", 3, "a key must be text, not on"),
        (GOOD + "seed: 1\nseed: 2\n", 4, r"key 'seed' is given twice \(lines 3 and 4\)"),
        (GOOD + "---\n" + GOOD, 3, "not valid YAML"),
        (GOOD + "search: *nowhere\n", 3, "not valid YAML"),
        (GOOD + "summary: a\tb: c\n", 3, "not valid YAML"),
        (GOOD + "seed: \x07\n", 3, "not valid YAML"),
    ],
)
def test_unreadable_yaml_names_the_line(tmp_path, text, line, said):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"mine\.yaml:{line or '[0-9]+'}: .*{said}"):
        recipe.load(str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD.encode() + "summary: J\xe4rvi\n".encode("latin-1"), r"mine\.yaml:3: byte 0xe4 is not UTF-8"),
        (GOOD.encode("utf-16"), r"mine\.yaml:1: byte 0xff is not UTF-8"),
        (b"", "a recipe is a mapping of keys"),
        (b"# " + b"x" * 1_000_000, "bytes are too many for a recipe"),
    ],
)
def test_unreadable_bytes_are_an_error(tmp_path, content, said):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        recipe.load(str(path))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("search: {depth: yes}", "search.depth (line 3): Input should be a valid integer, not true"),
        ("search: {depth: 10.0}", "search.depth (line 3): Input should be a valid integer, not 10.0"),
        ("search: {depth: '10'}", "search.depth (line 3): Input should be a valid integer, not '10'"),
        ("evaluation: {confidence: .inf}", "evaluation.confidence (line 3): Input should be"),
        ("evaluation: {confidence: .nan}", "evaluation.confidence (line 3): Input should be"),
        ("evaluation: {confidence: no}", "evaluation.confidence (line 3): Input should be a valid number, not false"),
        ("evaluation: {measures: nDCG@10}", "evaluation.measures (line 3): Input should be a valid tuple"),
        ("training: {weights: {alpha: .inf}}", "training.weights.alpha (line 3): Input should be a finite number"),
        ("training: {gradient_checkpointing: 1}", "(line 3): Input should be a valid boolean, not 1"),
        ("training: [1, 2]", "training (line 3): Input should be a valid dictionary"),
        ("seed: -1", "seed (line 3): Input should be greater than or equal to 0, not -1"),
        ("name: 2024-01-01", "name (line 3): Input should be a valid string"),
        ("negatives: {mining: topk}", "negatives.mining (line 3): a mapping with the key `name` is expected"),
        ("negatives: {mining: {name: [topk]}}", "negatives.mining.name (line 3): missing"),
        ("negatives: {mining: {name: topk, k: true}}", "negatives.mining.k (line 3): Input should be a valid integer"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_line(tmp_path, setting, said):
    path = tmp_path / "mine.yaml"
    path.write_text(f"{GOOD}{setting}\n")
    with pytest.raises(UsageError) as error:
        recipe.load(str(path))
    assert said in str(error.value)
    assert len(str(error.value)) < 2000


def test_numbers_are_read_as_people_write_them(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("summary: s\nretriever: {name: bm25, k1: 1e-1, b: 1}\n")
    config = recipe.load(str(path)).retriever.config
    assert (config.k1, config.b) == (0.1, 1.0)


def test_a_hostile_value_of_set_is_an_error_too():
    for value in ("[" * 3000, "&a [*a]", "9" * 5000, "{a: 1, a: 2}", "2024-13-45"):
        with pytest.raises(UsageError, match=r"--set 'search\.depth="):
            recipe.load("bm25", [f"search.depth={value}"])


def test_the_command_line_ends_with_2(cli, tmp_path):
    (tmp_path / "mine.yaml").write_text("summary: &s [*s]\n")
    done = cli("show", "mine.yaml")
    assert done.returncode == 2
    assert "mine.yaml:1: an alias contains itself" in done.stderr
    assert "Traceback" not in done.stderr
