"""What mkdocs generates: the map of the files, the figures of the cards, and a page for each card.

A page asks for it by a line `<!-- generated: NAME -->`, where NAME is files, summary or figures.
"""

from __future__ import annotations

import re

import figures
from file_map import file_map
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
CARD_LINK = re.compile(r"\.\./((?:\.\./)*)worldsim/(worlds|imaginers)/([\w-]+)/card\.md")


GENERATED = {
    "files": file_map,
    "summary": lambda: figures.summary(figures.read_cards()),
    "figures": lambda: figures.everything(figures.read_cards()),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the card and the film strip of every shipped world and imaginer."""
    folder = figures.WORLDS.parent
    for card in sorted([*folder.glob("worlds/*/card.md"), *folder.glob("imaginers/*/card.md")]):
        for source, name in ((card, "index.md"), (card.with_name("strip.png"), "strip.png")):
            if source.exists():
                uri = f"cards/{_folder(card.parents[1].name)}{card.parent.name}/{name}"
                made = File.generated(config, uri, abs_src_path=str(source), inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(made)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what the page asks for, and let its links to cards lead to the cards' pages."""
    filled = MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)
    return CARD_LINK.sub(lambda link: f"{link[1]}cards/{_folder(link[2])}{link[3]}/index.md", filled)


def _folder(kind: str) -> str:
    """Where the cards of a kind are: those of worlds above all others."""
    return "" if kind == "worlds" else f"{kind}/"
