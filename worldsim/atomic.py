"""Files and folders that are written whole or not at all, by one writer at a time. Knows nothing of what is in them.

    atomic.write_text(path, text)                       a whole file, or the old one
    with atomic.replacing(path) as part: save(part)     the same for writers that want a name
    with atomic.staging(folder) as part: ...            a whole folder, or the old one
    with atomic.lock(folder): ...                       nobody else writes into it

Everything is written inside the folder that was named (links are resolved first), so a mount, a link or a folder whose
parent can't be written is as good as any other. What the operating system refuses becomes one `WorldsimError`.

A staged folder is written to `.partial`, renamed to `.ready` when it is whole, and to `.moving` when the old content is
gone; then its entries move up. A writer killed in the middle has lost nothing: `settle` finishes what it had begun.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from worldsim.errors import WorldsimError

PARTIAL, READY, MOVING, LOCK = ".partial", ".ready", ".moving", ".lock"
OWN = frozenset((PARTIAL, READY, MOVING, LOCK))  # names in a folder that are ours and not content
ELSEWHERE = "Give another place."
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # by some network file systems
WAIT = 10.0  # seconds that a reader waits for a writer that is moving a folder into place


def write_bytes(path: str | Path, data: bytes, way_out: str = ELSEWHERE) -> None:
    """Write a file, whole or not at all; folders above it are made.

    Raises:
        WorldsimError: if it can't be written, the disk is full, or another process is writing it.
    """
    with replacing(path, way_out) as part:
        part.write_bytes(data)


def write_text(path: str | Path, text: str, way_out: str = ELSEWHERE) -> None:
    """`write_bytes` of a text as UTF-8."""
    write_bytes(path, text.encode(), way_out)


class replacing:
    """A new file beside `path`, under a name of the same suffix, that takes its place when the context ends well.

    Args:
        path: of the file; folders above it are made.
        way_out: what to do if it can't be written, a sentence.

    Raises:
        WorldsimError: on entry, while it is written and on leaving, as `write_bytes`.
    """

    def __init__(self, path: str | Path, way_out: str = ELSEWHERE):
        self.path, self._way_out = Path(path), way_out
        with explained(self.path, way_out):
            self.path = self.path.resolve()
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder", str(self.path))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.part = self.path.with_name(f".{self.path.stem}.partial{self.path.suffix}")
            self._file: int | None = _open_locked(self.part)
            try:
                os.ftruncate(self._file, 0)  # what a killed writer left
            except BaseException:
                self.abandon()
                raise

    def commit(self) -> None:
        """Give the file its name."""
        try:
            with explained(self.path, self._way_out):
                with self.part.open("rb+") as written:
                    os.fsync(written.fileno())
                if sys.platform == "win32":  # where an open file can't be renamed
                    self._close()
                os.replace(self.part, self.path)
                self._close()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Leave no new file; without effect when that, or `commit`, was called before."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._close()
            self.part.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Path:
        return self.part

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return self.commit()
        self.abandon()
        if is_full(error):
            raise refused(self.path, error, self._way_out) from error


class Lock:
    """The right to write into a folder, until `release`, the end of its context, or the end of the process.

    The operating system drops it when the process dies, so that none is ever left over. Made by `lock`.
    """

    def __init__(self, folder: Path, file: int, made: tuple[Path, ...]):
        self.folder = folder
        self._release = weakref.finalize(self, _release, folder / LOCK, file, made, os.getpid())

    def release(self) -> None:
        """Let others write; a folder that was made for this and has nothing in it goes."""
        self._release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock(folder: str | Path, way_out: str = ELSEWHERE) -> Lock:
    """Be the one who writes into a folder, which is made if it isn't there.

    Raises:
        WorldsimError: if another process, or another part of this one, is writing there; or nothing can be written.
    """
    folder = Path(folder)
    with explained(folder, way_out):
        folder = folder.resolve()
        made = tuple(path for path in (folder, *folder.parents) if not path.exists())
        folder.mkdir(parents=True, exist_ok=True)
        return Lock(folder, _open_locked(folder / LOCK), made)


@contextlib.contextmanager
def staging(folder: str | Path, way_out: str = ELSEWHERE) -> Iterator[Path]:
    """An empty folder to write into, whose content takes the place of `folder`'s when the context ends well.

    Everything that `folder` had is gone then, but for names that begin with a dot.

    Raises:
        WorldsimError: if `folder` can't be written, the disk is full, or another process is writing there.
    """
    with lock(folder, way_out) as held:
        with explained(held.folder, way_out):
            _settle(held.folder)
            partial = held.folder / PARTIAL
            shutil.rmtree(partial, ignore_errors=True)  # of a writer that was killed
            partial.mkdir()
        try:
            yield partial
            with explained(held.folder, way_out):
                os.replace(partial, held.folder / READY)
                _settle(held.folder)
        except Exception as error:
            if is_full(error) and not isinstance(error, WorldsimError):
                raise refused(held.folder, error, way_out) from error
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def settle(folder: str | Path) -> None:
    """Before a folder is read: finish the move into place that a writer had begun when it was killed.

    Raises:
        WorldsimError: if that can't be done: the folder can't be written, or its writer doesn't come to an end.
    """
    folder, end = Path(folder), time.monotonic() + WAIT
    while (folder / READY).exists() or (folder / MOVING).exists():
        try:
            with lock(folder, "Make it writable for a moment: a writer was killed in it.") as held:
                _settle(held.folder)
        except WorldsimError:
            if time.monotonic() > end or not os.access(folder, os.W_OK):
                raise
            time.sleep(0.05)


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what a writer that was killed may have left of ours."""
    return not {path.name for path in folder.iterdir()} - OWN


def reserve(path: str | Path) -> None:
    """Have the disk keep room for all of a file that is written through a memory map.

    A map makes a file of holes, and writing to one on a full disk ends the process; so call this once it is mapped.

        with atomic.replacing(path) as part:
            array = np.lib.format.open_memmap(part, "w+", np.float16, shape)
            atomic.reserve(part)

    Raises:
        WorldsimError: if the disk has less.
    """
    path = Path(path)
    if hasattr(os, "posix_fallocate"):
        with explained(path), path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def check_room(folder: str | Path, needed: int, way_out: str = ELSEWHERE) -> None:
    """Make sure before a long write that the disk has room, where running out of it half-way can't be told.

    Args:
        folder: where it will be written; need not be there yet.
        needed: bytes.

    Raises:
        WorldsimError: if there is less.
    """
    with explained(Path(folder), way_out):
        there = next(path for path in (Path(folder).resolve(), *Path(folder).resolve().parents) if path.exists())
        free = shutil.disk_usage(there).free
    if free < needed:
        room = f"{needed / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free"
        raise WorldsimError(f"{folder} needs {room}. Free some space.")


@contextlib.contextmanager
def explained(path: Path, way_out: str = ELSEWHERE) -> Iterator[None]:
    """Turns what the operating system says about writing `path` into the user's error."""
    try:
        yield
    except OSError as error:
        raise refused(path, error, way_out) from error


def refused(path: Path, error: BaseException, way_out: str = ELSEWHERE) -> WorldsimError:
    """The user's error for what stopped a write."""
    if is_full(error):
        return WorldsimError(f"disk full while writing {path}; nothing of it was written. Free some space.")
    if isinstance(error, BlockingIOError):
        return WorldsimError(f"{path} is being written by another process. Wait until it is done, or end it.")
    return WorldsimError(f"can't write {path}: {getattr(error, 'strerror', None) or error}. {way_out}")


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full; some libraries say so in words only."""
    return getattr(error, "errno", None) in FULL or "No space left on device" in str(error)


def _settle(folder: Path) -> None:
    """The second half of `staging`, from wherever it was broken off; by the holder of the lock."""
    ready, moving = folder / READY, folder / MOVING
    if ready.exists():
        for old in folder.iterdir():
            if not old.name.startswith("."):
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        os.replace(ready, moving)
    if moving.exists():
        for entry in moving.iterdir():
            os.replace(entry, folder / entry.name)
        moving.rmdir()


def _release(path: Path, file: int, made: tuple[Path, ...], holder: int) -> None:
    if os.getpid() != holder:  # a forked child, whose parent still writes
        return
    with contextlib.suppress(OSError):
        if sys.platform == "win32":  # where an open file can't be removed
            os.close(file)
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        if sys.platform != "win32":
            os.close(file)
        for folder in made:
            folder.rmdir()


def _open_locked(path: Path) -> int:
    """Open a file that nobody else has locked, and lock it.

    Raises:
        BlockingIOError: if somebody has.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock_file(file)
            if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its holder removed or renamed it between our two steps: another file has the name now


def _lock_file(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 2**40, os.SEEK_SET)  # a lock there is mandatory: far away from what is written
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(errno.EWOULDBLOCK, "locked") from error
        finally:
            os.lseek(file, 0, os.SEEK_SET)
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in UNSUPPORTED:  # a file system without locks goes without
                raise
