"""A password in the address of an endpoint, through a whole run: no file that is kept, printed or cached holds it."""

from __future__ import annotations

from support.chat_server import ChatServer

from mdrbench import results

RECIPE = """
summary: judged by a language model
retriever: {{name: dense, encoder: {{name: transformer, model: {model}, pooling: mean, normalize: true,
  query_length: 16, passage_length: 32, precision: fp32}}}}
negatives: {{mining: {{name: random, k: 4, depth: 8}}, judge: {{name: llm, model: tiny-chat, concurrency: 2}},
  canaries: {{below: continue}},
  generation: {{name: none}}}}
training: {{steps: 2, batch_size: 4, negatives: 2, learning_rate: 0.01, domains: {{name: none}}, precision: fp32}}
"""


def test_a_password_in_an_address_is_used_and_kept_nowhere(cli, tmp_path, tiny_model):
    (tmp_path / "judged.yaml").write_text(RECIPE.format(model=tiny_model))
    with ChatServer(lambda body: '{"accuracy": 0, "completeness": 0}').running() as server:
        address = server.url.replace("http://", "http://me:hunter22@")
        words = ["judged.yaml", "--data", "sample", "--langs", "sw", "--set", f"negatives.judge.base_url={address}"]
        done = cli("run", *words)
        assert done.returncode == 0, done.stderr
        assert server.requests
    [path] = results.files(tmp_path / "results")
    result = results.read(path)
    assert "base_url=http://***@127.0.0.1" in result.languages["sw"].command
    assert result.system.recipe["negatives"]["judge"]["base_url"].startswith("http://***@127.0.0.1")
    made = result.languages["sw"].negatives
    served = [made[stage]["judge"]["served"]["tiny-chat"] for stage in ("judge", "canaries")]
    assert sum(served) == len(server.requests) - 2  # two asked what the endpoint can do
    assert "hunter22" not in done.stdout + done.stderr
    assert cli("run", *words).returncode == 0  # all is kept, so nobody needs to answer
    assert cli("verify", path).returncode == 0
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"hunter22" not in file.read_bytes(), file
