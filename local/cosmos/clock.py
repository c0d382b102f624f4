"""The server's clock: the machine's, moved by an offset that tests set and that survives a restart."""

import time
from email.utils import formatdate

from local.cosmos.storage import Storage

_SETTING = "clock_offset_seconds"


class Clock:
    """Gives ``_ts``, ``Date`` and the moment for time to live.

    :param storage: keeps the offset.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._offset = float(storage.setting(_SETTING) or 0)

    @property
    def offset_seconds(self) -> float:
        """Seconds that this clock is ahead of the machine's."""
        return self._offset

    def move(self, offset_seconds: float) -> None:
        """Set the offset to the machine's clock; negative is behind."""
        self._storage.set_setting(_SETTING, repr(offset_seconds))
        self._offset = offset_seconds

    def now(self) -> int:
        """Whole seconds since 1970, UTC."""
        return int(time.time() + self._offset)

    def http_date(self) -> str:
        """The ``Date`` header."""
        return formatdate(self.now(), usegmt=True)
