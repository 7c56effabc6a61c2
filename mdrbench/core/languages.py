"""The 16 languages of the benchmark, MIRACL's two surprise languages, and the reader of ``--langs``."""

from __future__ import annotations

from typing import NamedTuple

from mdrbench.core.errors import UsageError, did_you_mean


class Language(NamedTuple):
    """A language: ISO 639-1 code, English name, own name, ISO 15924 script, writing direction."""

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


def parse_langs(text: str, available: list[str]) -> list[str]:
    """Return the language codes in a ``--langs`` text.

    Args:
        text: ``all``, or codes separated by commas or spaces. ``all`` means the benchmark languages of the data set;
            a surprise language must be named.
        available: the languages of the data set.

    Returns:
        Codes in the order of :data:`ALL`, then of :data:`SURPRISE`.

    Raises:
        UsageError: the text is empty, or a code is unknown or not in the data set.
    """
    codes = text.replace(",", " ").split()
    if not codes:
        raise UsageError("--langs is empty.", mend="give codes such as --langs ar,bn, or --langs all")
    if codes == ["all"]:
        codes = [code for code in available if code in LANGUAGES]
    known = (*ALL, *SURPRISE)
    for code in codes:
        if code not in known:
            raise UsageError(f"Unknown language '{code}' in --langs.", mend=did_you_mean(code, [*known, "all"]))
        if code not in available:
            raise UsageError(
                f"The data set has no language '{code}'.", mend=f"choose from {', '.join(available) or 'none'}"
            )
    return [code for code in known if code in codes]
