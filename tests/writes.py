"""Every call of the product by which something is written or sent: found in its source, and met again on the stack.

So the tests can hold that each of them is among those that fail, by name, and that none was forgotten. What stands
between the callers and a store (the adapters, and the two outboxes as one) is no caller.
"""

import ast
import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from shared.stores.memory import MemoryObjects

ROOT = Path(__file__).parents[1]
PLACES = ("shared", "functions")
NOT_CALLERS = ("shared/stores/", "shared/ledger/outboxes.py", "shared/connections.py")
NO_WRITES = ("shared/ledger/event_ids.py",)  # its table is its own and temporary

WRITE = re.compile(
    r"""(^|\.)(create | delete | send | write | create_same | save | flush | _swap | _move | _beat | post | ring
        | set_current | set_pause | set_progress | touch | settle | tell_late | send_slice | start_erasure | admit)$
    | \bself\.(close | dismiss)$ | \bself\._(write | save | flush | record | end | change | post | forward | correct | in_force | see_to | place)$
    | \b(journals\.(open | forestall | let_go) | runs\.(add | end) | register\.(note | close) | keys\.(of | close | get) | self\.update
        | parking\.(park | forget | close | dismiss) | heartbeats\.(timer | category) | restrict)$""",
    re.VERBOSE,
)
"""The calls that write, by the text of what is called: an ObjectStore's and a Queue's own, and those that pass it on."""

DEPTH = 20  # of the stack that is kept of where a task's coroutine was made


@dataclass(frozen=True, order=True, kw_only=True)
class Site:
    """One call in the source: the `nth` of this text in its function."""

    file: str
    function: str
    call: str
    nth: int

    def __str__(self) -> str:
        return f"{self.file} {self.function}: {self.call}" + (f" ({self.nth})" if self.nth > 1 else "")

    @property
    def where(self) -> str:
        """The function, as the table of writes names it."""
        return f"{self.file.removeprefix('shared/')} {self.function}"


@cache
def sites() -> dict[str, list[tuple[range, Site]]]:
    """Every site by the absolute path of its file, with the lines that the call is on."""
    found: dict[str, list[tuple[range, Site]]] = {}
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if not name.startswith((*NOT_CALLERS, *NO_WRITES)):
                found[str(path)] = list(_of_file(name, ast.parse(path.read_text())))
    return found


def all_sites() -> set[Site]:
    """Every site there is."""
    return {site for each in sites().values() for _, site in each}


def here() -> frozenset[Site]:
    """The sites on the stack: who is writing now, while it is `traced`. Of a task, where its coroutine was made counts too."""
    if not sys.get_coroutine_origin_tracking_depth():  # nobody asks
        return frozenset()
    found: set[Site] = set()
    frame = sys._getframe(1)
    while frame is not None:
        found |= _at(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    task = asyncio.current_task()
    for file, line, _ in (task and getattr(task.get_coro(), "cr_origin", None)) or ():
        found |= _at(file, line)
    return frozenset(found)


class Written(list):
    """What `MemoryObjects.writes` is, with the sites of each write beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.sites: list[frozenset[Site]] = []

    def append(self, write: tuple[str, str]) -> None:
        super().append(write)
        self.sites.append(here())


Objects = TypeVar("Objects", bound=MemoryObjects)


def written(store: Objects) -> Objects:
    """The store, which keeps the sites of what is written."""
    store.writes = Written()
    return store


@contextmanager
def traced() -> Iterator[None]:
    """Have tasks know where their coroutines were made, and the stores and queues note who writes."""
    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(DEPTH)
    try:
        yield
    finally:
        sys.set_coroutine_origin_tracking_depth(before)


def _at(file: str, line: int) -> set[Site]:
    return {site for lines, site in sites().get(file, ()) if line in lines}


def _of_file(name: str, tree: ast.Module) -> Iterator[tuple[range, Site]]:
    counted: dict[tuple[str, str], int] = {}
    awaited: dict[int, ast.AST] = {}  # by the call that is awaited, itself or handed on as a `partial`
    for each in ast.walk(tree):
        if isinstance(each, ast.Await) and isinstance(each.value, ast.Call):
            awaited |= {id(inner): each for inner in (each.value, *each.value.args)}
    for function, call in _calls(tree, ""):
        called = call.args[0] if ast.unparse(call.func) == "partial" else call.func
        text = ast.unparse(called)
        port = isinstance(called, ast.Attribute) and called.attr == "replace"
        if not (WRITE.search(text) or (port and any(each.arg == "etag" for each in call.keywords))):
            continue
        nth = counted[function, text] = counted.get((function, text), 0) + 1
        whole = awaited.get(id(call), call)
        lines = range(whole.lineno, (whole.end_lineno or whole.lineno) + 1)
        yield lines, Site(file=name, function=function, call=text, nth=nth)


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the qualified name of the function that it stands in, in the order of the source.

    Not those in a lambda: it only makes what is awaited elsewhere, and is on no stack then.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Lambda):
            continue
        inside = function
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{function}.{child.name}".lstrip(".")
        if isinstance(child, ast.Call):
            yield inside, child
        yield from _calls(child, inside)
