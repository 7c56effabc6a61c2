"""A dense recipe's encoder handed to mteb.

The encoder does everything itself: prefixes, lengths, pooling, normalisation. mteb tells it queries from documents by
the prompt type; mteb's own prompts are never added. Scores are the inner product, as in our own search, of float32
embeddings (ours are stored as float16), and the search is exact whatever the recipe's index.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench import recipe
from mdrbench.commands.mteb.tasks import load_mteb
from mdrbench.core import console, registry
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

WINDOW = 16_384
"""Passages encoded at once."""

SAID_ELSEWHERE = ("model", "model_revision", "torch", "transformers")
"""Conventions that mteb notes in other places: name and revision, and versions in ``run_settings.jsonl``."""


class MtebEncoder:
    """A recipe's encoder under mteb's ``EncoderProtocol``.

    Args:
        encoder: a member of the encoders family (:class:`mdrbench.retrieval.encoders.Encoder`).
        recipe: the recipe that names it; its ``title_separator`` joins title and text.
        progress: called with the documents encoded so far, and their number.
    """

    def __init__(self, encoder: Any, recipe: Recipe, progress: Callable[[int, int], None] = lambda done, of: None):
        self.encoder = encoder
        self.recipe = recipe
        self.separator = recipe.retriever["title_separator"]
        self.progress = progress

    @cached_property
    def mteb_model_meta(self) -> Any:
        """mteb's ModelMeta; ``loader_kwargs`` holds all that decides an embedding."""
        from mteb.models.model_meta import ModelMeta

        conventions = self.encoder.conventions()
        name, revision = identity(conventions, self.recipe)
        unknown = "release_date languages n_parameters memory_usage_mb license open_weights public_training_code"
        return ModelMeta(
            **dict.fromkeys([*unknown.split(), "public_training_data", "training_datasets", "loader"]),
            name=name,
            revision=revision,
            loader_kwargs={
                **{key: value for key, value in conventions.items() if key not in SAID_ELSEWHERE},
                "title_separator": self.separator,
            },
            max_tokens=conventions.get("passage_length"),
            embed_dim=conventions.get("dim"),
            framework=["PyTorch"],
            similarity_fn_name="cosine" if conventions.get("normalize") else "dot",
            use_instructions=bool(conventions.get("query_prefix") or conventions.get("passage_prefix")),
        )

    def encode(self, inputs: Any, *, prompt_type: Any = None, **_: Any) -> np.ndarray:
        """Float32 embeddings of shape (texts, dim), in order.

        Args:
            inputs: a DataLoader of batches, mappings with the list ``text``; documents may have ``title`` and ``body``.
            prompt_type: ``query`` or ``document``.
        """
        import numpy as np

        if prompt_type not in ("query", "document"):
            raise UsageError("the task does not tell queries from documents", mend="give a retrieval task")
        if prompt_type == "query":
            return self.encoder.encode_queries([text for batch in inputs for text in batch["text"]])
        total, done = len(inputs.dataset), 0
        documents, parts = self._documents(inputs), []
        while window := list(islice(documents, WINDOW)):
            start = done
            parts.append(self.encoder.encode_passages(window, lambda n, start=start: self.progress(start + n, total)))
            done += len(window)
        return np.concatenate(parts)

    def _documents(self, inputs: Any) -> Iterator[str]:
        for batch in inputs:
            if "title" not in batch or "body" not in batch:
                yield from batch["text"]
                continue
            for title, body in zip(batch["title"], batch["body"], strict=True):
                yield f"{title}{self.separator}{body}" if title else body

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Inner products, shape (n, m), of embeddings of shapes (n, dim) and (m, dim)."""
        from mteb.similarity_functions import dot_score

        return dot_score(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Inner products, shape (n,), of embeddings of shape (n, dim) each."""
        from mteb.similarity_functions import pairwise_dot_score

        return pairwise_dot_score(embeddings1, embeddings2)


def identity(conventions: dict[str, Any], recipe: Recipe) -> tuple[str, str]:
    """``ORG/NAME`` and revision; ``local/FOLDER`` of a local model, ``mdrbench/RECIPE`` where there is no model."""
    name = conventions.get("model")
    if not name:
        return f"mdrbench/{recipe.name}", recipe.digest[:40]
    if conventions.get("model_source") == "local" or "/" not in name:
        name = f"local/{Path(name).name}"
    return name, str(conventions.get("model_revision")).replace(":", "-")


def load_encoder(name: str, overrides: list[str], progress: Callable[[int, int], None]) -> MtebEncoder:
    """The encoder of a dense recipe, its model fetched where it is not here yet.

    Raises:
        UsageError: the recipe retrieves otherwise.
    """
    loaded = recipe.load(name, overrides)
    if (retriever := loaded.retriever["name"]) != "dense":
        raise UsageError(
            f"'{loaded.name}' retrieves with {retriever}; mteb is handed an encoder",
            mend="give a recipe whose retriever is `dense`",
        )
    dense = registry.build("retrievers", loaded.retriever)
    dense.prepare(console.say)
    return MtebEncoder(dense.encoder, loaded, progress)


def evaluate(encoder: MtebEncoder, task: Any, out: Path, predictions: Path | None = None) -> Path:
    """Let mteb evaluate one task and write its results under ``out``; returns the TaskResult's path.

    What is there of the same model, conventions and data is kept, and the missing languages are added.

    Raises:
        UsageError: what is there was made otherwise.
        SetupError: the data of one of mteb's tasks cannot be loaded.
    """
    mteb = load_mteb()
    cache = mteb.ResultCache(out)
    meta = encoder.mteb_model_meta
    path = cache.get_task_result_path(task.metadata.name, meta)
    found = _same_as_there(path, task, meta)
    missing = found is None or found.get_missing_evaluations(task)
    if missing:
        try:
            task.load_data()
        except (OSError, ValueError, RuntimeError) as error:
            raise SetupError(
                f"{task.metadata.name} cannot be loaded: {type(error).__name__}: {error}",
                mend="mteb fetches its data from the hub: check the network, HF_ENDPOINT and HF_TOKEN; or use --data",
            ) from error
    try:
        mteb.evaluate(
            encoder,
            task,
            cache=cache,
            co2_tracker=False,
            show_progress_bar=False,
            encode_kwargs={"batch_size": 1024, "show_progress_bar": False},
            prediction_folder=predictions,
        )
    finally:
        if task.data_loaded:
            task.unload_data()
    return path


def _same_as_there(path: Path, task: Any, meta: Any) -> Any:
    """The TaskResult that is there, None where there is none; a UsageError where it cannot be added to."""
    from mteb import TaskResult

    if not path.exists():
        return None
    mend = "give another folder with --out, or remove this file"
    try:
        found = TaskResult.from_disk(path)
    except (ValueError, OSError) as error:
        raise DataError(f"no TaskResult of mteb: {error}", where=str(path), mend=mend) from None
    if found.dataset_revision != task.metadata.revision:
        raise UsageError(
            f"holds results on other data ({found.dataset_revision[:15]}, not {task.metadata.revision[:15]})",
            where=str(path),
            mend=f"{mend}; all languages of a folder go into one run",
        )
    kept = _read_meta(path.with_name("model_meta.json"))
    if changed := sorted(k for k, v in meta.loader_kwargs.items() if kept.get(k) != v):
        raise UsageError(f"holds results made with another {', '.join(changed)}", where=str(path), mend=mend)
    return found


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("loader_kwargs") or {}
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), mend="give another folder with --out") from None
