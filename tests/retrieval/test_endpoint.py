"""An encoder behind an endpoint of OpenAI's embeddings protocol, served here over HTTP by a local encoder."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest
from support.hub_server import serving
from support.models import TEXTS

from mdrbench.core.errors import SetupError, StepError, UsageError
from mdrbench.core.members import Member


@pytest.fixture
def local(tiny_model):
    lengths = {"pooling": "mean", "normalize": True, "query_length": 32, "passage_length": 32, "precision": "fp32"}
    return Member.of("encoders", {"name": "transformer", "model": str(tiny_model), **lengths}).build()


@pytest.fixture
def server(local):
    asked: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**body, "path": self.path, "key": self.headers["Authorization"]})
            status, answer = (
                200,
                {"object": "list", "model": "tiny-1", "usage": {"prompt_tokens": 1, "total_tokens": 1}},
            )
            if body["model"] != "tiny":
                status, answer = 404, {"error": {"message": "no such model"}}
            else:
                rows = enumerate(local.encode_queries(body["input"]).tolist())
                answer["data"] = [{"object": "embedding", "index": n, "embedding": row} for n, row in rows][::-1]
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with serving(Handler) as (root,):
        yield f"{root}/v1", asked


def endpoint(url: str, **changes):
    given = {"name": "endpoint", "base_url": url, "model": "tiny", "revision": "abc", "dim": 32, "batch_size": 3}
    return Member.of("encoders", {**given, **changes}).build()


def test_embeddings_are_the_servers_in_order_behind_the_prefix(server, local, monkeypatch):
    url, asked = server
    monkeypatch.setenv("MY_KEY", "sesame-sesame")
    mine = endpoint(url, query_prefix="seal ", api_key_env="MY_KEY")
    assert mine.encode_queries(TEXTS) == pytest.approx(local.encode_queries([f"seal {t}" for t in TEXTS]), abs=1e-6)
    assert [len(request["input"]) for request in asked] == [3, 1]
    assert asked[0]["path"] == "/v1/embeddings"
    assert asked[0]["key"] == "Bearer sesame-sesame"
    assert mine.facts()["served"] == ["tiny-1"]
    assert np.array_equal(mine.encode_passages([], print), np.zeros((0, 32)))


def test_the_revision_is_in_the_key_and_the_address_is_not():
    one, other, moved = (
        Member.of("encoders", {"name": "endpoint", "model": "m", "dim": 8, "base_url": url, "revision": revision})
        for url, revision in (("http://a/v1", "1"), ("http://a/v1", "2"), ("http://b/v1", "1"))
    )
    assert one.keyed == moved.keyed != other.keyed
    assert one.build().conventions() == moved.build().conventions()
    assert other.build().conventions()["model_revision"] == "2"


def test_answers_that_do_not_fit_and_servers_that_refuse_are_errors(server, monkeypatch):
    url, _ = server
    with pytest.raises(StepError, match=r"4 embeddings of width \[32\] came for 4 texts") as error:
        endpoint(url, dim=64, batch_size=8).encode_queries(TEXTS)
    assert "set dim" in error.value.mend
    with pytest.raises(SetupError, match=r"answers 404: .*no such model"):
        endpoint(url, model="other").encode_queries(TEXTS)
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(SetupError, match="MY_KEY holds no key"):
        endpoint(url, api_key_env="MY_KEY").encode_queries(TEXTS)


@pytest.mark.medium
def test_an_equal_encoder_changes_no_topic_and_another_one_is_counted(server, tiny_model, maker, store, tmp_path):
    from mdrbench.commands.audit import equivalence

    lengths = {"pooling": "mean", "normalize": True, "query_length": 32, "passage_length": 32, "precision": "fp32"}
    encoders = {
        "local": {"name": "transformer", "model": str(tiny_model), **lengths},
        "served": {"name": "endpoint", "base_url": server[0], "model": "tiny", "revision": "abc", "dim": 32},
        "short": {"name": "transformer", "model": str(tiny_model), **lengths, "truncate_dim": 1},
    }
    names = {name: tmp_path / f"{name}.yaml" for name in encoders}
    for name, encoder in encoders.items():
        names[name].write_text(f"summary: s\nretriever: {json.dumps({'name': 'dense', 'encoder': encoder})}\n")
    maker.whole()
    data = str(maker.root)

    def compared(*chosen: str):
        [row] = equivalence.compare([str(names[name]) for name in chosen], data, "en", "dev", store, quiet=True)
        return row

    same = compared("local", "served")
    assert (same.hits, same.order, same.scores, same.moved) == (0, 0, 0, 0.0)
    assert same.topics == 2
    other = compared("local", "short")
    assert other.hits + other.order > 0
    with pytest.raises(UsageError, match="--encoder was given 1 times"):
        compared("local")
