"""`python -m bench.verify`: an auditor's check of a downloaded log against a bare SHA-256 loop over the same leaves.

The log is made once, by the log's own code in memory, and downloaded into a folder in the C2SP layout. Then both read
that folder, one after the other, each repetition anew:

- ours: `shared.ledger.verify.verify`, with all its checks: every entry an event in canonical form, no id twice, every
  leaf in its tile, every tile what the ones below hash to, the signature, the root;
- bare: the entry bundles alone. Read each file, cut it at its length prefixes, hash each entry with a zero byte before
  it, and the hashes in pairs with a one byte before them up to the root (RFC 6962). No check but the root's at the end.

Leaves per second, by the CPU time of the process (`ours`, `bare`) and by the clock on the wall (`ours/wall`).
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.journals import UNIT, journals, post
from bench.measure import BenchError
from bench.result import Result
from bench.scenario import main
from shared.ledger.checkpoint import Signer, Verifier, read_checkpoint
from shared.ledger.head import Ledger
from shared.ledger.log import append
from shared.ledger.reader import Live, download
from shared.ledger.seal import seal
from shared.ledger.source import CHECKPOINT, Folder
from shared.ledger.verify import verify
from shared.stores.memory import MemoryObjects

YEAR = "2026"
LEAVES = 200_000
REPETITIONS = 5


async def _made(leaves: int, folder: Path) -> Verifier:
    """A log of that many entries, downloaded into the folder; its key."""
    ledger = Ledger(
        origin="local.example/retention", tiles=MemoryObjects(), state=MemoryObjects(), journals=MemoryObjects()
    )
    for each in journals(leaves // UNIT):
        await post(ledger.journals, each, log=YEAR)
        await append(ledger, YEAR)
    signer = Signer(name=ledger.origin_of(YEAR), seed=bytes(32))
    await seal(ledger, YEAR, signer)
    await download(Live(ledger=ledger, year=YEAR), folder, verifiers=[signer.verifier])
    return signer.verifier


def bare_root(folder: Path) -> bytes:
    """The root over all entries of a downloaded log, by hashing and nothing else."""
    sha256 = hashlib.sha256
    peaks: list[tuple[int, bytes]] = []  # (leaves, hash) of the perfect trees so far, each smaller than the one before
    bundles = folder / "tile" / "entries"
    # By number: x001/000 comes after 999, a partial bundle (N.p/W) last of all.
    files = sorted((path for path in bundles.rglob("*") if path.is_file()), key=_number)
    for path in files:
        data = path.read_bytes()
        hashes = list[bytes]()
        at, end = 0, len(data)
        while at < end:
            first = at + 2
            at = first + (data[first - 2] << 8 | data[first - 1])
            hashes.append(sha256(b"\x00" + data[first:at]).digest())
        for leaf in hashes:
            size, node = 1, leaf
            while peaks and peaks[-1][0] == size:
                node = sha256(b"\x01" + peaks.pop()[1] + node).digest()
                size *= 2
            peaks.append((size, node))
    root = peaks.pop()[1]
    while peaks:
        root = sha256(b"\x01" + peaks.pop()[1] + root).digest()
    return root


def _number(path: Path) -> tuple[int, int]:
    groups = [part.removeprefix("x") for part in path.parts[path.parts.index("entries") + 1 :]]
    partial = groups[-2].endswith(".p") if len(groups) > 1 else False
    digits = "".join(groups[:-1] if partial else groups).removesuffix(".p")
    return int(digits), int(partial)


def _ours(folder: Path, verifier: Verifier) -> Callable[[], bytes | None]:
    def check() -> bytes | None:
        report = asyncio.run(verify(Folder(folder), verifier))
        return report.root if report.sound else None

    return check


def run(*, quick: bool) -> list[Result]:
    """Measure; a second or two where `quick`."""
    leaves, repetitions = (3 * UNIT, 1) if quick else (LEAVES, REPETITIONS)
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="retention-bench-") as scratch:
        folder = Path(scratch) / "log"
        verifier = asyncio.run(_made(leaves, folder))
        root = read_checkpoint((folder / CHECKPOINT).read_bytes()).root
        contestants: dict[str, Callable[[], bytes | None]] = {
            "ours": _ours(folder, verifier),
            "bare": lambda: bare_root(folder),
        }
        for _ in range(repetitions):
            for name, work in contestants.items():
                wall, cpu = time.perf_counter(), time.process_time()
                if work() != root:
                    raise BenchError(f"{name} came to another root than the checkpoint's")
                samples.setdefault(f"verify/{name}", []).append(leaves / (time.process_time() - cpu))
                samples.setdefault(f"verify/{name}/wall", []).append(leaves / (time.perf_counter() - wall))
    units = {name: "leaves/s" if name.endswith("/wall") else "leaves/s of CPU" for name in samples}
    return [Result(name=name, unit=units[name], samples=tuple(each)) for name, each in samples.items()]


if __name__ == "__main__":
    main(run)
