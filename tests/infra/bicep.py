"""Reads Bicep: declarations, with their expressions as plain tuples. What it does not understand it refuses.

A parser of its own: tree-sitter's grammar, which `loose` asks for a second opinion on syntax, reads `a && b.c` as
`(a && b).c`, `r => r.x == 1` as `(r => r).x == 1`, and `[f(x)]` as two items. Multi-line strings, user-defined
functions and types, imports and spread are refused: nothing here needs them. Expressions are ("kind", ...);
`bicep_values.py` gives them values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from bicep_tokens import BicepError, Token, tokens
from tree_sitter import Language, Node, Parser

Expression = tuple[Any, ...]
_GRAMMAR = Parser(Language(tree_sitter_bicep.language()))
_BINDS = {
    **dict.fromkeys(("??",), 1),
    **dict.fromkeys(("||",), 2),
    **dict.fromkeys(("&&",), 3),
    **dict.fromkeys(("==", "!=", "=~", "!~"), 4),
    **dict.fromkeys(("<", "<=", ">", ">="), 5),
    **dict.fromkeys(("+", "-"), 6),
    **dict.fromkeys(("*", "/", "%"), 7),
}
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One declaration. `target` is a resource's type or a module's path, `value` a default, body or value.

    `loop` is (item, index or "", list), `condition` what stands in `if (...)`; `inner` are nested resources.
    """

    kind: str
    name: str
    line: int
    value: Expression | None = None
    type: str = ""
    target: str = ""
    existing: bool = False
    loop: tuple[str, str, Expression] | None = None
    condition: Expression | None = None
    decorators: tuple[Expression, ...] = ()
    inner: tuple[Declared, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file, read: what it declares, by name (outputs have names of their own)."""

    path: Path
    text: str
    target_scope: str = "resourceGroup"
    declared: dict[str, Declared] = field(default_factory=dict)
    outputs: dict[str, Declared] = field(default_factory=dict)

    def of(self, kind: str) -> list[Declared]:
        return [each for each in self.declared.values() if each.kind == kind]

    def expressions(self) -> Iterator[Expression]:
        """Every expression and part of one."""
        for each in (*self.declared.values(), *self.outputs.values()):
            yield from _all_of(each)


def read(path: Path, text: str | None = None) -> Source:
    """Read one file, or a text in its place. Raises BicepError."""
    return _read(path, path.read_text(encoding="utf-8") if text is None else text)


def loose(text: str) -> list[int]:
    """The lines at which tree-sitter's grammar finds an error, or misses something."""
    return sorted(
        {node.start_point[0] + 1 for node in _walk(_GRAMMAR.parse(text.encode()).root_node) if _is_loose(node)}
    )


def parts(expression: object) -> Iterator[Expression]:
    """An expression and all that is in it."""
    if isinstance(expression, tuple):
        if expression and isinstance(expression[0], str):
            yield expression
        for each in expression:
            yield from parts(each)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _is_loose(node: Node) -> bool:
    return node.type == "ERROR" or node.is_missing


def _all_of(each: Declared) -> Iterator[Expression]:
    yield from parts((each.value, each.condition, each.loop and each.loop[2], each.decorators))
    for nested in each.inner:
        yield from _all_of(nested)


@cache
def _read(path: Path, text: str) -> Source:
    return _Reader(path, tokens(path, text, 0, "")[0]).file(text)


# ---------------------------------------------------------------- the reader


class _Reader:
    def __init__(self, path: Path, read: list[Token]) -> None:
        self.path = path
        self.tokens = read
        self.at = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def error(self, text: str) -> BicepError:
        return BicepError(f"{self.path.name}:{self.next.line}: {text}")

    def is_(self, value: str, kind: str = "op") -> bool:
        return self.next.kind == kind and self.next.value == value

    def take(self, value: str = "", kind: str = "op") -> Any:
        """The next token, which must be this one."""
        if self.next.kind != kind or (value and self.next.value != value):
            raise self.error(f"{value or kind} is missing before {self.next.value!r}")
        self.at += 1
        return self.tokens[self.at - 1].value

    def took(self, value: str, kind: str = "op") -> bool:
        if found := self.is_(value, kind):
            self.at += 1
        return found

    def lines(self) -> None:
        """Skip to the next line with something on it."""
        while self.next.kind == "nl":
            self.at += 1

    def whole(self) -> Expression:
        """All there is, as one expression."""
        made = self.expression()
        self.take(kind="end")
        return made

    # ------------------------------------------------------------ declarations

    def file(self, text: str) -> Source:
        scope = "resourceGroup"
        declared: dict[str, Declared] = {}
        outputs: dict[str, Declared] = {}
        decorators: list[Expression] = []
        self.lines()
        while self.next.kind != "end":
            if self.took("@"):
                decorators.append(self.expression())
            elif self.took("targetScope", "id"):
                self.take("=")
                scope = self.text()
            else:
                each = self.declaration(tuple(decorators))
                decorators = []
                place = outputs if each.kind == "output" else declared
                if each.name in place:
                    raise self.error(f"{each.name} is declared twice")
                place[each.name] = each
            self.take(kind="nl")
            self.lines()
        return Source(path=self.path, text=text, target_scope=scope, declared=declared, outputs=outputs)

    def declaration(self, decorators: tuple[Expression, ...] = ()) -> Declared:
        line = self.next.line
        kind = self.take(kind="id")
        if kind not in {"param", "var", "resource", "module", "output"}:
            raise self.error(f"{kind} is not read")
        name = self.take(kind="id")
        if kind in {"resource", "module"}:
            return self.deployed(kind, name, line, decorators)
        type_ = ""
        while not self.is_("=") and self.next.kind != "nl":
            type_ += str(self.next.value)
            self.at += 1
        value = self.expression() if self.took("=") else None
        return Declared(kind=kind, name=name, line=line, type=type_, value=value, decorators=decorators)

    def deployed(self, kind: str, name: str, line: int, decorators: tuple[Expression, ...]) -> Declared:
        target = self.text()
        existing = self.took("existing", "id")
        self.take("=")
        loop = condition = None
        body = self.expression()
        if body[0] == "for":
            loop, body = body[1:4], body[4]
        if body[0] == "if":
            condition, body = body[1:]
        if body[0] != "object":
            raise self.error(f"{name} has a body that is a {body[0]}")
        inner = tuple(each[1] for each in body[1:] if each[0] == "resource")
        body = ("object", *(each for each in body[1:] if each[0] != "resource"))
        made = {"kind": kind, "name": name, "line": line, "decorators": decorators}
        return Declared(
            **made, target=target, existing=existing, loop=loop, condition=condition, value=body, inner=inner
        )

    def text(self) -> str:
        pieces = self.take(kind="str")
        if not all(isinstance(each, str) for each in pieces):
            raise self.error("a type, path or scope with a value in it")
        return "".join(pieces)

    # ------------------------------------------------------------ expressions

    def expression(self) -> Expression:
        """One expression. Raises BicepError."""
        if self.took("if", "id"):
            self.take("(")
            condition = self.inside(self.expression)
            self.take(")")
            return "if", condition, self.expression()
        made = self.operand(1)
        mark = self.at
        self.lines()
        if not self.took("?"):
            self.at = mark
            return made
        self.lines()
        yes = self.expression()
        self.lines()
        self.take(":")
        self.lines()
        return "ternary", made, yes, self.expression()

    def operand(self, least: int) -> Expression:
        made = self.unary()
        while self.next.kind == "op" and _BINDS.get(self.next.value, 0) >= least:
            sign = self.take()
            self.lines()
            made = ("binary", made, sign, self.operand(_BINDS[sign] + 1))
        return made

    def unary(self) -> Expression:
        for sign in ("!", "-"):
            if self.took(sign):
                return "unary", sign, self.unary()
        return self.postfix(self.primary())

    def postfix(self, made: Expression) -> Expression:
        while True:
            if self.took(".") or self.is_(".?"):
                safe = self.took(".?")
                made = ("member", made, self.take(kind="id"), safe)
            elif self.took("::"):
                made = ("nested", made, self.take(kind="id"))
            elif self.took("["):
                safe = self.took("?")
                made = ("subscript", made, self.inside(self.expression), safe)
                self.take("]")
            elif self.is_("(") and made[0] in {"name", "member"}:
                made = self.call(made)
            elif not self.took("!"):
                return made

    def call(self, function: Expression) -> Expression:
        arguments = tuple(self.listed("(", ")", self.expression))
        if function[0] == "name":
            return "call", function[1], arguments
        _, owner, name, _ = function
        plain = owner in {("name", "az"), ("name", "sys")}
        return ("call", name, arguments) if plain else ("method", owner, name, arguments)

    def primary(self) -> Expression:
        token = self.next
        if token.kind == "str":
            pieces = self.take(kind="str")
            if all(isinstance(each, str) for each in pieces):
                return "string", "".join(pieces)
            return "text", *(p if isinstance(p, str) else _Reader(self.path, p).whole() for p in pieces)
        if token.kind == "num":
            return "value", self.take(kind="num")
        if self.is_("{"):
            return "object", *self.listed("{", "}", self.property)
        if self.is_("["):
            return self.array()
        if self.is_("("):
            return self.lambda_() or self.group()
        if token.kind != "id":
            raise self.error(f"{token.value!r} is not read here")
        name = self.take(kind="id")
        if self.took("=>"):
            return "lambda", (name,), self.expression()
        return ("value", _WORDS[name]) if name in _WORDS else ("name", name)

    def group(self) -> Expression:
        self.take("(")
        made = self.inside(self.expression)
        self.take(")")
        return "group", made

    def lambda_(self) -> Expression | None:
        """`(a, b) => ...`, or nothing."""
        mark, names = self.at, []
        self.take("(")
        while self.next.kind == "id":
            names.append(self.take(kind="id"))
            self.took(",")
        if self.took(")") and self.took("=>"):
            return "lambda", tuple(names), self.expression()
        self.at = mark
        return None

    def array(self) -> Expression:
        mark = self.at
        self.take("[")
        self.lines()
        if not self.took("for", "id"):
            self.at = mark
            return "array", *self.listed("[", "]", self.expression)
        both = self.took("(")
        item = self.take(kind="id")
        index = ""
        if both:
            self.take(",")
            index = self.take(kind="id")
            self.take(")")
        self.take("in", "id")
        listed = self.expression()
        self.take(":")
        body = self.inside(self.expression)
        self.take("]")
        return "for", item, index, listed, body

    def inside(self, one: Callable[[], Any]) -> Any:
        """What stands between brackets, on lines of its own or not."""
        self.lines()
        made = one()
        self.lines()
        return made

    def listed(self, opens: str, closes: str, one: Callable[[], Any]) -> Iterator[Any]:
        """What stands between brackets, by lines or commas."""
        self.take(opens)
        self.lines()
        while not self.took(closes):
            yield one()
            if not self.took(",") and self.next.kind != "nl" and not self.is_(closes):
                raise self.error(f"{self.next.value!r} where a line, a comma or {closes} should be")
            self.lines()

    def property(self) -> tuple[Any, Any]:
        following = self.tokens[self.at + 1]
        if self.is_("resource", "id") and following.kind == "id":
            return "resource", self.declaration()
        key = self.primary() if self.next.kind == "str" else ("string", self.take(kind="id"))
        self.take(":")
        self.lines()
        return key, self.expression()
