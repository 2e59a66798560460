"""README and docs: links resolve, commands parse, code runs, figures and the file map come from their sources."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tyro

from worldsim.cli.main import COMMANDS, split_command
from worldsim.errors import WorldsimError

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
LONGEST_README = 120  # lines
PREFIXES = (  # of command lines that the worldsim command parses
    (r"(.* && )?python play\.py", "worldsim play"),
    (r"torchrun .*-m worldsim\.cli\.main", "worldsim"),
)


@pytest.fixture(autouse=True)
def docs_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)


def command_lines() -> list[str]:
    """Every indented command of the pages that the worldsim command parses, continued lines joined."""
    found = set()
    for page in PAGES:
        for line in page.read_text().replace("\\\n", " ").splitlines():
            if not line.startswith("    "):
                continue
            line = line.strip()
            for pattern, command in PREFIXES:
                line = re.sub(f"^{pattern}", command, line)
            if line.startswith("worldsim "):
                found.add(line)
    return sorted(found)


def test_readme_fits_on_two_screens():
    assert len(README.read_text().splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page):
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_commands_are_found():
    lines = command_lines()
    assert "worldsim play" in lines
    assert any(line.startswith("worldsim train ") for line in lines)


@pytest.mark.parametrize("line", command_lines())
def test_commands_parse(line):
    name, arguments = split_command(shlex.split(line, comments=True)[1:])
    command = COMMANDS[name]
    tyro.cli(getattr(importlib.import_module(command.module), command.config), args=arguments)


def test_readme_code_runs():
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def test_readme_table_is_what_the_cards_say():
    figures = importlib.import_module("figures")
    page = README.read_text("utf-8")
    assert page == figures.with_summary(page, figures.read_cards()), "run: python docs/figures.py --write"


@pytest.fixture
def worlds(tmp_path) -> Path:
    """Two worlds with a card each; the second lacks all but one figure."""
    figures = importlib.import_module("figures")
    whole = {row.key: {"value": 0.25, "unit": "%", "label": row.label} for row in figures.SUMMARY}
    whole |= {row.ceiling: {"value": 0.4, "unit": "%", "label": "ceiling"} for row in figures.SUMMARY if row.ceiling}
    for name, content in (("a", whole), ("b", {"bench.size_mb": {"value": 12.5, "unit": "MB", "label": "size"}})):
        folder = tmp_path / "worlds" / name
        folder.mkdir(parents=True)
        (folder / "world.json").write_text(json.dumps({"spec": {"title": name.upper()}}))
        (folder / "card.json").write_text(json.dumps({"figures": content}))
    return tmp_path / "worlds"


def test_figures_come_from_the_cards(worlds):
    figures = importlib.import_module("figures")
    cards = figures.read_cards(worlds)
    header, _, *rows = figures.summary(cards).splitlines()
    assert header == "|  | A | B |"
    cells = {row.split(" | ")[0].removeprefix("| "): row.removesuffix(" |").split(" | ")[1:] for row in rows}
    assert cells["autoencoder PSNR"] == ["25.0 %", "-"]
    assert cells["size on disk"] == ["25.0 %", "12.5 MB"]
    assert cells["actions followed, relative to real frames"] == ["-", "-"]  # a reader that can't read real frames
    assert "`bench.size_mb` | size | 12.5 MB" in figures.everything(cards)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"figures": {"x": {"value": 1}}}'])
def test_a_missing_or_broken_card_is_one_error(worlds, content):
    figures = importlib.import_module("figures")
    card = worlds / "a" / "card.json"
    card.unlink() if content is None else card.write_text(content)
    with pytest.raises(WorldsimError, match=r"card\.json.* Run: worldsim card a"):
        figures.read_cards(worlds)


def test_a_figure_that_no_card_has_is_named(worlds):
    figures = importlib.import_module("figures")
    (worlds / "a" / "card.json").write_text('{"figures": {}}')
    with pytest.raises(WorldsimError, match=r"fidelity\.codec_psnr"):
        figures.summary(figures.read_cards(worlds))


def test_the_map_has_every_file_and_its_first_sentence():
    listed = importlib.import_module("file_map").file_map()
    files = [path for folder in ("worldsim", "envs", "policies") for path in (ROOT / folder).rglob("*.py")]
    for path in files:
        assert f"### {path.parent.relative_to(ROOT).as_posix()}/" in listed
        assert f"| `{path.name}` |" in listed
    assert "| `errors.py` | " in listed


def test_the_map_refuses_a_file_that_says_nothing(tmp_path):
    file_map = importlib.import_module("file_map").file_map
    (tmp_path / "worldsim").mkdir()
    (tmp_path / "worldsim" / "silent.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"silent\.py has no docstring"):
        file_map(tmp_path)
    (tmp_path / "worldsim" / "silent.py").write_text('"""Adds one. Knows no two."""\n\nx = 1\n')
    assert "| `silent.py` | Adds one. |" in file_map(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is missing: pip install '.[docs]'")
def test_the_site_builds(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert "errors.py" in (site / "design" / "index.html").read_text()
    assert "fidelity.codec_psnr" in (site / "figures" / "index.html").read_text()
    assert (site / "cards" / "doom-maze" / "index.html").exists()
