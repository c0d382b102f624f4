"""Where a year's log is read from: a folder in the C2SP layout, or anything else that answers by path."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

CHECKPOINT = "checkpoint"
NUMBERED = "checkpoints/"
VERIFIER_KEY = "verifier.key"
MOST_BYTES = 256 * (2 + 65_535) + 1  # one byte more than the largest bundle can have


class Source(Protocol):
    """One year's log by the paths of C2SP tlog-tiles; numbered checkpoints stand beside them where they are kept."""

    async def read(self, path: str) -> bytes | None:
        """Bytes at the path, None where there are none."""

    def numbered(self) -> AsyncIterator[str]:
        """Paths of the numbered checkpoints in the order of names; none where they are not kept."""


class Folder:
    """A log in a folder, as `download` writes it. Files are read at once: a thread for each costs more than it does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def read(self, path: str) -> bytes | None:
        """Bytes of the file, None where there is none."""
        return self._read(self._folder / path)

    async def numbered(self) -> AsyncIterator[str]:
        """Files in `checkpoints/`."""
        for name in self._names(self._folder / NUMBERED):
            yield NUMBERED + name

    @staticmethod
    def _read(path: Path) -> bytes | None:
        """A regular file's first MOST_BYTES: a folder from somewhere may hold pipes, devices and endless files."""
        try:
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        try:
            about = os.fstat(opened)
            if not stat.S_ISREG(about.st_mode):
                return None
            data = os.read(opened, min(about.st_size + 1, MOST_BYTES))  # not MOST_BYTES: so much memory costs time
            while about.st_size < len(data) < MOST_BYTES and (more := os.read(opened, MOST_BYTES - len(data))):
                data += more
            return data
        finally:
            os.close(opened)

    @staticmethod
    def _names(folder: Path) -> list[str]:
        return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
