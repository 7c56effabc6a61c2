"""How often each check of generated queries refuses real questions: wiki16's own training questions, per language.

    python benchmarks/generation_checks.py ../shared/data/wiki16

Each check should refuse at most 1% in each language. A near copy is one of an earlier question that the same passage
answers, so that column also counts questions that people asked twice. The last line tells how many English and Spanish
questions the language check finds where Swahili is wanted, and how many Persian ones where Arabic is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats import groups, trec
from mdrbench.negatives.generation import _checks, back_forward

CHECKS = ("language", "statement", "long", "echo", "duplicate", "near copy")


def refused(text: str, lang: str, passage: str, seen: set[str], others: list[str]) -> list[str]:
    """The checks that refuse a question; ``others`` are the earlier questions that the same passage answers."""
    found = {
        "language": not back_forward.in_script(text, lang) or _checks.other_language(text, lang) is not None,
        "statement": _checks.is_statement(text),
        "long": len(text) > back_forward.Config(model="x").max_query_chars,
        "echo": back_forward.repeats(text, back_forward.INSTRUCTIONS)
        or back_forward.repeats(text, passage, back_forward.OF_SUMMARY),
        "duplicate": back_forward.words_of(text) in seen,
        "near copy": any(back_forward.similar(text, other) for other in others),
    }
    seen.add(back_forward.words_of(text))
    return [check for check in CHECKS if found[check]]


def main() -> None:
    """Print a row of a Markdown table for each language."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--most", type=int, default=3000, help="questions of a language")
    args = parser.parse_args()
    dataset = MiraclFolder("wiki16", args.data)
    questions = {}
    print(f"| | questions | {' | '.join(CHECKS)} |\n|{'---|' * (len(CHECKS) + 2)}")
    for lang in dataset.languages():
        topics = trec.read_topics(dataset.topics_file(lang, "train"))
        qrels = trec.read_qrels(dataset.qrels_file(lang, "train"))
        firsts = {
            qid: next(docid for docid, grade in qrels[qid].items() if grade > 0)
            for qid in list(topics)[: args.most]
            if any(qrels.get(qid, {}).values())
        }
        texts = groups.passages(set(firsts.values()), dataset.passages(lang))
        questions[lang] = [back_forward.clean(topics[qid], one_line=True) for qid in firsts]
        seen: set[str] = set()
        of_passage: dict[str, list[str]] = {}
        counts = dict.fromkeys(CHECKS, 0)
        for text, docid in zip(questions[lang], firsts.values(), strict=True):
            others = of_passage.setdefault(docid, [])
            for check in refused(text, lang, texts[docid].text, seen, others):
                counts[check] += 1
            others.append(text)
        shares = " | ".join(f"{100 * counts[check] / len(firsts):.2f}" for check in CHECKS)
        print(f"| {lang} | {len(firsts)} | {shares} |", flush=True)
    caught = []
    for source, wanted in (("en", "sw"), ("es", "sw"), ("fa", "ar")):
        if source in questions:
            found = sum(_checks.other_language(text, wanted) is not None for text in questions[source])
            caught.append(f"{source} as {wanted} {found / len(questions[source]):.3f}")
    print(f"found: {', '.join(caught)}")


if __name__ == "__main__":
    main()
