r"""The query language of the local Cosmos DB server: a small, exact part of Cosmos DB's.

    query      := SELECT projection FROM name [[AS] name] [WHERE or] [ORDER BY path [ASC | DESC]]
    projection := * | VALUE COUNT(1) | VALUE path | path [[AS] name] {, path [[AS] name]}
    or         := and {OR and}
    and        := predicate {AND predicate}
    predicate  := unary [(= | != | <> | < | <= | > | >=) unary | [NOT] IN (unary {, unary})]
    unary      := NOT unary | (or) | literal | @parameter | path | function(or {, or})

Whatever does not follow it is refused with 501: it may be right on Azure. ``NOT c.a = 1`` is refused because the
documentation does not say what NOT belongs to there: write ``NOT (c.a = 1)``. Written by hand because SQL parsers
made for other dialects accept more than this, and read some of it differently.

Grammar: https://learn.microsoft.com/azure/cosmos-db/nosql/query/
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

from local.cosmos.errors import NotModelledError, bad_request
from local.cosmos.lexer import CLAUSES, Token, tokenize
from local.cosmos.syntax import (
    And,
    Call,
    Compare,
    Expression,
    Literal,
    Not,
    Or,
    OrderBy,
    Path,
    Query,
    SelectAll,
    SelectCount,
    SelectFields,
    SelectValue,
)
from local.cosmos.values import UNDEFINED, Json, Value, parse_json

MAX_DEPTH = 50
_COMPARISONS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: dict[str, Value] = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}
_FUNCTIONS = {
    "IS_DEFINED": {1},
    "IS_NULL": {1},
    "IS_STRING": {1},
    "ARRAY_CONTAINS": {2, 3},
    "ARRAY_LENGTH": {1},
    "LOWER": {1},
    "STRINGEQUALS": {2, 3},
    "STARTSWITH": {2, 3},
    "SUBSTRING": {3},
}
_QUOTES = re.compile(r"""\\'|\\.|\"""")
_JOINING = {"AND", "OR", "NOT", "IN", "AS", "JOIN", "LIKE", "BETWEEN", "UDF"}
_RESERVED = CLAUSES | _JOINING | {"SELECT", "VALUE", "FROM", "WHERE"}


def parse_query(text: str, parameters: Mapping[str, Json]) -> Query:
    """Parse a query.

    :param parameters: the values by name, with the ``@``.
    :raises RefusedError: 400 for a name or a parameter that does not exist, 501 for everything outside the grammar.
    """
    return _Parser(text, parameters).query()


def parse_condition(text: str) -> Expression:
    """Parse the condition of a patch: ``from c where ...``.

    :raises RefusedError: as `parse_query`.
    """
    return _Parser(text, {}).condition()


class _Parser:
    def __init__(self, text: str, parameters: Mapping[str, Json]) -> None:
        self._tokens = tokenize(text)
        self._at = 0
        self._parameters = parameters
        self._alias = ""
        self._depth = 0

    def query(self) -> Query:
        self._keyword("SELECT")
        # The projection can be read only when FROM has said what its paths start with.
        start = self._at
        while self._peek.word != "FROM" or self._tokens[self._at - 1].text == ".":  # c.from is a property
            if self._next().kind == "end":
                what = "a query without FROM"
                raise NotModelledError(what)
        self._from()
        after = self._at
        self._at = start
        select = self._projection()
        self._keyword("FROM")
        self._at = after
        where = self._or() if self._accept("WHERE") else None
        order = self._order() if self._accept("ORDER") else None
        self._end()
        return Query(select=select, where=where, order=order)

    def condition(self) -> Expression:
        self._from()
        self._keyword("WHERE")
        where = self._or()
        self._end()
        return where

    def _from(self) -> None:
        self._keyword("FROM")
        self._alias = self._identifier()
        if self._accept("AS") or (self._peek.kind == "name" and self._peek.word not in _RESERVED):
            self._alias = self._identifier()

    def _projection(self) -> SelectAll | SelectFields | SelectValue | SelectCount:
        if self._symbol("*"):
            return SelectAll()
        if self._accept("VALUE"):
            if self._accept("COUNT"):
                for wanted in ("(", "1", ")"):
                    self._exactly(wanted)
                return SelectCount()
            path = self._path()
            return SelectValue(path=path) if path.keys else SelectAll()
        fields = [self._field()]
        while self._symbol(","):
            fields.append(self._field())
        if len({name for name, _ in fields}) < len(fields):
            raise bad_request("two selected fields have the same name")
        return SelectFields(fields=tuple(fields))

    def _field(self) -> tuple[str, Path]:
        path = self._path()
        if self._accept("AS") or (self._peek.kind == "name" and self._peek.word not in _RESERVED):
            return self._identifier(), path
        name = path.keys[-1] if path.keys else self._alias
        if isinstance(name, int):
            what = "selecting an array element without a name"
            raise NotModelledError(what)
        return name, path

    def _order(self) -> OrderBy:
        self._keyword("BY")
        path = self._path()
        if not path.keys:
            what = "sorting by the whole item"
            raise NotModelledError(what)
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        return OrderBy(path=path, descending=descending)

    def _or(self) -> Expression:
        with self._deeper():
            terms = [self._and()]
            while self._accept("OR"):
                terms.append(self._and())
        return terms[0] if len(terms) == 1 else Or(terms=tuple(terms))

    def _and(self) -> Expression:
        terms = [self._predicate()]
        while self._accept("AND"):
            terms.append(self._predicate())
        return terms[0] if len(terms) == 1 else And(terms=tuple(terms))

    def _predicate(self) -> Expression:
        negated = self._peek.word == "NOT"
        left = self._unary()
        follows = self._peek
        if negated and (follows.text in _COMPARISONS or follows.word in {"NOT", "IN"}):
            what = "NOT before a comparison without parentheses"
            raise NotModelledError(what)
        if follows.kind == "symbol" and follows.text in _COMPARISONS:
            self._next()
            return Compare(operator=_COMPARISONS[follows.text], left=left, right=self._unary())
        outside = self._accept("NOT")
        if not outside and self._peek.word != "IN":
            return left
        self._keyword("IN")
        options = self._list(self._unary)
        found = Or(terms=tuple(Compare(operator="=", left=left, right=option) for option in options))
        return Not(term=found) if outside else found

    def _unary(self) -> Expression:
        token = self._peek
        if self._accept("NOT"):
            with self._deeper():
                return Not(term=self._unary())
        if self._symbol("("):
            inner = self._or()
            self._exactly(")")
            return inner
        if token.kind in {"string", "number"} or token.text == "-":
            return Literal(value=self._constant())
        if token.kind == "parameter":
            self._next()
            if token.text not in self._parameters:
                message = f"the query has no value for the parameter {token.text}"
                raise bad_request(message)
            return Literal(value=self._parameters[token.text])
        if token.word in _CONSTANTS:
            self._next()
            return Literal(value=_CONSTANTS[token.word])
        if token.word in _FUNCTIONS and self._tokens[self._at + 1].text == "(":
            self._next()
            arguments = tuple(self._list(self._or))
            if len(arguments) not in _FUNCTIONS[token.word]:
                message = f"{token.word} has a wrong number of arguments"
                raise bad_request(message)
            return Call(name=token.word, arguments=arguments)
        return self._path()

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        """One expression inside another: Python's own stack bounds how deep that can go."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            what = f"a condition with more than {MAX_DEPTH} expressions inside each other"
            raise NotModelledError(what)
        yield
        self._depth -= 1

    def _list(self, parse: Callable[[], Expression]) -> list[Expression]:
        self._exactly("(")
        found = [parse()]
        while self._symbol(","):
            found.append(parse())
        self._exactly(")")
        return found

    def _path(self) -> Path:
        name = self._identifier()
        if self._peek.text == "(":
            what = f"the function {name}"
            raise NotModelledError(what)
        if name != self._alias:
            message = f"the identifier {name} could not be resolved"
            raise bad_request(message)
        keys: list[str | int] = []
        while True:
            if self._symbol("."):
                keys.append(self._name().text)
            elif self._symbol("["):
                key = self._constant()
                if not isinstance(key, str | int) or isinstance(key, bool) or (isinstance(key, int) and key < 0):
                    raise bad_request("an index must be a string or a non-negative integer")
                keys.append(key)
                self._exactly("]")
            else:
                return Path(keys=tuple(keys))

    def _constant(self) -> Json:
        sign = "-" if self._symbol("-") else ""
        token = self._next()
        if token.kind == "number":
            return parse_json(sign + token.text)
        if token.kind != "string" or sign:
            self._refuse(token)
        return parse_json(_json_string(token.text))

    def _identifier(self) -> str:
        token = self._name()
        if token.word in _RESERVED | _CONSTANTS.keys():
            self._refuse(token)
        return token.text

    @property
    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _name(self) -> Token:
        token = self._next()
        if token.kind != "name":
            self._refuse(token)
        return token

    def _accept(self, word: str) -> bool:
        found = self._peek.word == word
        self._at += found
        return found

    def _symbol(self, text: str) -> bool:
        found = self._peek.kind == "symbol" and self._peek.text == text
        self._at += found
        return found

    def _keyword(self, word: str) -> None:
        if not self._accept(word):
            self._refuse(self._peek)

    def _exactly(self, text: str) -> None:
        token = self._next()
        if token.text != text:
            self._refuse(token)

    def _end(self) -> None:
        if self._peek.kind != "end":
            self._refuse(self._peek)

    def _refuse(self, token: Token) -> NoReturn:
        what = f"the query at {token.text!r}" if token.kind != "end" else "a query that ends here"
        raise NotModelledError(what)


def _json_string(text: str) -> str:
    """A string literal of either quote as JSON: only the quotes differ."""
    inner = _QUOTES.sub(lambda match: {r"\'": "'", '"': '\\"'}.get(match[0], match[0]), text[1:-1])
    return f'"{inner}"'
