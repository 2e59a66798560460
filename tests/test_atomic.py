"""Files and folders are there whole or not at all, one writer at a time, wherever they are and whoever is killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worldsim import atomic
from worldsim.errors import WorldsimError

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mounts, made by Linux's unshare")


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def in_a_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount."""
    ran = subprocess.run(["unshare", "-Urm", "sh", "-c", f"echo there; {script}"], capture_output=True, text=True)
    if "there" not in ran.stdout:
        pytest.skip(f"no user namespaces: {ran.stderr.strip()}")
    return ran


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):
        atomic.write_text(path, text)
        assert content(tmp_path) == {"new/a.txt": text}


def test_a_file_that_fails_leaves_the_older_one(tmp_path):
    atomic.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic.replacing(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise RuntimeError
    assert content(tmp_path) == {"a.txt": "old"}


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "a.txt").symlink_to(tmp_path / "real" / "b.txt")
    atomic.write_text(tmp_path / "a.txt", "text")
    assert content(tmp_path / "real") == {"b.txt": "text"}
    with atomic.staging(tmp_path / "link") as folder:
        (folder / "c.txt").write_text("text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a.txt").is_symlink()
    assert content(tmp_path / "real") == {"c.txt": "text"}


@pytest.mark.parametrize("say", [OSError(errno.ENOSPC, "full"), RuntimeError("I/O error: No space left on device")])
def test_a_full_disk_is_one_error_whoever_says_so(tmp_path, say):
    for writing in (atomic.replacing(tmp_path / "a.txt"), atomic.staging(tmp_path / "folder")):
        with pytest.raises(WorldsimError, match="disk full while writing .* Free some space"), writing:
            raise say
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_one_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    for write in (
        lambda: atomic.write_text(tmp_path, "x"),
        lambda: atomic.write_text(tmp_path / "file" / "x", "x"),
        lambda: atomic.write_text("/proc/none/x", "x"),
        lambda: atomic.lock(tmp_path / "file"),
        lambda: atomic.lock("/proc/none"),
    ):
        with pytest.raises(WorldsimError, match="can't write .* Give another place"):
            write()
    assert content(tmp_path) == {"file": "mine"}


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("one", "two"):
        with atomic.staging(tmp_path / "deep" / "out") as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / name).write_text(name)
            (folder / f"{name}.txt").write_text(name)
        assert content(tmp_path) == {f"deep/out/sub/{name}": name, f"deep/out/{name}.txt": name}


def test_a_folder_that_fails_leaves_the_older_one_or_none(tmp_path):
    with atomic.staging(tmp_path / "old") as folder:
        (folder / "a").write_text("old")
    for name in ("old", "deep/new"):
        with pytest.raises(RuntimeError), atomic.staging(tmp_path / name) as folder:
            (folder / "a").write_text("half")
            raise RuntimeError
    assert content(tmp_path) == {"old/a": "old"} and [path.name for path in tmp_path.iterdir()] == ["old"]


KILLED = """
import os, signal, sys
from pathlib import Path
from worldsim import atomic
replace, count = os.replace, [0]
def killed(*names):
    if count[0] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    count[0] += 1
    replace(*names)
os.replace = killed
with atomic.staging(sys.argv[1]) as folder:
    for name in "abc":
        (folder / name).write_text("new")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX does")
@pytest.mark.parametrize("moves", range(5))
def test_a_writer_killed_between_any_two_moves_leaves_one_whole_folder(tmp_path, moves):
    with atomic.staging(tmp_path) as folder:
        for name in "abd":
            (folder / name).write_text("old")
    ran = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(moves)])
    assert ran.returncode == -signal.SIGKILL
    atomic.settle(tmp_path)
    found = {name: text for name, text in content(tmp_path).items() if not name.startswith(".")}
    assert found == (dict.fromkeys("abd", "old") if moves == 0 else dict.fromkeys("abc", "new"))
    with atomic.staging(tmp_path) as folder:  # and nothing is in the way of the next one
        (folder / "e").write_text("newer")
    assert content(tmp_path) == {"e": "newer"}


def test_the_second_writer_is_refused_by_name_until_the_first_is_done(tmp_path):
    with atomic.lock(tmp_path / "out"):
        for second in (atomic.lock, lambda path: atomic.staging(path).__enter__()):
            with pytest.raises(WorldsimError, match="out is being written by another process"):
                second(tmp_path / "out")
    with atomic.staging(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
    assert content(tmp_path) == {"out/a": "a"}


def test_two_writers_of_one_file_are_one_too_many(tmp_path):
    with atomic.replacing(tmp_path / "a.txt") as part:
        with pytest.raises(WorldsimError, match=r"a.txt is being written by another process"):
            atomic.write_text(tmp_path / "a.txt", "second")
        part.write_text("first")
    assert content(tmp_path) == {"a.txt": "first"}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX does")
def test_a_lock_dies_with_its_process(tmp_path):
    script = f"from worldsim import atomic; held = atomic.lock({str(tmp_path)!r}); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(WorldsimError, match="another process"):
            atomic.lock(tmp_path)
        other.kill()
    atomic.lock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_forgotten_is_released(tmp_path):
    held = atomic.lock(tmp_path)
    del held
    atomic.lock(tmp_path).release()


@LINUX
def test_mounts_and_folders_of_a_read_only_parent_are_written_into(tmp_path):
    (tmp_path / "readonly" / "out").mkdir(parents=True)
    write = f"""{sys.executable} -c 'import sys; from worldsim import atomic
for name in sys.argv[1:]:
    for text in ("one", "two"):
        with atomic.staging(name) as folder: (folder / "a").write_text(text)
    print(sorted(p.name for p in __import__("pathlib").Path(name).iterdir()))'"""
    ran = in_a_namespace(f"""cd {tmp_path}; mkdir mount; mount -t tmpfs none mount
        mount --bind readonly readonly; mount --bind readonly/out readonly/out; mount -o remount,bind,ro readonly
        {write} mount readonly/out""")
    assert ran.stdout.splitlines()[1:] == ["['a']", "['a']"], ran.stderr


@LINUX
def test_room_is_reserved_before_it_is_mapped(tmp_path):
    ran = in_a_namespace(f"""mount -t tmpfs -o size=64k none {tmp_path}; {sys.executable} -c '
import numpy as np
from worldsim import atomic
for size in (1000, 10**6):
    try:
        with atomic.replacing("{tmp_path}/a.npy") as part:
            array = np.lib.format.open_memmap(part, "w+", np.uint8, (size,))
            atomic.reserve(part)
            array[:] = 1
            print(array.sum())
    except ValueError as error: print(error)
try: atomic.check_room("{tmp_path}/b/c", 10**6)
except ValueError as error: print(error)'; ls -A {tmp_path}""")
    _, reserved, full, room, listed = ran.stdout.splitlines()
    assert reserved == "1000" and "disk full while writing" in full and "needs 1.0 MB" in room and listed == "a.npy"


def test_a_forked_child_does_not_end_its_parents_lock(tmp_path):
    if not hasattr(os, "fork"):
        pytest.skip("nothing forks here")
    with atomic.lock(tmp_path) as held:
        script = "\n".join(
            (
                "import os, sys; from worldsim import atomic",
                f"held = atomic.lock({str(tmp_path / 'x')!r})",
                "child = os.fork()",
                "if not child: del held; os._exit(0)",
                "os.waitpid(child, 0); print(os.path.exists(held.folder / '.lock'))",
            )
        )
        assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "True\n"
        assert held.folder == tmp_path.resolve()
