"""Folders with a manifest: whole, inside themselves, and nothing that was changed goes unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsim.artifact import ArtifactKind, digest
from worldsim.errors import WorldsimError

THING = ArtifactKind("a thing", "thing.json", 3, "make thing", "Make it again.")


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    with THING.staging(tmp_path / "thing") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("a")
        (folder / "b").write_text("b")
        THING.write_manifest(folder, {"says": 1})
    return tmp_path / "thing"


def rewrite(thing: Path, **changes: object) -> None:
    """Change a manifest and its digest with it, as somebody does who means harm."""
    manifest = {**json.loads((thing / "thing.json").read_text()), **changes}
    manifest["digest"] = digest(manifest)
    (thing / "thing.json").write_text(json.dumps(manifest))


def check(thing: Path) -> None:
    THING.check_files(thing, THING.read_manifest(thing)["files"])


def test_what_was_written_is_whole(thing):
    check(thing)
    (thing / "notes").write_text("nobody listed this")
    check(thing)
    assert THING.read_manifest(thing)["says"] == 1


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../b", "sub/../b", "./b", "sub//a", "C:b", "sub\\a", "..", "b\0"], ids=ascii
)
def test_names_outside_the_folder_are_refused(thing, name):
    rewrite(thing, files={name: {"bytes": 1, "sha256": "0"}})
    with pytest.raises(WorldsimError, match="not inside the folder.*Make it again"):
        check(thing)


def test_a_link_that_leads_out_is_refused(thing, tmp_path):
    (tmp_path / "secret").write_text("b")
    (thing / "b").unlink()
    (thing / "b").symlink_to(tmp_path / "secret")
    with pytest.raises(WorldsimError, match="a link that leads out"):
        check(thing)
    (thing / "b").unlink()
    (thing / "inside").write_text("b")
    (thing / "b").symlink_to("inside")
    check(thing)


@pytest.mark.parametrize(
    "changes", [{"files": 3}, {"files": {"b": 3}}, {"files": {"b": {"bytes": "1"}}}, {"format": 2}]
)
def test_damaged_manifests_are_one_error(thing, changes):
    rewrite(thing, **changes)
    with pytest.raises(WorldsimError, match="thing.json|format 2"):
        check(thing)


def test_what_was_changed_cut_or_removed_is_found(thing):
    for change, words in (("x", "was changed"), ("", "is cut")):
        (thing / "sub" / "a").write_text(change)
        with pytest.raises(WorldsimError, match=words):
            check(thing)
    (thing / "sub" / "a").unlink()
    with pytest.raises(WorldsimError, match="is missing"):
        check(thing)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "diary").write_text("dear diary")
    with pytest.raises(WorldsimError, match="holds something that is not a thing"), THING.staging(tmp_path):
        pass
    assert (tmp_path / "diary").read_text() == "dear diary"
