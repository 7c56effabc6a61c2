"""Generating queries with a language model, against a real server on this machine."""

from __future__ import annotations

from contextlib import closing

import pytest
from support.chat_server import ChatServer, Reply

from mdrbench.core.errors import SetupError, StepError
from mdrbench.core.members import Member
from mdrbench.core.types import Generation, Passage, Source
from mdrbench.negatives.generation import _checks, back_forward


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MDRBENCH_ANSWERS"):
        monkeypatch.delenv(name, raising=False)


def respond(body: dict) -> str:
    text = body["messages"][1]["content"]
    return "Saimaa on järvi Suomessa." if text.startswith("Summarise") else "missä Saimaa on"


@pytest.fixture
def server():
    with ChatServer(respond).running() as running:
        yield running


@pytest.fixture
def generator(server, tmp_path):
    common = {"name": "back-forward", "model": "tiny-chat", "base_url": server.url, "backoff_s": 0.01}
    common["store"] = str(tmp_path / "a.sqlite")
    return lambda **changes: Member.of("generation", {**common, **changes}).build()


def sources(count: int = 1, lang: str = "fi", query: str = "Mikä on suurin järvi?") -> list[Source]:
    passage = Passage("9#0", "Saimaa", "Saimaa on Suomen suurin järvi.")
    return [Source(lang, f"q{i}", f"{query}{i or ''}", passage) for i in range(count)]


@pytest.mark.parametrize(
    ("title", "text", "query"),
    [
        ("Saimaa", "Saimaa on Suomen suurin järvi. Se on iso.", "Saimaa on Suomen suurin järvi."),
        ("Ziwa", "Dkt. Livingstone alifika hapa. Alikaa.", "Ziwa Dkt. Livingstone alifika hapa."),
        ("", "नदी उत्तर भारत में बहती है। यह लंबी है।", "नदी उत्तर भारत में बहती है।"),
        ("แม่น้ำ", "ไหลผ่าน " * 30, "แม่น้ำ " + " ".join(["ไหลผ่าน"] * 5)),
    ],
)
def test_the_first_sentence_stands_in_for_a_generated_query(title, text, query):
    stand_in = Member.of("generation", {"name": "first-sentence", "max_chars": 40}).build()
    asked = [
        Source("fi", "q1", "kysymys", Passage("1#0", title, text)),
        Source("fi", "q2", query, Passage("1#0", title, text)),
    ]
    assert [one.query for one in stand_in.generate(asked, lambda done: None)] == [query, None]
    assert stand_in.facts()["unreadable"] == 1  # a query that is known already is no new one


def generations(generator, asked: list[Source]) -> list[Generation]:
    with closing(generator.generate(asked, lambda done: None)) as found:
        return list(found)


def test_two_requests_and_what_they_say(server, generator):
    done: list[int] = []
    asked = generator(price_input=1, price_output=1)
    found = list(asked.generate(sources(), done.append))
    assert found == [Generation("q0", "Saimaa on järvi Suomessa.", "missä Saimaa on")]
    assert done == [1]
    first, second = (body["messages"][1]["content"] for body in server.requests)
    assert "in Finnish" in first
    assert "<query>\nMikä on suurin järvi?\n</query>" in first
    assert "<passage>\nSaimaa\nSaimaa on Suomen suurin järvi.\n</passage>" in first
    assert "in Finnish" in second
    assert "<text>\nSaimaa on järvi Suomessa.\n</text>" in second
    assert "Mikä" not in second
    assert "response_format" not in server.requests[0]
    facts = asked.facts()
    assert (facts["generated"], facts["unreadable"], facts["requests"], facts["input_tokens"]) == (1, 0, 2, 200)
    assert facts["cost"] == pytest.approx(220e-6)


def test_in_order_and_paid_once(server, generator):
    server.respond = lambda body: Reply(text=respond(body), seconds=0.02)
    found = generations(generator(concurrency=4), sources(20))
    assert [generation.qid for generation in found] == [f"q{i}" for i in range(20)]
    assert server.most_at_once <= 4
    assert len(server.requests) == 21  # 20 summaries; the queries' prompts are all the same
    again = generator()
    assert generations(again, sources(20)) == found
    assert len(server.requests) == 21
    assert (again.facts()["requests"], again.facts()["stored"]) == (0, 40)


def test_the_known_query_and_empty_answers_are_asked_for_again(server, generator):
    server.script = ["", "Saimaa on järvi.", "mikä on SUURIN järvi", "“Missä Saimaa on?”"]
    asked = generator()
    assert generations(asked, sources()) == [Generation("q0", "Saimaa on järvi.", "Missä Saimaa on?")]
    said = [body["messages"][1]["content"] for body in server.requests]
    assert "it was empty." in said[1]
    assert "known already: <query>Mikä on suurin järvi?</query>" in said[3]
    facts = asked.facts()
    assert (facts["empty_answers"], facts["same_answers"], facts["unreadable"], facts["requests"]) == (1, 1, 0, 4)


@pytest.mark.parametrize(
    ("lang", "replies", "reason"),
    [
        ("fi", ["", "<think>hm</think>", "..."], "empty"),
        ("fi", ["ok", "Mikä on suurin järvi", "mikä on suurin järvi?!", "Query: Mikä on suurin järvi?"], "same"),
        ("fi", [Reply(text="Saimaa on jär", finish="length")] * 3, "truncated"),
        ("th", ["This is a lake."] * 3, "language"),
        ("fi", ["ok", *["a" * 301] * 3], "long"),
    ],
)
def test_what_stays_of_no_use_is_no_generation(server, generator, lang, replies, reason):
    server.script = list(replies)
    asked = generator()
    assert generations(asked, sources(lang=lang)) == [Generation("q0", None, None)]
    facts = asked.facts()
    assert (facts["unreadable"], facts[f"{reason}_answers"]) == (1, 3)
    assert len(server.requests) == len(replies)
    assert generations(generator(), sources(lang=lang)) == [Generation("q0", None, None)]
    assert len(server.requests) == len(replies)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ('<think>Hm: a query.</think>\n\nQuery: "missä Saimaa on"\n\nIt asks for a place.', "missä Saimaa on"),
        ("**New query:** «где озеро?»", "где озеро?"),
        ("Here is a possible search query:\n\n湖はどこですか", "湖はどこですか"),
        ("```\n「湖はどこ」\n```", "湖はどこ"),
        ('"Kalevala" ja "Kanteletar"', '"Kalevala" ja "Kanteletar"'),
        ("where  is\tit", "where is it"),
        ("ratio 3:2 meaning", "ratio 3:2 meaning"),
        ("?!", ""),
    ],
)
def test_cleaning(text, cleaned):
    assert back_forward.clean(text, one_line=True) == cleaned


def test_a_summary_keeps_its_lines(server, generator):
    server.script = ["Summary: Saimaa on järvi.\nSe on suuri."]
    assert generations(generator(), sources())[0].summary == "Saimaa on järvi. Se on suuri."


@pytest.mark.parametrize(
    ("text", "lang", "fits"),
    [
        *(("iPhone とは", "ja", True), ("iPhone 15", "ja", False), ("湖", "zh", True), ("lake", "ko", False)),
        *(("järvi", "fi", True), ("озеро", "fi", False), ("بحيرة", "fa", True), ("సరస్సు", "te", True)),
    ],
)
def test_scripts(text, lang, fits):
    assert back_forward.in_script(text, lang) is fits


def test_every_language_has_a_script_that_is_known():
    from mdrbench.core.languages import LANGUAGES, SURPRISE

    for language in (LANGUAGES | SURPRISE).values():
        assert back_forward.in_script(language.native, language.code), language.code


def test_conventions_setup_and_budget(server, generator):
    conventions = generator().conventions()
    assert conventions["prompt"] == "back-forward-3"
    spec = back_forward.BackForward.spec
    fields = set(back_forward.Config.model_fields) - {*spec.run_only, *spec.added}
    assert fields == set(conventions) - {"generator", "prompt", "language_identifier"}
    with pytest.raises(SetupError, match="OPENAI_API_KEY is not set") as caught:
        generator(base_url=None).prepare(print)
    assert "replay" in caught.value.mend
    generator().prepare(print)
    with pytest.raises(StepError, match="3 requests of at most 3"):
        generations(generator(max_requests=3, concurrency=1), sources(5))
    assert len(server.requests) == 3
    assert len(generations(generator(), sources(5))) == 5


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("query that a person could type into a search engine and that the following text answers", "echo_answers"),
        ("An earlier reply was of no use: it was empty.", "echo_answers"),
        ("Saimaa on Suomen suurin järvi, ja siinä elää saimaannorppa.", "echo_answers"),
        ("Mikä on suurin järvi", "same_answers"),
        ("Mika on suurin järvi?", "same_answers"),
    ],
)
def test_echoes_and_near_copies_are_refused_and_counted(server, generator, query, reason):
    server.script = ["Saimaa on Suomen suurin järvi, ja siinä elää saimaannorppa.", query, "Missä norppa elää?"]
    asked = generator(concurrency=1)
    assert [generation.query for generation in generations(asked, sources())] == ["Missä norppa elää?"]
    assert asked.facts()[reason] == 1


def test_a_query_that_names_a_long_title_of_the_text_is_no_echo(server, generator):
    summary = "Kansainvälinen luonnonsuojeluliitto arvioi saimaannorpan uhanalaiseksi lajiksi."
    query = "milloin kansainvälinen luonnonsuojeluliitto perustettiin ja kuka sitä johtaa nyt?"
    server.script = [summary, query]
    assert [generation.query for generation in generations(generator(), sources())] == [query]


def test_a_query_that_was_generated_before_is_left_out_and_counted(server, generator):
    asked = generator(concurrency=1)
    found = [generation.query for generation in generations(asked, sources(3))]
    assert found == ["missä Saimaa on", None, None]
    facts = asked.facts()
    assert (facts["generated"], facts["duplicates"], facts["unreadable"]) == (3, 2, 2)


def test_a_generator_without_readable_answers_stops(server, generator):
    server.respond = lambda body: ""
    with pytest.raises(StepError, match=r"none of the last 20 items has a readable answer.*'empty_answers': 2"):
        generations(generator(reasks=0, concurrency=1), sources(200))
    assert len(server.requests) < 40


# -- checks of what comes back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lang", "other"),
    [
        ("What is the largest lake of the country?", "sw", "en"),
        ("¿Cuál es el lago más grande del país?", "sw", "es"),
        ("بزرگ‌ترین دریاچه کشور کدام است؟", "ar", "fa"),
        ("Ziwa kubwa zaidi nchini ni lipi?", "sw", None),
        ("Mikä on Suomen suurin järvi?", "fi", None),
        ("Saimaa?", "fi", None),  # a name may stand in any language
        ("What is it?", "xx", None),  # the identifier does not know the language
    ],
)
def test_the_language_check_refuses_only_what_is_surely_another_language(text, lang, other):
    assert _checks.other_language(text, lang) == other


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("Saimaa on Suomen suurin järvi.", True),
        ("Suomen suurin järvi", False),
        ("東京の人口は。", True),
        ("東京の人口はいくらか。", False),
        ("ทะเลสาบที่ใหญ่ที่สุดคืออะไร", False),
    ],
)
def test_statements_end_with_a_full_stop(text, statement):
    assert _checks.is_statement(text) is statement


def test_statements_are_refused_unless_any_query_is_asked_for(server, generator):
    server.script = ["Saimaa on järvi.", "Suomen suurin järvi on Saimaa nimeltään."] * 4
    asked = generator(concurrency=1, reasks=0)
    assert generations(asked, sources(1))[0].query is None
    assert asked.facts()["statement_answers"] == 1
    server.script = ["Suomen suurin järvi on Saimaa nimeltään."]  # the summary is stored
    loose = generator(concurrency=1, reasks=0, form="query")
    assert generations(loose, sources(1))[0].query == "Suomen suurin järvi on Saimaa nimeltään."
    assert "one query that a person" in server.requests[-1]["messages"][1]["content"]


def test_a_passage_that_does_not_fit_the_context_is_shortened(server, generator):
    def respond(body):
        text = body["messages"][1]["content"]
        if len(text) > 2000:
            return Reply(status=400, error="maximum context length is 512 tokens")
        return "Saimaa on Suomen suurin järvi." if "Summarise" in text else "Mikä järvi on suurin Suomessa nyt?"

    server.respond = respond
    [source] = sources(1)
    long = source._replace(positive=source.positive._replace(text="sana " * 1000))
    asked = generator()
    assert generations(asked, [long])[0].query == "Mikä järvi on suurin Suomessa nyt?"
    assert asked.facts()["shortened_to_fit"] == 1


def test_an_estimate_counts_two_requests_for_each_query(server, generator):
    asked = generator(price_input=1.0, price_output=1.0)
    found = asked.estimate(sources(3))
    assert (found.requests, found.stored, found.output_tokens) == (6, 0, 3 * (120 + 25))
    assert found.cost > 0
    assert asked.estimate([]).requests == 0
    assert server.requests == []


@pytest.mark.parametrize(
    ("one", "other", "copy"),
    [
        ("Mikä on suurin järvi?", "Mika on suurin järvi", True),
        ("Je,mji mkuu wa Estonia ni ipi?", "Je, mji mkuu wa Estonia ni upi?", True),
        ("What flows between Bingen and Bonn?", "What flows between Bimgen and Bonn?", True),
        ("Who is the chair of the IPCC?", "Who is the vice-chair of the IPCC?", False),
        ("When was Colette Justine born?", "Where was Colette Justine born?", False),
        ("متى توفي أبو عامر محمد بن أبي عامر؟", "متى ولد أبو عامر محمد بن أبي عامر؟", False),
    ],
)
def test_a_near_copy_differs_by_a_slip_and_not_by_a_word(one, other, copy):
    assert back_forward.similar(one, other) is copy
