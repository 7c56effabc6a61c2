"""What moved between versions of the results: a page, and an Atom feed."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from mdrbench.site.model.collection import language_name
from mdrbench.site.model.history import Change, Version
from mdrbench.site.model.number_format import number, signed
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages.page import Asset, Page

PAGE, FEED = "changes.html", "feed.xml"
ATOM = "http://www.w3.org/2005/Atom"


def pages(model: SiteModel) -> Iterator[Page | Asset]:
    """Yield the page and the feed; nothing if the results have no history."""
    if model.versions:
        context = {"versions": [(version, lines(version)) for version in model.versions], "feed": FEED}
        yield Page(PAGE, "changes.html", "What moved", context, "changes")
        yield Asset(FEED, _feed(model.versions))


def lines(version: Version) -> list[str]:
    """Describe the changes of a version, one system a line."""
    described = [_described(change) for change in version.changes]
    sources = sorted(version.published.items())
    return described + [f"published figures of {source}: {count} file{'s' * (count > 1)}" for source, count in sources]


def _described(change: Change) -> str:
    system = f"{change.system} on {change.dataset}"
    if change.what == "removed":
        return f"{system} removed"
    parts = []
    if change.what == "added":
        langs = f"{len(change.added)} language{'s' * (len(change.added) != 1)}"
        average = f", average {change.measure} {number(change.after)}" if change.after is not None else ""
        return f"{system} added: {langs}{average}"
    if change.added:
        parts.append(f"new in {', '.join(map(language_name, change.added))}")
    for lang, (before, after) in change.moved.items():
        parts.append(f"{language_name(lang)} {number(before)} to {number(after)} ({signed(after - before)})")
    if change.after is not None and change.before is not None:
        parts.append(f"average {number(change.before)} to {number(change.after)}")
    return f"{system}, {change.measure}: {'; '.join(parts)}"


def _feed(versions: list[Version]) -> bytes:
    """Write an Atom feed (RFC 4287). Addresses are relative, because the site does not know its own."""
    ElementTree.register_namespace("", ATOM)
    feed = ElementTree.Element(f"{{{ATOM}}}feed")
    _add(feed, "title", "mdrbench: what moved")
    _add(feed, "id", "urn:mdrbench:results")
    _add(feed, "updated", versions[0].date)
    author = ElementTree.SubElement(feed, f"{{{ATOM}}}author")
    _add(author, "name", "mdrbench")
    ElementTree.SubElement(feed, f"{{{ATOM}}}link", {"rel": "alternate", "href": PAGE})
    ElementTree.SubElement(feed, f"{{{ATOM}}}link", {"rel": "self", "href": FEED})
    for version in versions:
        entry = ElementTree.SubElement(feed, f"{{{ATOM}}}entry")
        _add(entry, "title", version.title)
        _add(entry, "id", f"urn:mdrbench:results:{version.commit}")
        _add(entry, "updated", version.date)
        ElementTree.SubElement(entry, f"{{{ATOM}}}link", {"rel": "alternate", "href": f"{PAGE}#v{version.commit[:12]}"})
        _add(entry, "content", "\n".join(lines(version)))
    written: bytes = ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return written


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, f"{{{ATOM}}}{name}").text = text
