"""The words of a query, and whether it needs a query plan.

Refuses with 501 every character that the grammar of :mod:`local.cosmos.parser` has no use for, comments among them.
"""

import re
from dataclasses import dataclass

from local.cosmos.errors import NotModelledError

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>(?:0|[1-9][0-9]*)(?![0-9])(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<parameter>@[A-Za-z_][A-Za-z0-9_]*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<symbol><=|>=|!=|<>|[=<>()\[\],.*-])
      | (?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)
CLAUSES = {"DISTINCT", "TOP", "OFFSET", "GROUP", "ORDER"}
_AGGREGATES = {"COUNT", "SUM", "MIN", "MAX", "AVG", "COUNTIF", "MAKESET", "MAKELIST"}


@dataclass(frozen=True, kw_only=True)
class Token:
    """One word: kind is string, number, parameter, name, symbol or end."""

    kind: str
    text: str

    @property
    def word(self) -> str:
        """The text in upper case when it is a name: keywords and functions are matched by it."""
        return self.text.upper() if self.kind == "name" else ""


def needs_query_plan(text: str) -> bool:
    """Whether the real service needs a query plan for it across partitions: sorting, aggregates, and so on."""
    tokens = tokenize(text)
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        is_property = before is not None and before.text == "."
        is_call = after is not None and after.text == "("
        if not is_property and (token.word in CLAUSES or (is_call and token.word in _AGGREGATES)):
            return True
    return False


def tokenize(text: str) -> list[Token]:
    """The tokens of a query, the last one of kind ``end``.

    :raises NotModelledError: for a character outside the grammar.
    """
    tokens: list[Token] = []
    at = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            what = f"the query text from character {at + 1}"
            raise NotModelledError(what)
        tokens.append(Token(kind=match.lastgroup, text=match.group(match.lastgroup)))
        at = match.end()
    return tokens
