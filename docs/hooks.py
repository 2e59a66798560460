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
CARD_LINK = re.compile(r"\.\./((?:\.\./)*)worldsim/worlds/([\w-]+)/card\.md")


GENERATED = {
    "files": file_map,
    "summary": lambda: figures.summary(figures.read_cards()),
    "figures": lambda: figures.everything(figures.read_cards()),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the card and the film strip of every shipped world."""
    for card in sorted(figures.WORLDS.glob("*/card.md")):
        for source, name in ((card, "index.md"), (card.with_name("strip.png"), "strip.png")):
            if source.exists():
                uri = f"cards/{card.parent.name}/{name}"
                made = File.generated(config, uri, abs_src_path=str(source), inclusion=InclusionLevel.NOT_IN_NAV)
                files.append(made)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what the page asks for, and let its links to cards lead to the cards' pages."""
    filled = MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)
    return CARD_LINK.sub(r"\1cards/\2/index.md", filled)
