"""Write corpora of made-up words with MIRACL's counts and lengths, a stub model and a recipe for them.

    python benchmarks/simulated_miracl/write_corpora.py FOLDER [--scale 0.01] [--langs sw,te]

FOLDER/data is a data set in MIRACL's layout: at scale 0.01 900,000 passages in 16 languages and in as many shards as
MIRACL has. FOLDER/model is a BERT of one layer and width 64 with random weights, FOLDER/simulated.yaml a recipe that
mines with it, judges, trains it and ranks with it, FOLDER/article_judge.py its judge. The words are made up of letters
of each language's script and occur with Zipf's frequencies, so sizes and times are MIRACL's and scores mean nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdrbench.core.languages import ALL, LANGUAGES
from mdrbench.data.datasets.miracl import PASSAGES, QUERIES, SHARDS

LENGTHS = {
    **{"ar": (6.36, 0.49), "bn": (6.36, 0.40), "en": (6.45, 0.55), "es": (6.20, 0.58), "fa": (5.95, 0.65)},
    **{"fi": (6.27, 0.41), "fr": (6.06, 0.68), "hi": (6.09, 0.61), "id": (6.24, 0.54), "ja": (5.44, 0.53)},
    **{"ko": (5.41, 0.65), "ru": (6.40, 0.50), "sw": (5.87, 0.65), "te": (6.35, 0.50), "zh": (4.92, 0.67)},
    "th": (6.35, 0.50),
}
"""Mean and standard deviation of the logarithm of a passage's characters, measured on 1,727 to 4,931 passages of MIRACL
in each language. Thai was not measured and has the lengths of Telugu."""

LETTERS = {
    "Arab": ("بتثجحخدذرزسشصضطظعغفقكلمنه", "اوي"),
    "Beng": ("কখগঘচছজটডতথদধনপফবভমযরলশসহ", "ািীুূেো"),
    "Latn": ("bcdfghjklmnprstvwz", "aeiou"),
    "Deva": ("कखगघचछजटडतथदधनपफबभमयरलवशसह", "ािीुूेो"),
    "Cyrl": ("бвгджзклмнпрстфхцчш", "аеиоуыя"),
    "Telu": ("కఖగఘచజటడతదధనపఫబభమయరలవశసహ", "ాిీుూెొ"),
    "Thai": ("กขคงจชดตถทธนบปผพมยรลวสห", "ะาิีุู"),
    "Hans": (
        "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年",
        "得就那要下以生会自着去之过家学对可她里后",
    ),
    "Jpan": ("日一国会人年大十二本中長出三同時政事自行社見月分議後前民生", "のにはをたがでてとしれさ"),
    "Kore": ("가나다라마바사아자차카타파하거너더러머버서어저처", "고노도로모보소오조초코토"),
}
"""First and second letters of a syllable by script."""

WORDS = 8000
PASSAGES_AN_ARTICLE = 6
JUDGED_ZEROS = 7

RECIPE = """\
# The boosted method on a stub model and corpora of made-up words: all stages, no sensible scores.
extends: boosted
summary: all stages of the boosted method on corpora of made-up words
published: null
retriever:
  encoder:
    model: {model}
    source: local
    precision: fp32
    query_length: 32
    passage_length: 48
negatives:
  mining: {{name: topk, k: 40, depth: 40}}
  judge: {{name: ./article_judge.py}}
  generation: {{name: first-sentence}}
  size: 40
  canaries: {{below: continue}}
training:
  domains: {{name: kmeans, k: 4}}
  batch_size: 16
  epochs: 1
  negatives: 3
  learning_rate: 1.0e-3
  precision: fp32
"""

JUDGE = '''\
"""Passages of the positive's article are relevant, others are not: a stub that needs no model."""

from mdrbench.core.members import NoSettings, Spec
from mdrbench.negatives.judges._local import FREE, Tally


class ArticleJudge:
    spec = Spec(NoSettings, version=1)
    reference = "needed"

    def __init__(self, config):
        self._tally = Tally()

    def prepare(self, say):
        pass

    def conventions(self):
        return {"judge": "article"}

    def estimate(self, pairs):
        return FREE

    def judge(self, pairs, progress):
        for done, pair in enumerate(pairs, 1):
            same = pair.passage.docid.partition("#")[0] == pair.reference.docid.partition("#")[0]
            yield self._tally.verdict(pair, accuracy=2 * same, completeness=2 * same)
            progress(done)

    def facts(self):
        return self._tally.facts()
'''


class Vocabulary(NamedTuple):
    """Words of a language, the most frequent first, their cumulative frequencies and their mean length."""

    words: np.ndarray
    cumulative: np.ndarray
    length: float

    def draw(self, rng: np.random.Generator, count: int) -> list[str]:
        """Draw words by their frequencies."""
        found: list[str] = self.words[np.searchsorted(self.cumulative, rng.random(count))].tolist()
        return found

    def rare(self, rng: np.random.Generator, count: int) -> list[str]:
        """Draw words of the rarer half."""
        found: list[str] = self.words[rng.integers(WORDS // 2, WORDS, count)].tolist()
        return found


def vocabulary(lang: str) -> Vocabulary:
    """Make the words of a language: two to four syllables, in Chinese and Japanese one."""
    rng = np.random.default_rng(list(lang.encode()))
    script = LANGUAGES[lang].script
    syllables = ["".join(pair) for pair in product(*LETTERS[script])]
    longest = 2 if script in ("Hans", "Jpan", "Kore") else 4
    words: dict[str, None] = {}
    while len(words) < WORDS:
        words["".join(rng.choice(syllables, rng.integers(2, longest + 1)))] = None
    weights = 1 / np.arange(1, WORDS + 1)
    cumulative = np.cumsum(weights / weights.sum())
    cumulative[-1] = 1.0
    lengths = np.array([len(word) + 1 for word in words])
    return Vocabulary(np.array(list(words), dtype=object), cumulative, float(lengths @ weights / weights.sum()))


def passages(lang: str, count: int) -> Iterator[dict[str, str]]:
    """Yield passages. Those of an article share a title, and two rare words in every passage."""
    rng = np.random.default_rng([1, *lang.encode()])
    words = vocabulary(lang)
    mean, deviation = LENGTHS[lang]
    article, title = -1, ""
    for number in range(count):
        if number % PASSAGES_AN_ARTICLE == 0:
            article, title = article + 1, " ".join(words.rare(rng, 2))
        characters = min(4000.0, max(20.0, rng.lognormal(mean, deviation)))
        text = " ".join([*title.split(), *words.draw(rng, max(1, round(characters / words.length) - 2))])
        yield {"docid": f"{article}#{number % PASSAGES_AN_ARTICLE}", "title": title, "text": f"{text}."}


def write_language(root: Path, lang: str, scale: float) -> int:
    """Write corpus, topics and qrels of a language; return the number of passages."""
    count = max(PASSAGES_AN_ARTICLE * 20, round(PASSAGES[lang] * scale))
    folder = root / f"miracl-corpus/miracl-corpus-v1.0-{lang}"
    folder.mkdir(parents=True)
    a_shard = -(-count // SHARDS[lang])
    queries = {split: max(8, round(of[lang] * scale)) for split, of in QUERIES.items() if lang in of}
    rng = np.random.default_rng([2, *lang.encode()])
    chosen = np.sort(rng.choice(count, sum(queries.values()), replace=False)).tolist()
    asked: list[tuple[str, str]] = []  # query, docid
    stream = passages(lang, count)
    for shard in range(SHARDS[lang]):
        with gzip.open(folder / f"docs-{shard}.jsonl.gz", "wt", encoding="utf-8", compresslevel=6) as file:
            for number in range(shard * a_shard, min(count, (shard + 1) * a_shard)):
                passage = next(stream)
                file.write(json.dumps(passage, ensure_ascii=False) + "\n")
                if len(asked) < len(chosen) and number == chosen[len(asked)]:
                    own = passage["text"].rstrip(".").split()
                    words = [*passage["title"].split(), *rng.choice(own, min(4, len(own)), replace=False).tolist()]
                    asked.append((" ".join(words), passage["docid"]))
    articles = -(-count // PASSAGES_AN_ARTICLE)
    order = rng.permutation(len(asked)).tolist()
    for split, many in queries.items():
        of_split, order = order[:many], order[many:]
        topics, qrels = [], []
        for at in sorted(of_split):
            query, positive = asked[at]
            topics.append(f"{at}\t{query}")
            zeros = {f"{article}#0" for article in rng.integers(0, articles, JUDGED_ZEROS).tolist()} - {positive}
            qrels += [f"{at}\tQ0\t{positive}\t1", *(f"{at}\tQ0\t{docid}\t0" for docid in sorted(zeros))]
        for kind, lines in (("topics", topics), ("qrels", qrels)):
            path = root / f"miracl/miracl-v1.0-{lang}/{kind}/{kind}.miracl-v1.0-{lang}-{split}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return count


def write_model(folder: Path, langs: list[str], width: int = 64, positions: int = 64) -> None:
    """Write a BERT of one layer with random weights and a tokenizer that knows all words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    words = dict.fromkeys([*special.values(), *(word for lang in langs for word in vocabulary(lang).words)])
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 2 * width}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=positions, **size)).save_pretrained(folder)


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=0.01, help="share of MIRACL's passages and queries")
    parser.add_argument("--langs", default=",".join(ALL))
    given = parser.parse_args()
    langs = given.langs.split(",")
    shutil.rmtree(given.folder / "data", ignore_errors=True)
    began, total = time.perf_counter(), 0
    for lang in langs:
        total += write_language(given.folder / "data", lang, given.scale)
    write_model(given.folder / "model", langs)
    (given.folder / "simulated.yaml").write_text(RECIPE.format(model=(given.folder / "model").absolute()))
    (given.folder / "article_judge.py").write_text(JUDGE)
    size = sum(path.stat().st_size for path in (given.folder / "data").rglob("*.gz"))
    print(f"{total:,} passages, {size / 1e6:,.0f} MB compressed, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
