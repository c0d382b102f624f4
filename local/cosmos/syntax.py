"""The parts of a query that the local Cosmos DB server understands, as plain values."""

from dataclasses import dataclass
from typing import TypeAlias

from local.cosmos.values import PathKeys, Value


@dataclass(frozen=True, kw_only=True)
class Path:
    """A property of the item: ``c.a["b"][0]`` has the keys ``("a", "b", 0)``; ``c`` has none."""

    keys: PathKeys


@dataclass(frozen=True, kw_only=True)
class Literal:
    """A constant, or the value of a parameter."""

    value: Value


@dataclass(frozen=True, kw_only=True)
class Compare:
    """A comparison; the operator is one of ``= != < <= > >=``."""

    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, kw_only=True)
class And:
    """All of the terms."""

    terms: tuple["Expression", ...]


@dataclass(frozen=True, kw_only=True)
class Or:
    """Any of the terms."""

    terms: tuple["Expression", ...]


@dataclass(frozen=True, kw_only=True)
class Not:
    """The opposite of the term."""

    term: "Expression"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A function, its name in upper case."""

    name: str
    arguments: tuple["Expression", ...]


Expression: TypeAlias = Path | Literal | Compare | And | Or | Not | Call


@dataclass(frozen=True, kw_only=True)
class SelectAll:
    """``SELECT *``, also ``SELECT VALUE c``."""


@dataclass(frozen=True, kw_only=True)
class SelectFields:
    """``SELECT c.a, c.b AS d``: output name and path."""

    fields: tuple[tuple[str, Path], ...]


@dataclass(frozen=True, kw_only=True)
class SelectValue:
    """``SELECT VALUE c.a``."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class SelectCount:
    """``SELECT VALUE COUNT(1)``."""


@dataclass(frozen=True, kw_only=True)
class OrderBy:
    """``ORDER BY`` one path."""

    path: Path
    descending: bool


@dataclass(frozen=True, kw_only=True)
class Query:
    """A whole query."""

    select: SelectAll | SelectFields | SelectValue | SelectCount
    where: Expression | None
    order: OrderBy | None
