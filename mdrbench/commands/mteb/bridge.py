"""Evaluate the encoder of a dense recipe with mteb.

The encoder adds prefixes, cuts, pools and normalises. mteb's prompt type distinguishes queries from documents; mteb's
prompts are never added. Scores are inner products of float32 embeddings (mdrbench stores float16), and the search is
exact, whatever index the recipe names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench import recipe
from mdrbench.commands.mteb.tasks import load_mteb
from mdrbench.core import console
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

    from mdrbench.retrieval.encoders import Encoder

WINDOW = 16_384
"""How many passages are encoded at once."""

RECORDED_ELSEWHERE = ("model", "model_revision", "torch", "transformers")
"""Conventions that mteb records elsewhere: name and revision, and versions in ``run_settings.jsonl``."""


class MtebEncoder:
    """A recipe's encoder under mteb's ``EncoderProtocol``.

    Args:
        encoder: a member of the encoders family (:class:`mdrbench.retrieval.encoders.Encoder`).
        recipe: the recipe that names it; its ``title_separator`` joins title and text.
        progress: called with the documents encoded so far, and their number.
    """

    def __init__(self, encoder: Encoder, recipe: Recipe, progress: Callable[[int, int], None] = lambda done, of: None):
        self.encoder: Encoder = encoder
        self.recipe = recipe
        self.separator = recipe.retriever.config.title_separator
        self.progress = progress

    @cached_property
    def mteb_model_meta(self) -> Any:
        """mteb's ModelMeta. ``loader_kwargs`` holds every setting that affects an embedding."""
        from mteb.models.model_meta import ModelMeta

        conventions = self.encoder.conventions()
        name, revision = identity(conventions, self.recipe)
        unknown = "release_date languages n_parameters memory_usage_mb license open_weights public_training_code"
        settings: dict[str, Any] = {
            **dict.fromkeys([*unknown.split(), "public_training_data", "training_datasets", "loader"]),
            "name": name,
            "revision": revision,
            "loader_kwargs": {
                **{key: value for key, value in conventions.items() if key not in RECORDED_ELSEWHERE},
                "title_separator": self.separator,
            },
            "max_tokens": conventions.get("passage_length"),
            "embed_dim": conventions.get("dim"),
            "framework": ["PyTorch"],
            "similarity_fn_name": "cosine" if conventions.get("normalize") else "dot",
            "use_instructions": bool(conventions.get("query_prefix") or conventions.get("passage_prefix")),
        }
        return ModelMeta(**settings)

    def encode(self, inputs: Any, *, prompt_type: Any = None, **_: Any) -> np.ndarray:
        """Return float32 embeddings of shape (texts, dim), in order.

        Args:
            inputs: a DataLoader of batches: mappings with the list ``text``; documents may have ``title`` and ``body``.
            prompt_type: ``query`` or ``document``.

        Raises:
            UsageError: the task has no prompt types.
        """
        import numpy as np

        if prompt_type not in ("query", "document"):
            raise UsageError("The task does not distinguish queries from documents.", mend="give a retrieval task")
        if prompt_type == "query":
            return self.encoder.encode_queries([text for batch in inputs for text in batch["text"]])
        total, done = len(inputs.dataset), 0
        documents, parts = self._documents(inputs), []
        while window := list(islice(documents, WINDOW)):
            parts.append(self.encoder.encode_passages(window, partial(self._report, done, total)))
            done += len(window)
        return np.concatenate(parts)

    def _report(self, before: int, total: int, encoded: int) -> None:
        self.progress(before + encoded, total)

    def _documents(self, inputs: Any) -> Iterator[str]:
        for batch in inputs:
            if "title" not in batch or "body" not in batch:
                yield from batch["text"]
                continue
            for title, body in zip(batch["title"], batch["body"], strict=True):
                yield f"{title}{self.separator}{body}" if title else body

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return inner products of shape (n, m), for embeddings of shapes (n, dim) and (m, dim)."""
        from mteb.similarity_functions import dot_score

        return dot_score(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return inner products of shape (n,), for two arrays of embeddings of shape (n, dim)."""
        from mteb.similarity_functions import pairwise_dot_score

        return pairwise_dot_score(embeddings1, embeddings2)


def identity(conventions: dict[str, Any], recipe: Recipe) -> tuple[str, str]:
    """Return ``ORG/NAME`` and revision: ``local/FOLDER`` for a local model, ``mdrbench/RECIPE`` without a model."""
    name = conventions.get("model")
    if not name:
        return f"mdrbench/{recipe.name}", recipe.digest[:40]
    if conventions.get("model_source") == "local" or "/" not in name:
        name = f"local/{Path(name).name}"
    return name, str(conventions.get("model_revision")).replace(":", "-")


def load_encoder(name: str, overrides: list[str], progress: Callable[[int, int], None]) -> MtebEncoder:
    """Return the encoder of a dense recipe. Its model is downloaded if it is missing.

    Raises:
        UsageError: the retriever of the recipe is not dense.
    """
    loaded = recipe.load(name, overrides)
    if (retriever := loaded.retriever.name) != "dense":
        raise UsageError(
            f"The retriever of '{loaded.name}' is {retriever}, but mteb needs an encoder.",
            mend="give a recipe whose retriever is `dense`",
        )
    dense = loaded.retriever.build()
    dense.prepare(console.say)
    return MtebEncoder(dense.encoder, loaded, progress)


def evaluate(encoder: MtebEncoder, task: Any, out: Path, predictions: Path | None = None) -> Path:
    """Evaluate a task with mteb, write its results under ``out``, and return the path of the TaskResult.

    Results of the same model, conventions and data are kept, and missing languages are added.

    Raises:
        UsageError: the existing results have another model, conventions or data.
        SetupError: the data of a task of mteb cannot be loaded.
    """
    mteb = load_mteb()
    cache = mteb.ResultCache(out)
    meta = encoder.mteb_model_meta
    path = Path(cache.get_task_result_path(task.metadata.name, meta))
    existing = _existing_result(path, task, meta)
    missing = existing is None or existing.get_missing_evaluations(task)
    if missing:
        try:
            task.load_data()
        except (OSError, ValueError, RuntimeError) as error:
            raise SetupError(
                f"{task.metadata.name} cannot be loaded: {type(error).__name__}: {error}",
                mend="check the network, HF_ENDPOINT and HF_TOKEN (mteb fetches data from the hub), or use --data",
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


def _existing_result(path: Path, task: Any, meta: Any) -> Any:
    """Return the existing TaskResult, or None.

    Raises:
        UsageError: it has other data or conventions, so nothing can be added to it.
        DataError: the file is not a TaskResult.
    """
    from mteb import TaskResult

    if not path.exists():
        return None
    mend = "give another folder with --out, or remove this file"
    try:
        existing = TaskResult.from_disk(path)
    except (ValueError, OSError) as error:
        raise DataError(f"The file is not a TaskResult of mteb: {error}", where=str(path), mend=mend) from None
    revision = task.metadata.revision
    if existing.dataset_revision != revision:
        raise UsageError(
            f"The file holds results on other data: {existing.dataset_revision[:15]}, not {revision[:15]}.",
            where=str(path),
            mend=f"{mend}; evaluate all languages of a folder in one command",
        )
    kept = _read_meta(path.with_name("model_meta.json"))
    if changed := sorted(k for k, v in meta.loader_kwargs.items() if kept.get(k) != v):
        raise UsageError(f"The file holds results with another {', '.join(changed)}.", where=str(path), mend=mend)
    return existing


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("loader_kwargs") or {}
    except (OSError, ValueError) as error:
        raise DataError(
            f"The file cannot be read: {error}", where=str(path), mend="give another folder with --out"
        ) from None
