"""Parts of the builder of wiki16: text, cutting, readers, MIRACL's prompts, near copies."""

from __future__ import annotations

import json

import pytest
from support.tiny_wiki16 import LANG, TinyWiki16, clear_listings, prompt, squad

from mdrbench.data.wiki16 import miracl_prompts, near_copies, readers
from mdrbench.data.wiki16.articles import ArticleGroups
from mdrbench.data.wiki16.cutting import Span, cut
from mdrbench.data.wiki16.likeness import near_to
from mdrbench.data.wiki16.passages import locate
from mdrbench.data.wiki16.readers import Answer
from mdrbench.data.wiki16.sources import SourceFolder
from mdrbench.data.wiki16.text import clean, query_key, title_key


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    yield TinyWiki16(tmp_path / "sources", monkeypatch)
    monkeypatch.undo()
    clear_listings()


def test_text_is_stored_on_one_line_in_nfc_without_controls():
    assert clean("\ufeffe\u0301a\x00b\n\n c\u200e\td ") == "éab c d"
    assert title_key("New_York  City") == title_key("ＮＥＷ york city")
    assert query_key("Kina gani? ") == query_key("kina GANI")


def test_a_short_text_is_one_passage_and_a_long_one_is_cut_at_sentence_ends():
    assert cut("short", 10, []) == [Span(0, 5)]
    text = "aaaa aaaa aaaa. bbbb bbbb bbbb."
    assert [text[start:end] for start, end in cut(text, 20, [])] == ["aaaa aaaa aaaa. ", "bbbb bbbb bbbb."]


def test_a_cut_prefers_a_line_end_to_a_sentence_end_and_never_divides_an_answer():
    text = "aaaa aaaa.\naaaa. bbb bbbb bbbb"
    assert cut(text, 20, [])[0].end == text.index("\n") + 1
    answer = Span(text.index("\n") - 3, text.index("\n") + 3)
    assert all(not answer.start < part.end < answer.end for part in cut(text, 20, [answer])[:-1])


def test_a_text_without_a_place_to_cut_stays_whole():
    assert cut("a" * 100, 20, []) == [Span(0, 100)]


def test_an_answer_is_moved_to_its_nearest_occurrence():
    assert locate(Answer(3, "b"), "aabbb") == 3
    assert locate(Answer(4, "ab"), "ab.ab.ab") == 3
    assert locate(Answer(0, "x"), "abc") is None


def test_groups_are_named_after_their_smallest_article_in_any_order():
    first, second = ArticleGroups(), ArticleGroups()
    first.join_all(["c", "b", "a"])
    second.join("a", "c")
    second.join("c", "b")
    assert {first.group(x) for x in "abc"} == {second.group(x) for x in "abc"} == {"a"}
    assert first.group("d") == "d"


def test_squad_files_give_paragraphs_with_answered_questions_only(tiny):
    body = json.loads(squad({"A_<i>b</i> &amp; c": [("Text", [("1", "Q?", "Text"), ("2", "R?", "Text")])]}))
    body["data"][0]["paragraphs"][0]["qas"][1]["is_impossible"] = True
    tiny.files["tydi", "swahili.json"] = json.dumps(body).encode()
    tiny.install()
    [paragraph] = readers.paragraphs(SourceFolder(tiny.folder, LANG))
    assert paragraph.title == "A b & c"
    assert [question.qid for question in paragraph.questions] == ["1"]


def test_jsquad_answers_that_point_into_the_title_are_found_in_the_text_or_left_out(tiny):
    text = "Kanto [SEP] Kanto is in Japan"
    questions = [("1", "Where?", "Kanto"), ("2", "Which?", "Japan")]
    del tiny.files["tydi", "swahili.json"]
    tiny.files["jsquad", "valid.json"] = squad({"Kanto": [(text, questions)]})
    tiny.install()
    [paragraph] = readers.paragraphs(SourceFolder(tiny.folder, LANG))
    assert paragraph.text == "Kanto is in Japan"
    assert [question.answers for question in paragraph.questions] == [[Answer(0, "Kanto")], [Answer(12, "Japan")]]


def test_xquad_titles_are_kept_in_english_only(tiny):
    del tiny.files["tydi", "swahili.json"]
    tiny.files["xquad", "xquad.sw.json"] = squad({"Super_Bowl": [("Text", [])]})
    tiny.install()
    [paragraph] = readers.paragraphs(SourceFolder(tiny.folder, LANG))
    assert (paragraph.article, paragraph.title) == ("xquad:Super_Bowl", "")


def test_a_title_is_the_longest_beginning_that_the_passages_of_an_article_share():
    assert miracl_prompts.titles(["Star Wars: Episode: a: x", "Star Wars: Episode: b"]) == ["Star Wars: Episode"] * 2
    assert miracl_prompts.titles(["Star: Wars: x"]) == ["Star"]
    assert miracl_prompts.titles(["Star: Wars: Star: Wars is a film"]) == ["Star: Wars"]
    assert miracl_prompts.titles(["Kisa (riwaya): Kisa ni riwaya: nzuri"]) == ["Kisa (riwaya)"]
    assert miracl_prompts.titles(["no title here"]) == [""]


def test_the_longest_occurrence_of_a_passage_counts_and_odd_prompts_are_skipped(tiny):
    lines = [
        prompt({"1#0": "Mlima: Mrefu", "x#0": "Mlima: no"}),
        prompt({"1#0": "Mlima: Mrefu sana"}),
        json.dumps({"prompt": None, "docids": ["2#0"]}),
        prompt({"3#0": "A: b"}).replace("[1]", "[7]"),
    ]
    tiny.files["miracl", "sw.jsonl"] = "\n".join(lines).encode()
    tiny.install()
    assert miracl_prompts.read_passages(SourceFolder(tiny.folder, LANG)) == [("1#0", "Mlima", "Mrefu sana")]


LAKE = "The lake lies in the north of the country and freezes in November every year, says the guide of 1999. "


def known(text: str) -> near_copies.NearCopies:
    copies = near_copies.NearCopies()
    copies.add("1#0", text)
    return copies


def test_a_near_copy_within_an_article_may_differ_more_than_one_of_another():
    copies = known(LAKE + "It is deep, cold and full of fish that are caught in spring.")
    changed = LAKE + "Tourists come to swim and to skate on it when it is cold enough."
    assert copies.find("2#0", changed, lambda docid, other: True) == "1#0"
    assert copies.find("2#0", changed, lambda docid, other: False) is None
    assert copies.find("2#0", LAKE.upper().replace(" ", "  "), lambda docid, other: False) == "1#0"


def test_texts_of_two_articles_with_other_numbers_are_no_copies():
    assert known(LAKE * 3).find("2#0", LAKE.replace("1999", "1998"), lambda docid, other: False) is None


def test_texts_are_near_an_article_that_shares_their_rare_words():
    articles = ["ziwa samaki mvuvi mtumbwi", "mlima barafu kilele"]
    assert near_to(articles, ["samaki mtumbwi ziwa kubwa", "gari moshi reli"]) == [True, False]
