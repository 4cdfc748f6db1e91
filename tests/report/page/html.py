"""The structure of a page as a parser sees it, and what is wrong with it."""

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
    """``pictures`` are the alternative texts of pictures; ``cells`` the texts of table cells;
    ``text`` is that of elements with an id. ``commands`` maps a table's anchor and the first cell
    of a row to the command that the row links to.
    """

    wrong: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    headings: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    pictures: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=dict)
    commands: dict[tuple[str, str], str] = field(default_factory=dict)
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
        self.table = self.row = self.command = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._check(tag, attributes)
        if tag not in VOID:
            self.open.append((tag, attributes))
        if tag in ("h1", "h2", "h3", "td", "code"):
            self.data = []
        if tag == "tr":
            self.row = ""
        if attributes.get("class") == "wide":
            self.table = attributes.get("aria-labelledby", "")
        if "-command-" in attributes.get("id", ""):
            self.command = attributes["id"]
        if tag == "a" and "-command-" in attributes["href"]:
            self.page.commands.setdefault((self.table, self.row), attributes["href"][1:])
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy":
            self.page.policy = attributes["content"]

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
            self.page.cells.append(text)
            self.row = self.row or text
        if tag == "code":
            self.page.text[self.command] = text

    def handle_data(self, data: str) -> None:
        self.data.append(data)

    def _check(self, tag: str, attributes: dict[str, str]) -> None:
        page, parents = self.page, [name for name, _ in self.open]
        if "id" in attributes:
            page.wrong += [f"id {attributes['id']} twice"] if attributes["id"] in page.ids else []
            page.ids.add(attributes["id"])
        for name in ("href", "src", "action", "data"):
            value = attributes.get(name, "")
            if value.startswith("#"):
                page.links.add(value[1:])
            elif value and not value.startswith("data:image/"):
                page.wrong.append(f"<{tag} {name}={value}> is not in the page")
        page.links |= set(attributes.get("aria-labelledby", "").split())
        if "url(" in attributes.get("style", "").replace("url(#", ""):
            page.wrong.append(f"a style of <{tag}> is not in the page")
        if tag in PARENTS and not (parents and parents[-1] in PARENTS[tag]):
            page.wrong.append(f"<{tag}> in {parents[-1:]}")
        if tag in FLOW and {"p", "h1", "h2", "h3", "button", "a", "span"} & set(parents):
            page.wrong.append(f"<{tag}> in {parents}")
        if tag in ("svg", "img") and "svg" not in parents:
            page.pictures.append(attributes.get("aria-label" if tag == "svg" else "alt", ""))
        if tag == "th" and attributes.get("scope") != "col":
            page.wrong.append("<th> without a scope")
