"""Questions to a language model."""

from __future__ import annotations

from contextlib import closing

from mdrbench.llm.chat import Chat, Question


def question(text: str, **changes) -> Question:
    return Question("test", "1", [{"role": "user", "content": text}], {"qid": text}, **changes)


def ask_all(chat: Chat, texts: list[str]) -> list[str]:
    with closing(chat.each(lambda text: chat.ask(question(text), lambda a: None).text, texts)) as found:
        return list(found)
