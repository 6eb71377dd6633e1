"""A disk that forgets on a power cut what was not fsynced: replays the recorder's log and rewrites the folder.

The model is that of a journalling file system with barriers:

- What a file holds after fsync or fdatasync stays.
- A write or truncation since then may be there, torn at sectors, or not, each independent of the others.
- Names (made, renamed, removed) become durable in order: by an fsync of the folder, or of a file for the names up
  to its own. Of the remaining ones a first part survives.
"""

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = struct.Struct("<B7xQqQ")
_SECTOR_BYTES = 512
_REBUILT = "-shm"  # SQLite's shared memory, which it makes anew from the log that is beside it


def build_recorder(folder: Path) -> Path:
    """Compile the library that is preloaded into agents.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    library = folder / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("no C compiler: install Debian's package gcc, which brings cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return library


@dataclass(slots=True)
class _Change:
    """A write at an offset or, where there is no content, a new size."""

    offset: int
    content: bytes | None

    def apply(self, image: bytearray) -> None:
        if self.content is None:
            self._resize(image, self.offset)
            return
        end = self.offset + len(self.content)
        if end > len(image):
            self._resize(image, end)
        image[self.offset : end] = self.content

    def torn(self, chance: random.Random) -> Iterator["_Change"]:
        """The sectors of this write that reached the disk."""
        content = self.content
        if content is None:
            yield self
            return
        starts = [0, *range(_SECTOR_BYTES - self.offset % _SECTOR_BYTES, len(content), _SECTOR_BYTES)]
        for first, last in zip(starts, [*starts[1:], len(content)], strict=True):
            if chance.random() < 0.5:
                yield _Change(self.offset + first, content[first:last])

    @staticmethod
    def _resize(image: bytearray, size: int) -> None:
        del image[size:]
        image.extend(bytes(size - len(image)))


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.durable)
        self.pending.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        image = bytearray(self.durable)
        match chance.choice(("nothing", "everything", "first part", "some", "torn")):
            case "everything":
                survivors = self.pending
            case "first part":
                survivors = self.pending[: chance.randint(0, len(self.pending))]
            case "some":
                survivors = [change for change in self.pending if chance.random() < 0.5]
            case "torn":
                survivors = [part for change in self.pending for part in change.torn(chance)]
            case _:
                survivors = []
        for change in survivors:
            change.apply(image)
        return bytes(image)


@dataclass(frozen=True, slots=True)
class _Renaming:
    """A name that came to stand for a file, or for none any more, and the one that it had before, if any."""

    name: str
    file: _File | None
    before: str | None = None

    def apply(self, names: dict[str, _File]) -> None:
        names.pop(self.name, None)
        if self.before is not None:
            names.pop(self.before, None)
        if self.file is not None:
            names[self.name] = self.file


class Disk:
    """The folder of one agent as the disk has it; the agent runs with ``environment``.

    Args:
        folder: what is recorded; exists and belongs to nobody else.
        log: where the recorder writes.
        recorder: the compiled library.
    """

    def __init__(self, folder: Path, log: Path, recorder: Path) -> None:
        self._folder, self._log = folder, log
        self.recorder = recorder
        self.environment = {"CRASH_MATRIX_FOLDER": str(folder), "CRASH_MATRIX_LOG": str(log)}
        self.adopt()

    def adopt(self) -> None:
        """Take the folder as it is now for durable, as after a copy that was synced; no agent may run."""
        self._log.write_bytes(b"")
        self._live = {
            str(path.relative_to(self._folder)): _File(bytearray(path.read_bytes()))
            for path in self._folder.rglob("*")
            if path.is_file() and not path.name.endswith(_REBUILT)
        }
        self._durable = dict(self._live)
        self._renamings: list[_Renaming] = []
        self._inodes: dict[int, _File] = {}

    def absorb(self) -> None:
        """Read what the recorder has noted so far and empty its log; no agent may run."""
        for op, inode, offset, content in _entries(self._log.read_bytes()):
            self._replay(op, inode, offset, content)
        self._log.write_bytes(b"")

    def cut_power(self, chance: random.Random) -> None:
        """Leave in the folder what a power cut at this instant may leave; no agent may run any more."""
        self.absorb()
        names = dict(self._durable)
        for renaming in self._renamings[: chance.randint(0, len(self._renamings))]:
            renaming.apply(names)
        empty(self._folder)
        for name, file in names.items():
            path = self._folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.after_cut(chance))
        self.adopt()

    def _replay(self, op: str, inode: int, offset: int, content: bytes) -> None:
        file = self._inodes.get(inode)
        match op:
            case "O":
                self._open(self._name(content), inode, created=bool(offset & 1), truncated=bool(offset & 2))
            case "W" if file is not None:
                file.pending.append(_Change(offset, content))
            case "T" if file is not None:
                file.pending.append(_Change(offset, None))
            case "S" if file is not None:
                file.sync()
                self._sync_names(file)
            case "D":
                self._sync_names(None)
            case "U":
                self._rename(_Renaming(self._name(content), None))
            case "R":
                before, name = map(self._name, content.split(b"\0"))
                self._rename(_Renaming(name, self._live.get(before), before))

    def _name(self, path: bytes) -> str:
        return os.path.relpath(os.fsdecode(path), self._folder)

    def _open(self, name: str, inode: int, *, created: bool, truncated: bool) -> None:
        if name.endswith(_REBUILT):
            self._inodes.pop(inode, None)
            return
        if created or name not in self._live:
            self._rename(_Renaming(name, _File()))
        file = self._inodes[inode] = self._live[name]
        if truncated:
            file.pending.append(_Change(0, None))

    def _rename(self, renaming: _Renaming) -> None:
        if not renaming.name.endswith(_REBUILT):
            renaming.apply(self._live)
            self._renamings.append(renaming)

    def _sync_names(self, file: _File | None) -> None:
        """Make names durable: all, or those up to the last one of a file."""
        concerned = [number for number, one in enumerate(self._renamings, 1) if file is None or one.file is file]
        settled = concerned[-1] if concerned else 0
        for renaming in self._renamings[:settled]:
            renaming.apply(self._durable)
        del self._renamings[:settled]


def empty(folder: Path) -> None:
    """Remove everything in a folder."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _entries(log: bytes) -> Iterator[tuple[str, int, int, bytes]]:
    """The entries of a log; one that a kill cut short is the last and was not synced."""
    place = 0
    while place + _HEAD.size <= len(log):
        op, inode, offset, size = _HEAD.unpack_from(log, place)
        place += _HEAD.size
        if place + size > len(log):
            return
        yield chr(op), inode, offset, log[place : place + size]
        place += size
