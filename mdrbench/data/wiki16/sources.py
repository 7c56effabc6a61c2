"""The source files of wiki16: 172 files of 15 public repositories, each at a pinned commit.

``sources.tsv`` lists them, one a line: language, source, path in the repository, bytes, SHA-256. Each file serves one
language. The files of a language and source are read in the order of the list.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench.core.errors import DataError

LISTING = Path(__file__).with_name("sources.tsv")


class Source(NamedTuple):
    """A public data set from which wiki16 takes passages or queries."""

    repository: str
    commit: str
    name: str
    creators: str
    licence: str


_WIKIPEDIA = "; passages from Wikipedia, CC BY-SA 3.0"

SOURCES: dict[str, Source] = {
    "tydi": Source(
        "sagorbrur/tydiqa-language-specific",
        "55c6649475e0765f717a6d32a173c6664096a8ce",
        "TyDi QA (GoldP), one file for each language",
        "Clark et al. 2020 (Google Research); files by S. Sarker",
        f"Apache-2.0{_WIKIPEDIA}",
    ),
    "tydi-id": Source(
        "rifkiaputri/IDK-MRC",
        "e79b427a026d3e3dd85de05ba90c29cfff961c0f",
        "TyDi QA (GoldP) in Indonesian, from the baselines of IDK-MRC",
        "Clark et al. 2020; files by Putri and Oh 2022",
        f"Apache-2.0 for TyDi QA (the IDK-MRC repository states no licence){_WIKIPEDIA}",
    ),
    "xquad": Source(
        "google-deepmind/xquad",
        "7d30520c717524000f0d9d2f9c10a069acd9d285",
        "XQuAD",
        "Artetxe et al. 2020 (DeepMind)",
        "CC BY-SA 4.0",
    ),
    "arcd": Source(
        "husseinmozannar/SOQAL",
        "1229d34aa2b7a0b9a2e4858c9268e68f45d7e3c4",
        "ARCD",
        "Mozannar et al. 2019",
        f"MIT{_WIKIPEDIA}",
    ),
    "sqes": Source(
        "santroma1/SQuAD-es-dist",
        "13e355913dfb5e2d8af766c21c9af19e5793894a",
        "SQuAD-es-dist",
        "santroma1, on SQuAD paragraphs that Carrino et al. 2020 translated by machine",
        "Apache-2.0; SQuAD paragraphs from Wikipedia, CC BY-SA 4.0",
    ),
    "pquad": Source(
        "AUT-NLP/PQuAD",
        "b1724102bdb2f00a61c8ca9f81250ceff9db1872",
        "PQuAD, validation and test",
        "Darvishi et al. 2023 (Amirkabir University)",
        "CC BY-SA 4.0",
    ),
    "piaf": Source(
        "etalab-ia/piaf-code",
        "86948a73b26498948e70ad92e4b9b0231eac81f7",
        "PIAF 1.0",
        "Keraron et al. 2020 (Etalab)",
        f"MIT{_WIKIPEDIA}",
    ),
    "afriqa": Source(
        "masakhane-io/afriqa",
        "5c29933753692c28773c34ac1f68482007f1d2bb",
        "AfriQA, the French translations of the Fon questions",
        "Ogundepo et al. 2023 (Masakhane)",
        f"CC BY 4.0{_WIKIPEDIA}",
    ),
    "jaquad": Source(
        "SkelterLabsInc/JaQuAD",
        "23f5d72cc273c49b35e2d9efe0f51757aa1770bd",
        "JaQuAD",
        "So et al. 2022 (Skelter Labs)",
        "CC BY-SA 3.0",
    ),
    "jsquad": Source(
        "yahoojapan/JGLUE",
        "6f071c09316baae89c3d083a90985b4b1cb9968c",
        "JSQuAD 1.3 of JGLUE, valid and test",
        "Kurihara et al. 2022 (Yahoo Japan, Waseda University)",
        "CC BY-SA 4.0",
    ),
    "iapp": Source(
        "iapp-technology/iapp-wiki-qa-dataset",
        "644a29c59bac62d5b15b9e9b06c55bba00708eca",
        "iapp-wiki-qa-squad",
        "iApp Technology 2021",
        f"MIT{_WIKIPEDIA}",
    ),
    "cmrc": Source(
        "ymcui/cmrc2018",
        "c0eb1b6ba219847457e6af3180da722bbeb656af",
        "CMRC 2018, dev and trial (simplified characters)",
        "Cui et al. 2019 (HFL)",
        "CC BY-SA 4.0",
    ),
    "drcd": Source(
        "DRCKnowledgeTeam/DRCD",
        "b944790de5af02c5fbb7cd9cb1473d27d169eebf",
        "DRCD, dev and test (traditional characters)",
        "Shao et al. 2018 (Delta Electronics)",
        "CC BY-SA 3.0",
    ),
    "miracl": Source(
        "project-miracl/nomiracl",
        "9c787daa077ffff9c22395442b91de944256b2f1",
        "MIRACL v1.0 passages, out of the prompts that NoMIRACL published",
        "Zhang et al. 2023 (MIRACL), Thakur et al. 2024 (NoMIRACL)",
        f"Apache-2.0{_WIKIPEDIA}",
    ),
    "anserini": Source(
        "castorini/anserini-tools",
        "5b819c1a45c8a0a3ec9426f476694f44a29dfaf3",
        "MIRACL v1.0 topics and judgments; Mr. TyDi v1.1, for the articles of Indonesian paragraphs",
        "Zhang et al. 2021 and 2023; kept by the Anserini team",
        "Apache-2.0 for MIRACL and Mr. TyDi (the repository states no licence)",
    ),
}
"""Every source under the name that begins its queries' ids."""


class SourceFile(NamedTuple):
    """One file to download: of which language and source, where, and its checksum."""

    lang: str
    source: str
    path: str
    bytes: int
    sha256: str

    @property
    def local(self) -> str:
        """Where the file lies below the folder of sources, and below the public host: ``OWNER/REPO/COMMIT/PATH``."""
        source = SOURCES[self.source]
        return f"{source.repository}/{source.commit}/{self.path}"


@cache
def source_files() -> tuple[SourceFile, ...]:
    """Return the listing of all source files."""
    rows = LISTING.read_text(encoding="utf-8").splitlines()[1:]
    fields = (row.split("\t") for row in rows)
    return tuple(SourceFile(lang, source, path, int(size), sha256) for lang, source, path, size, sha256 in fields)


@cache
def sources_of(lang: str) -> tuple[str, ...]:
    """Return the sources of a language, in reading order."""
    return tuple(dict.fromkeys(file.source for file in source_files() if file.lang == lang))


def files_of(lang: str, source: str) -> list[SourceFile]:
    """Return the files that a source has for a language, in reading order."""
    return [file for file in source_files() if (file.lang, file.source) == (lang, source)]


class SourceFolder:
    """The downloaded source files of one language."""

    def __init__(self, root: Path, lang: str):
        self.root, self.lang = root, lang

    def bytes(self, file: SourceFile) -> bytes:
        """Return the content of a file.

        Raises:
            DataError: the file is not there.
        """
        path = self.root / file.local
        try:
            return path.read_bytes()
        except FileNotFoundError:
            mend = f"run `mdrbench data fetch --data wiki16 --langs {self.lang}`"
            raise DataError("A source file of wiki16 is missing.", where=str(path), mend=mend) from None

    def text(self, file: SourceFile) -> str:
        """Return the content of a UTF-8 file, unpacked if its name ends in ``.gz``."""
        content = self.bytes(file)
        return (gzip.decompress(content) if file.path.endswith(".gz") else content).decode("utf-8-sig")

    def json(self, file: SourceFile) -> Any:
        """Return the content of a JSON file."""
        return json.loads(self.text(file))

    def rows(self, file: SourceFile) -> list[Any]:
        """Return the records of a file with one JSON record a line."""
        return json_rows(self.text(file))

    def documents(self, source: str) -> list[Any]:
        """Return the content of all JSON files of a source, in reading order."""
        return [self.json(file) for file in files_of(self.lang, source)]

    def lines(self, path: str) -> list[str]:
        """Return the lines of an ``anserini`` file, blank ones left out."""
        (file,) = (file for file in files_of(self.lang, "anserini") if file.path == path)
        return [line for line in self.text(file).splitlines() if line.strip()]


def json_rows(text: str) -> list[Any]:
    """Return the records of a text with one JSON record a line; only line feeds end a line."""
    return [json.loads(row) for row in text.split("\n") if row.strip()]
