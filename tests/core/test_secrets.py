from __future__ import annotations

import pytest

from mdrbench.core import secrets
from mdrbench.core.errors import SetupError
from mdrbench.core.secrets import published, redact, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pass@host:80/v1?a=b@c", "http://***@host:80/v1?a=b@c"),
        ("negatives.judge.base_url=https://token@host", "negatives.judge.base_url=https://***@host"),
        ("Authorization: Bearer sk-12345678", "Authorization: Bearer ***"),
        ("Basic bWU6aHVudGVyMjI=", "Basic ***"),
        ("https://host/v1?x=1&api_key=zzzz-1234&y=2", "https://host/v1?x=1&api_key=***&y=2"),
        ("x-api-key: 1234567890abcdef", "x-api-key: ***"),
        ("{'password': 'hunter22!'}", "{'password': '***'}"),
        (
            "set api_key_env=OPENAI_API_KEY, max_tokens: 12345678",
            "set api_key_env=OPENAI_API_KEY, max_tokens: 12345678",
        ),
        ("write to me@example.org, see http://host/@me", "write to me@example.org, see http://host/@me"),
        ("Basic principles of Bearer bonds", "Basic *** of Bearer bonds"),
    ],
)
def test_secrets_of_urls_and_headers_are_hidden(text, shown):
    assert redact(text) == shown


def test_values_of_variables_that_hold_keys_are_hidden_whole_and_quoted(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "a+b/c=12345")
    monkeypatch.setenv("OTHER_TOKEN", "a+b/c=12345-longer")
    monkeypatch.setenv("SHORT_KEY", "the")
    assert redact("the a+b/c=12345-longer, a%2Bb%2Fc%3D12345 and a+b/c=12345.") == "the ***, *** and ***."


def test_a_remembered_secret_is_hidden_whatever_its_variable(monkeypatch):
    monkeypatch.setattr(secrets, "_remembered", set())
    secrets.remember("my-own-password")
    assert redact("it is my-own-password") == "it is ***"


def test_nested_values_and_fields_of_secrets_are_hidden():
    value = {"judge": {"base_url": "http://a:b@c", "extra": {"api_key": "x", "n": 1}}, "changes": ["u=http://a:b@c"]}
    assert redacted(value) == {
        "judge": {"base_url": "http://***@c", "extra": {"api_key": "***", "n": 1}},
        "changes": ["u=http://***@c"],
    }


def test_every_error_is_redacted():
    error = SetupError("no http://a:b@c", where="http://a:b@c", mend="try http://a:b@c")
    assert str(error) == "http://***@c: no http://***@c\n  mend: try http://***@c"


def test_addresses_in_private_networks_are_not_published():
    recipe = {
        "judge": {"base_url": "http://10.2.3.4:8000/v1"},
        "other": ["https://gpu7:1/v1", "http://localhost:8091/v1"],
    }
    assert published(recipe) == {
        "judge": {"base_url": "http://private/v1"},
        "other": ["https://private/v1", "http://localhost:8091/v1"],
    }
    assert published("--set x.base_url=http://gpu.internal/v1 y=https://api.openai.com/v1") == (
        "--set x.base_url=http://private/v1 y=https://api.openai.com/v1"
    )
