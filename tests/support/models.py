"""Tiny models for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

TEXTS = ["a lake", "the ringed seal of the largest lake in finland lives in fresh water", "seal", "inari"]


def save_tokenizer(folder) -> int:
    """Save a word-level tokenizer of the words below, and return the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({w for text in [*TEXTS, "query : passage largest in finland where does"] for w in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return len(vocabulary)


SIZES = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
OWN_SIZES = {
    "Qwen3": {"num_key_value_heads": 1, "head_dim": 16},
    "Gemma3Text": {
        **{"num_key_value_heads": 1, "head_dim": 16, "use_bidirectional_attention": True},
        **{"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    },
    "ModernBert": {"local_attention": 8, "global_attn_every_n_layers": 2, "cls_token_id": 2, "sep_token_id": 3},
}
"""What an architecture needs beside :data:`SIZES`; windows are shorter than the texts."""


def save_random(to: Path, architecture: str) -> Path:
    """A two-layer model of a class of transformers (``Qwen3``) with random weights and the tests' tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    size = SIZES | {"bos_token_id": 2, "eos_token_id": 3} | OWN_SIZES.get(architecture, {})
    config = getattr(transformers, f"{architecture}Config")(vocab_size=save_tokenizer(to), **size)
    getattr(transformers, f"{architecture}Model")(config).save_pretrained(to)
    return to


def save_bag_of_words(folder: Path, texts: Iterable[str], width: int = 256) -> Path:
    """Save a checkpoint that averages random word vectors, without the most frequent words: a rough retriever.

    Its vocabulary is that of ``texts``.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": width, "num_hidden_layers": 0, "num_attention_heads": 2, "intermediate_size": width}
    model = BertModel(BertConfig(vocab_size=tokenizer.get_vocab_size(), pad_token_id=0, initializer_range=1.0, **size))
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[:150] = 0  # ids are in the order of frequency
        model.embeddings.position_embeddings.weight[:] = 0
        model.embeddings.token_type_embeddings.weight[:] = 0
    model.save_pretrained(folder)
    return folder


def save_words_recipe(path: Path, model: Path) -> str:
    """Save a recipe of that checkpoint. A prefix that is applied twice, or not at all, changes every score."""
    encoder = {
        **{"name": "transformer", "model": str(model), "precision": "fp32", "pooling": "mean"},
        **{"normalize": True, "query_prefix": "query: ", "passage_prefix": "passage: "},
        **{"query_length": 32, "passage_length": 128},
    }
    path.write_text(f"summary: words\nretriever: {json.dumps({'name': 'dense', 'encoder': encoder})}\n")
    return str(path)
