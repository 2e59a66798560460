"""The map of the project's files: a line a module, taken from its docstring. Knows no page and no site."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("worldsim", "envs", "policies")


def file_map(root: Path = ROOT) -> str:
    """A table a folder, a row a module: its path and the first sentence of its docstring.

    Raises:
        ValueError: for a module without a docstring.
    """
    modules = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    parts, folder = [], None
    for path in sorted(modules, key=lambda path: (FOLDERS.index(path.relative_to(root).parts[0]), path.parent, path)):
        if path.parent != folder:
            folder = path.parent
            parts.append(f"\n### {folder.relative_to(root).as_posix()}/\n\n| file | what it is |\n| --- | --- |\n")
        if line := first_sentence(path):
            parts.append(f"| `{path.name}` | {line} |\n")
    return "".join(parts)


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring; "" for an empty file.

    Raises:
        ValueError: if the module has code and no docstring.
    """
    tree = ast.parse(path.read_text("utf-8"))
    docstring = ast.get_docstring(tree)
    if docstring is None:
        if tree.body:
            raise ValueError(f"{path} has no docstring")
        return ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.?])\s", paragraph)[0].replace("|", "\\|")
