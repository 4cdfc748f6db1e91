"""A page as its structure: what a reader of HTML finds, and what is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "input", "link", "hr"}
FLOW = {"p", "h1", "h2", "h3", "table", "figure", "section", "ul", "ol", "pre", "div", "details"}
PARENTS = {
    "li": {"ul", "ol"}, "tr": {"thead", "tbody"}, "td": {"tr"}, "th": {"tr"},
    "thead": {"table"}, "tbody": {"table"}, "summary": {"details"}, "figcaption": {"figure"},
}  # fmt: skip


@dataclass
class Page:
    """``pictures`` are the texts instead of pictures; ``text`` is that of elements with an id;
    ``made_by`` tells, by a table's anchor and a line's first cell, the command it links to.
    """

    wrong: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    headings: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    pictures: list[str] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=dict)
    made_by: dict[tuple[str, str], str] = field(default_factory=dict)
    policy: str = ""


def read_page(text: str) -> Page:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.page.wrong += [f"<{tag}> is never closed" for tag, _ in reader.open]
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.data: list[str] = []
        self.table = self.line = self.command = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self._check(tag, told)
        if tag not in VOID:
            self.open.append((tag, told))
        if tag in ("h1", "h2", "h3", "td", "code"):
            self.data = []
        if tag == "tr":
            self.line = ""
        if told.get("class") == "wide":
            self.table = told.get("aria-labelledby", "")
        if "-command-" in told.get("id", ""):
            self.command = told["id"]
        if tag == "a" and "-command-" in told["href"]:
            self.page.made_by.setdefault((self.table, self.line), told["href"][1:])
        if tag == "meta" and told.get("http-equiv") == "Content-Security-Policy":
            self.page.policy = told["content"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._check(tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            self.page.wrong.append(f"</{tag}> closes {self.open[-1:]}")
            return
        self.open.pop()
        text = "".join(self.data)
        if tag in ("h1", "h2", "h3"):
            self.page.headings[tag].append(text)
        if tag == "td":
            self.line = self.line or text
        if tag == "code":
            self.page.text[self.command] = text

    def handle_data(self, data: str) -> None:
        self.data.append(data)

    def _check(self, tag: str, told: dict[str, str]) -> None:
        page, parents = self.page, [name for name, _ in self.open]
        if "id" in told:
            page.wrong += [f"id {told['id']} twice"] if told["id"] in page.ids else []
            page.ids.add(told["id"])
        for name in ("href", "src", "action", "data"):
            value = told.get(name, "")
            if value.startswith("#"):
                page.links.add(value[1:])
            elif value and not value.startswith("data:image/"):
                page.wrong.append(f"<{tag} {name}={value}> is not in the page")
        for name in ("aria-labelledby",):
            page.links |= set(told.get(name, "").split())
        if "url(" in told.get("style", "").replace("url(#", ""):
            page.wrong.append(f"a style of <{tag}> is not in the page")
        if tag in PARENTS and not (parents and parents[-1] in PARENTS[tag]):
            page.wrong.append(f"<{tag}> in {parents[-1:]}")
        if tag in FLOW and {"p", "h1", "h2", "h3", "button", "a", "span"} & set(parents):
            page.wrong.append(f"<{tag}> in {parents}")
        if tag in ("svg", "img") and "svg" not in parents:
            page.pictures.append(told.get("aria-label" if tag == "svg" else "alt", ""))
        if tag == "th" and told.get("scope") != "col":
            page.wrong.append("<th> without a scope")
