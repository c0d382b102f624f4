"""The settings as every command reads them: the same as the functions', by the same names.

The environment goes over a settings file: the one that --settings or RETENTION_SETTINGS names, else
`local.settings.json` in the current folder, if it is there. It is in the Functions format, or holds the values of a
deployment, whose outputs have the settings' own names: `azd env get-values --output json > FILE`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shared.config import Config, load

if TYPE_CHECKING:
    from shared.wiring import Product

FILE_VARIABLE = "RETENTION_SETTINGS"
DEFAULT_FILE = Path("local.settings.json")

T = TypeVar("T")


def config() -> Config:
    """The settings. Raises ConfigError for a file that cannot be read, never for a setting that is missing."""
    named = os.environ.get(FILE_VARIABLE)
    if named:
        return load(os.environ, Path(named))
    return load(os.environ, DEFAULT_FILE if DEFAULT_FILE.is_file() else None)


def with_product(work: Callable[[Product], Awaitable[T]], *, governed: bool = False) -> T:
    """Do `work` with the wired product, and close its clients. `governed` connects the governed data too (Cosmos DB).

    Raises what `work` raises, ConfigError for a setting that it needs and that is missing.
    """
    values = config()
    from shared.wiring import Product  # noqa: PLC0415 - the Azure SDKs take a second to import: only where they serve

    async def run() -> T:
        app = Product(values)
        try:
            if governed:
                await app.__aenter__()
            return await work(app)
        finally:
            await app.close()

    return asyncio.run(run())
