"""Instructions for tuning a generator: reading, chat template, padding into batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mdrbench.core.errors import DataError, did_you_mean
from mdrbench.core.languages import CODE, LANGUAGES, SURPRISE
from mdrbench.formats import jsonl

if TYPE_CHECKING:
    import torch

ALPACA = (
    "{%- if bos_token is defined %}{{- bos_token }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message['role'] == 'assistant' %}{{- message['content'] + eos_token }}"
    "{%- elif message['role'] == 'system' %}{{- message['content'] + '\n\n' }}"
    "{%- else %}{{- 'Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\n' + message['content'] + '\n\n### Response:\n' }}{%- endif %}"
    "{%- endfor %}"
)
"""Alpaca's prompt as a chat template for a base model without one, so that servers render the trained prompt."""


class Instruction(NamedTuple):
    """One line of the instruction file; ``input`` may be empty."""

    instruction: str
    input: str
    output: str
    lang: str


class Example(NamedTuple):
    """Token ids of prompt and output; the loss is taken from ``start`` on."""

    ids: list[int]
    start: int


def read_instructions(path: Path) -> list[Instruction]:
    """Read the instructions of a JSON Lines file with the keys instruction, input, output, lang; ignore further keys.

    Raises:
        DataError: with file and line, if a key is missing, empty or of another type, or a language is unknown.
    """
    found = []
    for where, record in jsonl.records(path, dict.fromkeys(Instruction._fields, str)):
        row = Instruction(*(record[name] for name in Instruction._fields))
        for name in ("instruction", "output"):
            if not getattr(row, name).strip():
                raise DataError(f"'{name}' is empty", where=where, mend="write it or drop the line")
        if not CODE.fullmatch(row.lang):
            mend = did_you_mean(row.lang, [*LANGUAGES, *SURPRISE])
            raise DataError(f"unknown language '{row.lang}'", where=where, mend=mend)
        found.append(row)
    if not found:
        raise DataError("the file holds no instruction", where=str(path), mend="write one JSON object per line")
    return found


def encode(
    rows: list[Instruction], tokenizer: Any, max_length: int, say: Callable[[str], None] = lambda text: None
) -> tuple[list[Example], Counter[str]]:
    """Return token ids as a chat server will see them, and how many examples were too long, by language.

    The prompt is the chat template's, up to the start of the answer; a tokenizer without template gets
    :data:`ALPACA`. Prompt and answer are tokenised separately, because a server sees the prompt alone.
    """
    if tokenizer.eos_token is None:
        raise DataError("the tokenizer has no end token", where=tokenizer.name_or_path, mend="choose another model")
    if not tokenizer.chat_template:
        say("the tokenizer has no chat template: Alpaca's prompt is used and saved with the adapter")
        tokenizer.chat_template = ALPACA
    examples: list[Example] = []
    too_long: Counter[str] = Counter()
    for row in rows:
        asked = [{"role": "user", "content": f"{row.instruction}\n\n{row.input}" if row.input else row.instruction}]
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        answered = [*asked, {"role": "assistant", "content": row.output}]
        whole = tokenizer.apply_chat_template(answered, tokenize=False)
        # some templates drop or add reasoning marks around a past answer: then the bare answer and its end are trained
        answer = whole.removeprefix(prompt) if whole.startswith(prompt) else row.output + tokenizer.eos_token
        head = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = head + tokenizer(answer, add_special_tokens=False)["input_ids"]
        if len(ids) > max_length:
            too_long[row.lang] += 1
        else:
            examples.append(Example(ids, len(head)))
    if too_long:
        counts = ", ".join(f"{lang} {n}" for lang, n in sorted(too_long.items()))
        say(f"{too_long.total()} of {len(rows)} examples are longer than {max_length} tokens and left out: {counts}")
    if not examples:
        raise DataError(f"no example has {max_length} tokens or fewer", mend="raise --max-length")
    return examples, too_long


def described(path: Path, sha256: str, rows: list[Instruction], too_long: Counter[str]) -> dict[str, Any]:
    """Return the instruction file and how much of it was used, by language."""
    used = Counter(row.lang for row in rows) - too_long
    return {
        "file": path.name,
        "sha256": sha256,
        "examples": used.total(),
        "by_language": dict(sorted(used.items())),
        "too_long": dict(sorted(too_long.items())),
    }


def collate(batch: list[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, attention mask and labels of shape (B, L), padded at the end; labels are -100 outside the outputs."""
    import torch

    length = max(len(example.ids) for example in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        mask[row, : len(example.ids)] = 1
        labels[row, example.start : len(example.ids)] = ids[row, example.start : len(example.ids)]
    return ids, mask, labels
