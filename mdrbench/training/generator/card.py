"""The README of a tuned generator: model, data, and how to serve it."""

from __future__ import annotations

from typing import Any

PREFIX = "mdrbench-generator"

CARD = """# {name}

A LoRA adapter for `{model}` (revision `{revision}`), tuned on {examples} instructions in {languages} languages to write
summaries and queries for `mdrbench`: the multilingual instruction fine-tuning of "Boosting Data Utilization for
Multilingual Dense Retrieval" (Huang et al., EMNLP 2025). Only the adapter's {parameters:,} parameters were trained.

| setting | value |
|---|---|
{settings}

Instructions: `{file}`, SHA-256 `{sha256}`; examples by language: {by_language}. Left out as too long: {too_long}.

Mean loss a token of the outputs, epoch by epoch over {steps} steps: {losses}. `log.jsonl` has every step, `tuning.json`
the environment.

## Serving it

With [vLLM](https://docs.vllm.ai), from the folder of this file:

```
{serve}
```

It answers at `http://localhost:8000/v1`. In a recipe:

```yaml
generation: {{name: back-forward, model: {name}, untuned: {model}, base_url: "http://localhost:8000/v1"}}
```

The name ends in the beginning of this run's identity: answers are kept by the model's name, and another tuning must not
be served under it.
"""


def served_name(record: dict[str, Any]) -> str:
    """Return the adapter's name on a server; every run has another."""
    return f"{PREFIX}-{record['identity'][:8]}"


def card(record: dict[str, Any]) -> str:
    """Return Markdown, from the content of ``tuning.json``."""
    settings, instructions = record["settings"], record["instructions"]
    shown = {key: value for key, value in settings.items() if key not in ("model", "revision")}
    return CARD.format(
        name=served_name(record),
        model=settings["model"],
        revision=settings["revision"],
        examples=instructions["examples"],
        languages=len(instructions["by_language"]),
        parameters=record["trained_parameters"],
        settings="\n".join(f"| {key} | {value} |" for key, value in shown.items()),
        file=instructions["file"],
        sha256=instructions["sha256"],
        by_language=_counts(instructions["by_language"]),
        too_long=_counts(instructions["too_long"]),
        steps=record["steps"],
        losses=", ".join(f"{loss:.4f}" for loss in record["loss_by_epoch"]),
        serve=serve_command(record),
    )


def serve_command(record: dict[str, Any]) -> str:
    """Return vLLM's command: for the merged model if there is one, else for the base model with the adapter."""
    if record["merged"]:
        return f"vllm serve merged --served-model-name {served_name(record)}"
    settings = record["settings"]
    revision = f" --revision {settings['revision']}" if record["model_source"] == "hub" else ""
    return (
        f"vllm serve {settings['model']}{revision} --tokenizer adapter \\\n"
        f"  --enable-lora --max-lora-rank {settings['rank']} --lora-modules {served_name(record)}=adapter"
    )


def _counts(by_language: dict[str, int]) -> str:
    return ", ".join(f"{lang} {count}" for lang, count in by_language.items()) or "none"
