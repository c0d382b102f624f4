"""What the seed is made of: blobs and items, as the stores will have them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A blob: a picture (`camera` and `home` are set), a file of a backup set, a log, or one of no layout's name.

    `taken` is when the picture or the backup was taken, or the log's hour began; None where the name tells no such
    time. `text` is what a log says.
    """

    container: str
    name: str
    taken: datetime | None = None
    home: str = ""
    camera: str = ""
    text: str = ""
    leased: bool = False


@dataclass(frozen=True, kw_only=True)
class Item:
    """A Cosmos item. `untouched`: for how long nobody wrote to it; negative: for so long it will seem just written."""

    container: str
    partition: str
    body: Mapping[str, Any]
    untouched: timedelta = timedelta()
