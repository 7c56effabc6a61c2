"""A language of wiki16 from its source files: corpus, queries, splits."""

from __future__ import annotations

import pytest
from support.tiny_wiki16 import TinyWiki16, clear_listings, prompt, squad

from mdrbench.data.wiki16.passages import Corpus
from mdrbench.data.wiki16.queries import Query
from mdrbench.data.wiki16.readers import Answer, Paragraph, Question
from mdrbench.data.wiki16.splits import TRAIN_LIMIT, divide, leaks, xquad_splits

LONG = "Ziwa hili liko kaskazini mwa nchi, lina samaki wengi na maji baridi, na huganda kila mwaka mwezi wa Novemba. "


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    yield TinyWiki16(tmp_path / "sources", monkeypatch)
    monkeypatch.undo()
    clear_listings()


def positives(built, qid: str) -> list[str]:
    [query] = [query for queries in built.splits.values() for query in queries if query.qid == qid]
    return query.positives()


def test_every_article_is_in_one_split_and_all_queries_are_placed(tiny):
    built = tiny.build()
    assert leaks(built.corpus, built.splits) == []
    qids = [query.qid for queries in built.splits.values() for query in queries]
    assert sorted(qids) == sorted([*(f"tydi-q{n}" for n in range(1, 13)), "miracl-5"])
    assert all(built.splits.values())


def test_miracl_topics_keep_their_split_and_their_zeros_and_unanswered_ones_are_left_out(tiny):
    [topic] = [query for query in tiny.build().splits["train"] if query.qid == "miracl-5"]
    assert topic.judgments == {"31#1": 1, "31#0": 0}


def test_a_paragraph_that_occurs_twice_is_one_passage_with_both_questions(tiny):
    twice = {
        "A": [("Jibu ni hili.", [("1", "Swali moja?", "Jibu")])],
        "B": [("Jibu  ni hili.", [("2", "Pili?", "hili")])],
    }
    tiny.files["tydi", "swahili.json"] = squad(twice)
    built = tiny.build()
    assert positives(built, "tydi-1") == positives(built, "tydi-2") == ["900000001#0"]
    assert built.corpus.counts["exact duplicates merged"] == 1


def test_the_judgments_of_a_near_copy_move_to_the_passage_that_stays(tiny):
    copies = {
        "A": [(LONG + "Zaidi ya hayo, ni kubwa.", [("1", "Wapi?", "kaskazini")]), (LONG, [("2", "Lini?", "Novemba")])]
    }
    tiny.files["tydi", "swahili.json"] = squad(copies)
    built = tiny.build()
    assert positives(built, "tydi-1") == positives(built, "tydi-2") == ["900000001#0"]


def test_a_near_copy_with_an_answer_that_the_other_lacks_stays(tiny):
    copies = {"A": [(LONG + "Zaidi ya hayo, ni kubwa.", []), (LONG + "Sana.", [("2", "Kiasi?", "Sana")])]}
    tiny.files["tydi", "swahili.json"] = squad(copies)
    assert positives(tiny.build(), "tydi-2") == ["900000001#1"]


def test_a_miracl_passage_that_repeats_a_paragraph_lends_it_its_judgments(tiny):
    tiny.files["tydi", "swahili.json"] = squad({"Ziwa": [(LONG, [("1", "Wapi?", "kaskazini")])]})
    tiny.files["miracl", "sw.jsonl"] = prompt({"31#0": f"Ziwa: {LONG}", "31#1": "Ziwa: Lingine kabisa hili."}).encode()
    built = tiny.build()
    assert positives(built, "tydi-1") == ["900000001#0"]
    [topic] = [query for query in built.splits["train"] if query.qid == "miracl-5"]
    assert topic.judgments == {"31#1": 1, "900000001#0": 0}
    assert "31#0" not in built.corpus.passages


def test_questions_of_the_same_text_are_one_query(tiny):
    same = {
        "A": [("Jibu ni moja.", [("1", "Ni ngapi?", "moja")])],
        "B": [("Hapa ni mbili.", [("2", "ni ngapi", "mbili")])],
    }
    tiny.files["tydi", "swahili.json"] = squad(same)
    assert positives(tiny.build(), "tydi-1") == ["900000001#0", "900000002#0"]


def test_a_question_that_many_articles_answer_is_dropped(tiny):
    vague = {f"A{n}": [(f"Alizaliwa mwaka {n}.", [(str(n), "Alizaliwa lini?", str(n))])] for n in range(5)}
    tiny.files["tydi", "swahili.json"] = squad(vague | {"B": [("Jibu ni hili.", [("x", "Lipi?", "hili")])]})
    built = tiny.build()
    assert [query.qid for queries in built.splits.values() for query in queries if query.qid != "miracl-5"] == [
        "tydi-x"
    ]


def test_no_train_query_has_the_text_of_a_miracl_dev_topic(tiny):
    tiny.files["anserini", "topics/topics.miracl-v1.0-sw-dev.tsv"] = b"".join(
        f"d{n}\tKina cha ziwa {n}?\n".encode() for n in range(1, 13)
    )
    built = tiny.build()
    assert [query.qid for query in built.splits["train"]] == ["miracl-5"]


def test_a_long_paragraph_is_cut_and_its_answer_judged_where_it_stands():
    corpus = Corpus("sw")
    text = LONG * 12 + "Mwisho wa yote ni samaki mkubwa."
    question = Question("1", "Nini?", [Answer(text.index("mkubwa"), "mkubwa")])
    [placed] = corpus.add_paragraph(Paragraph("tydi", "title:a", "A", text, [question]))
    assert len(corpus.passages) == 2
    assert placed.answers == {"900000001#1": {"mkubwa"}}


def queries_of(corpus: Corpus, articles: int, each: int) -> list[Query]:
    """Queries on articles of one passage each."""
    queries = []
    for article in range(articles):
        paragraph = Paragraph("tydi", f"title:{article}", "", f"Passage of article {article}", [])
        corpus.add_paragraph(paragraph)
        docid = f"{900000001 + article}#0"
        queries += [Query(f"tydi-{article}-{n}", f"q {article} {n}", {docid: 1}) for n in range(each)]
    return queries


def test_many_queries_fill_dev_and_test_with_few_of_each_article_and_train_to_its_limit():
    corpus = Corpus("sw")
    splits = divide(corpus, queries_of(corpus, 500, 10), {})
    sizes = {split: len(queries) for split, queries in splits.items()}
    assert sizes == {"train": TRAIN_LIMIT, "dev": 35 * 8, "test": 17 * 8}
    assert leaks(corpus, splits) == []
    articles = [query.qid.split("-")[1] for query in splits["dev"]]
    assert max(map(articles.count, articles)) <= 8


def test_a_query_on_two_articles_keeps_them_in_one_split():
    corpus = Corpus("sw")
    queries = queries_of(corpus, 40, 2)
    queries[0].judge("900000040#0", 1)
    splits = divide(corpus, queries, {})
    of = {query.qid: split for split, group in splits.items() for query in group}
    assert of["tydi-0-0"] == of["tydi-39-0"]


def test_xquad_articles_have_the_same_split_in_any_order():
    titles = [f"xquad:{n}" for n in range(48)]
    splits = xquad_splits(titles)
    assert splits == xquad_splits(reversed(titles))
    counts = {split: list(splits.values()).count(split) for split in ("train", "dev", "test")}
    assert counts == {"train": 36, "dev": 8, "test": 4}


def test_leaks_are_found():
    corpus = Corpus("sw")
    first, second = queries_of(corpus, 1, 2)
    assert leaks(corpus, {"train": [first], "dev": [second]}) == ["title:0 is in train and dev"]
