"""The 16 languages of the benchmark, MIRACL's two surprise languages, and how ``--langs`` is read."""

from __future__ import annotations

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
"""The surprise languages of the WSDM 2023 Cup on MIRACL: no training data, and part of no 16-language average."""


def parse_langs(text: str, available: list[str]) -> list[str]:
    """Read ``--langs``: ``all`` or codes separated by commas or spaces; ``available`` is what the data set holds.

    ``all`` stands for the benchmark languages that the data set holds; surprise languages are taken by their codes
    only. The order is always that of :data:`ALL`, then of :data:`SURPRISE`.
    """
    codes = text.replace(",", " ").split()
    if not codes:
        raise UsageError("--langs is empty", mend="give codes such as --langs ar,bn, or --langs all")
    if codes == ["all"]:
        codes = [code for code in available if code in LANGUAGES]
    known = (*ALL, *SURPRISE)
    for code in codes:
        if code not in known:
            raise UsageError(f"unknown language '{code}' in --langs", mend=did_you_mean(code, [*known, "all"]))
        if code not in available:
            raise UsageError(
                f"the data set has no language '{code}'", mend=f"choose among {', '.join(available) or 'none'}"
            )
    return [code for code in known if code in codes]
