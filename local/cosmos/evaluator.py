"""What an expression of a query is worth for one item.

A comparison that involves undefined is undefined; so is ``<`` between values of different types; AND, OR and NOT
follow the three-valued tables of the documentation. Whether ``=`` between two defined values of different types is
false or undefined is disputed (documentation against Microsoft's reference evaluator): either way the item does not
match, so the value is carried as DISPUTED, and where the difference would show, under NOT or ``!=``, the query is
refused with 501.

Source: https://learn.microsoft.com/azure/cosmos-db/nosql/query/ (operators, logical operators, each function's page).
"""

import enum
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias
from typing import Literal as Exactly

from local.cosmos.errors import NotModelledError
from local.cosmos.syntax import And, Call, Compare, Expression, Literal, Not, Or, Path
from local.cosmos.values import ARRAY, OBJECT, UNDEFINED, Json, Undefined, Value, equal, resolve, sort_key, type_of


class Disputed(enum.Enum):
    """False or undefined, nobody agrees which."""

    VALUE = "disputed"


DISPUTED: Final = Disputed.VALUE
Result: TypeAlias = Value | Exactly[Disputed.VALUE]

_ORDERINGS: dict[str, Callable[[bytes, bytes], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def evaluate(expression: Expression, item: Json) -> Result:
    """The value of an expression for an item; an item matches a filter only when it is True.

    :raises NotModelledError: where the value depends on what is disputed.
    """
    match expression:
        case Path(keys=keys):
            return resolve(item, keys)
        case Literal(value=value):
            return value
        case Compare(operator=operator, left=left, right=right):
            return _compare(operator, _settled(evaluate(left, item)), _settled(evaluate(right, item)))
        case And(terms=terms):
            return _combine([evaluate(term, item) for term in terms], decides=False)
        case Or(terms=terms):
            return _combine([evaluate(term, item) for term in terms], decides=True)
        case Not(term=term):
            value = _settled(evaluate(term, item))
            return not value if isinstance(value, bool) else UNDEFINED
        case Call(name=name, arguments=arguments):
            return _FUNCTIONS[name]([_settled(evaluate(argument, item)) for argument in arguments])


def _settled(value: Result) -> Value:
    if isinstance(value, Disputed):
        what = "NOT or a comparison whose result depends on comparing values of different types"
        raise NotModelledError(what)
    return value


def _combine(values: Sequence[Result], *, decides: bool) -> Result:
    if any(value is decides for value in values):
        return decides
    if all(value is (not decides) for value in values):
        return not decides
    return DISPUTED if any(value is DISPUTED for value in values) else UNDEFINED


def _compare(operator: str, left: Value, right: Value) -> Result:
    if isinstance(left, Undefined) or isinstance(right, Undefined):
        return UNDEFINED
    same_type = type_of(left) == type_of(right)
    if operator == "=":
        return equal(left, right) if same_type else DISPUTED
    if operator == "!=":
        return not equal(left, right) if same_type else not _settled(DISPUTED)
    left_key, right_key = sort_key(left), sort_key(right)
    if not same_type or type_of(left) in {ARRAY, OBJECT} or left_key is None or right_key is None:
        return UNDEFINED
    return _ORDERINGS[operator](left_key, right_key)


def _is_defined(arguments: Sequence[Value]) -> Value:
    return arguments[0] is not UNDEFINED


def _is_null(arguments: Sequence[Value]) -> Value:
    return arguments[0] is None


def _is_string(arguments: Sequence[Value]) -> Value:
    return isinstance(arguments[0], str)


def _array_length(arguments: Sequence[Value]) -> Value:
    return len(arguments[0]) if isinstance(arguments[0], list) else UNDEFINED


def _array_contains(arguments: Sequence[Value]) -> Value:
    elements, wanted = arguments[:2]
    partial = arguments[2] if arguments[2:] else False
    if not isinstance(elements, list) or isinstance(wanted, Undefined) or not isinstance(partial, bool):
        return UNDEFINED
    if partial and isinstance(wanted, dict):
        return any(_includes(element, wanted) for element in elements)
    return any(equal(element, wanted) for element in elements)


def _includes(element: Json, wanted: dict[str, Json]) -> bool:
    """Whether an element has all properties of the wanted object; nested values are compared as a whole."""
    return isinstance(element, dict) and all(
        name in element and equal(element[name], value) for name, value in wanted.items()
    )


def _lower(arguments: Sequence[Value]) -> Value:
    return _lower_case(arguments[0]) if isinstance(arguments[0], str) else UNDEFINED


def _string_equals(arguments: Sequence[Value]) -> Value:
    return _compare_strings(arguments, str.__eq__)


def _starts_with(arguments: Sequence[Value]) -> Value:
    return _compare_strings(arguments, str.startswith)


def _substring(arguments: Sequence[Value]) -> Value:
    text, start, length = arguments
    if not isinstance(text, str) or not _is_integer(start) or not _is_integer(length):
        return UNDEFINED
    first, last = int(start), int(start) + int(length)  # type: ignore[arg-type]  # both are integers
    if first < 0 or last <= first:
        return ""
    if any(character > "\uffff" for character in text[:last]):
        what = "SUBSTRING of characters that UTF-16 writes in two units"
        raise NotModelledError(what)
    return text[first:last]


def _is_integer(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()


def _compare_strings(arguments: Sequence[Value], holds: Callable[[str, str], bool]) -> Value:
    left, right = arguments[:2]
    ignore_case = arguments[2] if arguments[2:] else False
    if not isinstance(left, str) or not isinstance(right, str) or not isinstance(ignore_case, bool):
        return UNDEFINED
    return holds(_lower_case(left), _lower_case(right)) if ignore_case else holds(left, right)


def _lower_case(text: str) -> str:
    """Lower case character by character: no mapping depends on its neighbours or changes the length, as in .NET."""
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)


_FUNCTIONS: dict[str, Callable[[Sequence[Value]], Value]] = {
    "IS_DEFINED": _is_defined,
    "IS_NULL": _is_null,
    "IS_STRING": _is_string,
    "ARRAY_CONTAINS": _array_contains,
    "ARRAY_LENGTH": _array_length,
    "LOWER": _lower,
    "STRINGEQUALS": _string_equals,
    "STARTSWITH": _starts_with,
    "SUBSTRING": _substring,
}
