"""Agreement of judges with the human labels of a data set's training pairs, their trial on known pairs, and their cost.

    python benchmarks/judges.py ../shared/data/wiki16 --base-url http://localhost:8091/v1 --model smollm2-135m-instruct

A language model by text, by schema and by log probability (if ``--base-url`` is given), me5-small as bi-encoder, and a
cross-encoder of random weights as the floor. Prints a Markdown table by judge and language.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from mdrbench.commands import negatives, run
from mdrbench.core.store import Store
from mdrbench.hub import models
from mdrbench.negatives import canaries
from mdrbench.negatives.agreement import Agreement, pooled
from mdrbench.pipeline.plan.negatives import canaries_step
from mdrbench.pipeline.plan.planner import Planner

TEACHER = {
    **{"name": "transformer", "model": "me5-small", "pooling": "mean", "normalize": True},
    **{"query_prefix": "query: ", "passage_prefix": "passage: ", "query_length": 64, "passage_length": 128},
}


def random_cross_encoder(folder: Path) -> Path:
    """Save a small cross-encoder with random weights and me5-small's vocabulary."""
    import torch
    from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(models.require("me5-small", None, "auto").path)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = XLMRobertaConfig(vocab_size=len(tokenizer), num_labels=1, max_position_embeddings=514, **size)
    XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def judges(args: argparse.Namespace, scratch: Path) -> dict[str, dict[str, Any]]:
    """The judges to compare: label -> settings."""
    found: dict[str, dict[str, Any]] = {
        "bi-encoder me5-small": {"name": "bi-encoder", "encoder": TEACHER},
        "random cross-encoder": {
            "name": "cross-encoder", "model": str(random_cross_encoder(scratch / "random")), "cutoffs": [0.5, 0.5]
        },
    }  # fmt: skip
    if args.base_url:
        model = {
            "name": "llm",
            "model": args.model,
            "base_url": args.base_url,
            "store": str(scratch / "answers.sqlite"),
        }
        model |= {"concurrency": 1, "timeout_s": 600, "passage_chars": args.passage_chars, "reasks": 0}
        found["model, text"] = {**model, "response_format": "text", "check_model": False}
        found["model, schema"] = {**model, "response_format": "json_schema"}
        found["model, logprob"] = {**model, "answer": "logprob"}
    return found


def measure(settings: dict[str, Any], args: argparse.Namespace, scratch: Path, label: str) -> None:
    """Print the rows of one judge."""
    store = Store(scratch / "store")
    path = scratch / "judge.yaml"
    section = {
        "mining": {"name": "topk"},
        "judge": settings,
        "canaries": {"questions": args.questions, "below": "continue"},
    }
    head = {"name": "judges", "summary": "x", "retriever": {"name": "bm25"}, "negatives": section}
    path.write_text(json.dumps(head), encoding="utf-8")
    inputs = run.load_inputs([str(path)], str(args.data), args.langs, "train", [])
    [recipe] = inputs.recipes
    run.prepare_negatives(recipe)
    begun = time.monotonic()
    steps, trials = [], {}
    for lang in inputs.languages:
        planner = Planner(inputs.dataset, lang, store)
        if (step := canaries_step(recipe, planner)) is not None:
            trials[lang] = step
        steps += planner.steps.values()
    tried, error = run.try_judges([run.Trial(recipe, trials, steps, list(trials.values()))], store, True)
    if error:
        raise error
    facts = {lang: tried.artifacts[step.ref].facts for lang, step in trials.items()}
    outcomes = canaries.decide(facts, recipe.negatives.canaries.threshold if recipe.negatives else 0.5)
    rows, error = negatives.agreement(str(path), str(args.data), args.langs, [], args.pairs, store, quiet=True)
    if error:
        raise error
    seconds = time.monotonic() - begun
    tables = {lang: Agreement(*(row[name] for name in Agreement._fields)) for lang, row in rows.items()}
    for lang, table in [*tables.items(), ("all", pooled(tables.values()))]:
        trial = outcomes[lang].verdict if lang in outcomes else ""
        found = canaries.statistic([facts[lang]] if lang in facts else facts.values())
        kappa = "-" if table.kappa is None else f"{table.kappa:.2f}"
        zeros = table.judge_only + table.neither
        print(f"| {label} | {lang} | {table.n} | {zeros} | {kappa} | {found or 0:.2f} {trial} |", flush=True)
    asked = [row["judge"] for row in [*rows.values(), *facts.values()]]
    total = {name: sum(row.get(name, 0) for row in asked) for name in ("requests", "input_tokens", "output_tokens")}
    print(f"<!-- {label}: {total}, {seconds:.0f} s -->", flush=True)


def main() -> None:
    """Measure all judges."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--langs", default="all")
    parser.add_argument("--pairs", type=int, default=50, help="judged pairs of a language")
    parser.add_argument("--questions", type=int, default=10, help="questions of a language in the trial")
    parser.add_argument("--base-url")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--passage-chars", type=int, default=1000)
    parser.add_argument("--only", help="measure the judges whose label contains this")
    args = parser.parse_args()
    print("| judge | | pairs | zeros | kappa | trial |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for label, settings in judges(args, scratch).items():
            if not args.only or args.only in label:
                measure(settings, args, scratch, label)


if __name__ == "__main__":
    main()
