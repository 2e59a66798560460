"""The README and the docs name files that are there, every file of the engine, and commands that parse."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

from worldsim.cli.main import COMMANDS, split_command

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def file_map() -> str:
    """The README's section on its files."""
    return (ROOT / "README.md").read_text().split("## The files")[1].split("\n## ")[0]


def command_lines() -> list[str]:
    """Every indented `worldsim ...` or `python play.py ...` of the pages, lines joined."""
    lines = [line for page in PAGES for line in page.read_text().replace("\\\n", " ").splitlines()]
    play = [re.sub(r"^(.* && )?python play.py", "worldsim play", line.strip()) for line in lines if line[:4].isspace()]
    return sorted({line for line in play if line.startswith("worldsim ")})


def test_every_file_is_on_the_map():
    listed = file_map()
    files = [path for folder in ("worldsim", "envs", "policies") for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in files if path.name != "__init__.py" and path.name not in listed] == []


def test_every_file_on_the_map_is_there():
    names = {path.name for folder in ("worldsim", "envs", "policies") for path in (ROOT / folder).rglob("*.py")}
    assert set(re.findall(r"\b\w+\.py\b", file_map())) - names == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("line", command_lines())
def test_commands_parse(line):
    name, arguments = split_command(shlex.split(line, comments=True)[1:])
    command = COMMANDS[name]
    tyro.cli(getattr(importlib.import_module(command.module), command.config), args=arguments)
