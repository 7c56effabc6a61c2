"""The 16 languages of the benchmark, MIRACL's two surprise languages, others, and the reader of ``--langs``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mdrbench.core.errors import UsageError, did_you_mean


class Language(NamedTuple):
    """One language: ISO 639-1 code, English and own name, ISO 15924 script, writing direction."""

    code: str
    name: str
    native: str
    script: str
    direction: str


LANGUAGES: dict[str, Language] = {
    language.code: language
    for language in (
        Language("ar", "Arabic", "العربية", "Arab", "rtl"),
        Language("bn", "Bengali", "বাংলা", "Beng", "ltr"),
        Language("en", "English", "English", "Latn", "ltr"),
        Language("es", "Spanish", "Español", "Latn", "ltr"),
        Language("fa", "Persian", "فارسی", "Arab", "rtl"),
        Language("fi", "Finnish", "Suomi", "Latn", "ltr"),
        Language("fr", "French", "Français", "Latn", "ltr"),
        Language("hi", "Hindi", "हिन्दी", "Deva", "ltr"),
        Language("id", "Indonesian", "Bahasa Indonesia", "Latn", "ltr"),
        Language("ja", "Japanese", "日本語", "Jpan", "ltr"),
        Language("ko", "Korean", "한국어", "Kore", "ltr"),
        Language("ru", "Russian", "Русский", "Cyrl", "ltr"),
        Language("sw", "Swahili", "Kiswahili", "Latn", "ltr"),
        Language("te", "Telugu", "తెలుగు", "Telu", "ltr"),
        Language("th", "Thai", "ไทย", "Thai", "ltr"),
        Language("zh", "Chinese", "中文", "Hans", "ltr"),
    )
}

ALL: tuple[str, ...] = tuple(LANGUAGES)
"""The 16 codes in alphabetical order: the columns of every table."""

SURPRISE: dict[str, Language] = {
    language.code: language
    for language in (
        Language("de", "German", "Deutsch", "Latn", "ltr"),
        Language("yo", "Yoruba", "Yorùbá", "Latn", "ltr"),
    )
}
"""The surprise languages of the WSDM 2023 Cup on MIRACL. They have no training data and are in no average."""


OTHERS: dict[str, Language] = {
    language.code: language
    for language in (
        Language("bg", "Bulgarian", "Български", "Cyrl", "ltr"),
        Language("ca", "Catalan", "Català", "Latn", "ltr"),
        Language("cs", "Czech", "Čeština", "Latn", "ltr"),
        Language("da", "Danish", "Dansk", "Latn", "ltr"),
        Language("el", "Greek", "Ελληνικά", "Grek", "ltr"),
        Language("et", "Estonian", "Eesti", "Latn", "ltr"),
        Language("eu", "Basque", "Euskara", "Latn", "ltr"),
        Language("ga", "Irish", "Gaeilge", "Latn", "ltr"),
        Language("gl", "Galician", "Galego", "Latn", "ltr"),
        Language("he", "Hebrew", "עברית", "Hebr", "rtl"),
        Language("hu", "Hungarian", "Magyar", "Latn", "ltr"),
        Language("hy", "Armenian", "Հայերեն", "Armn", "ltr"),
        Language("it", "Italian", "Italiano", "Latn", "ltr"),
        Language("lt", "Lithuanian", "Lietuvių", "Latn", "ltr"),
        Language("lv", "Latvian", "Latviešu", "Latn", "ltr"),
        Language("mr", "Marathi", "मराठी", "Deva", "ltr"),
        Language("ne", "Nepali", "नेपाली", "Deva", "ltr"),
        Language("nl", "Dutch", "Nederlands", "Latn", "ltr"),
        Language("no", "Norwegian", "Norsk", "Latn", "ltr"),
        Language("pl", "Polish", "Polski", "Latn", "ltr"),
        Language("pt", "Portuguese", "Português", "Latn", "ltr"),
        Language("ro", "Romanian", "Română", "Latn", "ltr"),
        Language("sr", "Serbian", "Српски", "Cyrl", "ltr"),
        Language("sv", "Swedish", "Svenska", "Latn", "ltr"),
        Language("ta", "Tamil", "தமிழ்", "Taml", "ltr"),
        Language("tr", "Turkish", "Türkçe", "Latn", "ltr"),
        Language("uk", "Ukrainian", "Українська", "Cyrl", "ltr"),
        Language("ur", "Urdu", "اردو", "Arab", "rtl"),
        Language("vi", "Vietnamese", "Tiếng Việt", "Latn", "ltr"),
    )
}
"""Languages of users' own data sets. A data set may have others still; their code stands for their name."""

CODE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
"""A language code: ISO 639, with subtags such as the region in ``zh-tw``."""


def language(code: str) -> Language:
    """Return what is known of a language. For an unknown one, the code stands for the name.

    A code with subtags has name, script and direction of its language: ``pt-br`` is shown as ``Portuguese (br)``.
    """
    known = LANGUAGES | SURPRISE | OTHERS
    if code in known:
        return known[code]
    base, _, rest = code.partition("-")
    if base in known:
        found = known[base]
        return found._replace(code=code, name=f"{found.name} ({rest})", native=f"{found.native} ({rest})")
    return Language(code, code, code, "Zyyy", "ltr")


def in_order(codes: Iterable[str]) -> list[str]:
    """Return codes in the order of every table: the 16, then German and Yoruba, then others by code."""
    given = set(codes)
    return [*(code for code in (*ALL, *SURPRISE) if code in given), *sorted(given - {*ALL, *SURPRISE})]


def parse_langs(text: str, available: list[str]) -> list[str]:
    """Read ``--langs``: ``all`` or codes separated by commas or spaces, in upper or lower case.

    Args:
        text: what the user wrote.
        available: the languages that the data set has.

    Returns:
        Codes in the order of every table. ``all`` stands for every language of the data set but German and Yoruba,
        which MIRACL's averages leave out; for these two if the data set has no others.

    Raises:
        UsageError: there is no language, or the data set does not have it.
    """
    codes = text.lower().replace(",", " ").split()
    if not codes:
        raise UsageError("--langs is empty.", mend="give codes such as --langs ar,bn, or --langs all")
    if codes == ["all"]:
        return in_order([code for code in available if code not in SURPRISE] or available)
    for code in codes:
        _check_available(code, available)
    return in_order(codes)


def _check_available(code: str, available: list[str]) -> None:
    if code in available:
        return
    if code not in LANGUAGES | SURPRISE | OTHERS:
        mend = did_you_mean(code, [*dict.fromkeys([*available, *ALL, *SURPRISE]), "all"])
        raise UsageError(f"Unknown language '{code}' in --langs.", mend=mend)
    choice = ", ".join(available) or "none"
    raise UsageError(f"The data set has no language '{code}'.", mend=f"choose from {choice}")
