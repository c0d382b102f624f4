"""The tokens of a Bicep file. A multi-line string is refused, and a sign that Bicep has not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SIGNS = re.compile(
    r"(?P<skip>[ \t\r]+|//[^\n]*|/\*.*?\*/|\#[^\n]*)|(?P<nl>\n)|(?P<id>[A-Za-z_]\w*)|(?P<num>\d+)"
    r"|(?P<op>=>|==|!=|=~|!~|<=|>=|&&|\|\||\?\?|::|\.\?|\.\.\.|[{}\[\]():,.?=<>+\-*/%!@|])",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|(.))")
_ESCAPES = {"'": "'", "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "$": "$"}


class BicepError(Exception):
    """Bicep that this reader does not understand, or that cannot be right. The text names file and line."""


@dataclass(frozen=True)
class Token:
    """One token. The value of a string is its pieces: texts, and lists of the tokens of what is interpolated."""

    kind: str
    value: Any
    line: int


def tokens(path: Path, text: str, start: int, until: str) -> tuple[list[Token], int]:
    """The tokens from `start` to the closing sign `until` (of an interpolation), or to the end; and where that is."""
    found: list[Token] = []
    position, depth = start, 0
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        if text[position] == "'":
            pieces, position = _string(path, text, position, line)
            found.append(Token("str", pieces, line))
            continue
        match = _SIGNS.match(text, position)
        if match is None:
            raise BicepError(f"{path.name}:{line}: {text[position]!r} is not read")
        kind, value = str(match.lastgroup), match[0]
        if until and value in "{}":
            depth += 1 if value == "{" else -1
            if depth < 0:
                return [*found, Token("end", "", line)], position + 1
        position = match.end()
        if kind != "skip":
            found.append(Token(kind, int(value) if kind == "num" else value, line))
    return [*found, Token("nl", "\n", 0), Token("end", "", text.count("\n") + 1)], position


def _string(path: Path, text: str, start: int, line: int) -> tuple[list[Any], int]:
    """The pieces of a string, texts and expressions, and where it ends."""
    if text.startswith("'''", start):
        raise BicepError(f"{path.name}:{line}: a multi-line string is not read")
    pieces: list[Any] = []
    position, plain = start + 1, ""
    while text[position] != "'":
        if text.startswith("${", position):
            inside, position = tokens(path, text, position + 2, "}")
            pieces += [plain, inside]
            plain = ""
        elif match := _ESCAPE.match(text, position):
            plain += chr(int(match[1], 16)) if match[1] else _ESCAPES[match[2]]
            position = match.end()
        elif text[position] == "\n":
            raise BicepError(f"{path.name}:{line}: a string that does not end")
        else:
            plain += text[position]
            position += 1
    return [each for each in (*pieces, plain) if each != ""], position + 1
