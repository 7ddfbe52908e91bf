"""v1's expressions: ``dataset['age'] > 3``, ``dataset.file_metadata('Size') < 1000``: data, evaluated later."""

from __future__ import annotations

from datetime import date, datetime, timezone

from .problems import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, NoReturn

    Node = Dict[str, Any]

METADATA = ("Size", "LastModifiedTime", "Extension")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
LOGIC = ("and", "or", "not")
ARITHMETIC = ("add", "sub", "mul", "div", "floordiv", "mod")
TEXT = ("contains", "starts_with", "ends_with", "to_lower", "to_upper", "length")


class Expression:
    """A value of a row or file, and what is computed of it. Combine conditions with ``&``, ``|`` and ``~``.

    :param node: as :mod:`aml_provider.spec.operations` describes expressions.
    """

    __hash__ = None  # type: ignore[assignment]
    #: What a wrong use raises.
    error: type[Exception] = TableError

    def __init__(self, node: Node) -> None:
        self.node = node

    @classmethod
    def column(cls, name: Any) -> Expression:
        """The value in a column."""
        if not isinstance(name, str) or not name:
            raise cls.error(f"a column's name is a text, not {name!r}")
        return cls({"kind": "column", "name": name})

    @classmethod
    def metadata(cls, name: Any) -> Expression:
        """A fact about a file: ``Size`` (bytes), ``LastModifiedTime`` (UTC) or ``Extension`` (without a dot)."""
        if name not in METADATA:
            raise cls.error(f"file_metadata knows {', '.join(METADATA)}, not {name!r}")
        return cls({"kind": "metadata", "name": name})

    def _call(self, function: str, *others: Any) -> Expression:
        nodes = [self.node, *(self._of(other).node for other in others)]
        return type(self)({"kind": "call", "function": function, "arguments": nodes})

    def _of(self, value: Any) -> Expression:
        try:
            return type(self)(node_of(value))
        except TableError as problem:
            raise self.error(str(problem)) from None

    def __eq__(self, other: Any) -> Any:
        return self.is_null() if other is None else self._call("eq", other)

    def __ne__(self, other: Any) -> Any:
        return ~self.is_null() if other is None else self._call("ne", other)

    def __lt__(self, other: Any) -> Expression:
        return self._call("lt", other)

    def __le__(self, other: Any) -> Expression:
        return self._call("le", other)

    def __gt__(self, other: Any) -> Expression:
        return self._call("gt", other)

    def __ge__(self, other: Any) -> Expression:
        return self._call("ge", other)

    def __and__(self, other: Any) -> Expression:
        return self._call("and", other)

    def __rand__(self, other: Any) -> Expression:
        return self._of(other)._call("and", self)

    def __or__(self, other: Any) -> Expression:
        return self._call("or", other)

    def __ror__(self, other: Any) -> Expression:
        return self._of(other)._call("or", self)

    def __invert__(self) -> Expression:
        return self._call("not")

    def __add__(self, other: Any) -> Expression:
        return self._call("add", other)

    def __radd__(self, other: Any) -> Expression:
        return self._of(other)._call("add", self)

    def __sub__(self, other: Any) -> Expression:
        return self._call("sub", other)

    def __rsub__(self, other: Any) -> Expression:
        return self._of(other)._call("sub", self)

    def __mul__(self, other: Any) -> Expression:
        return self._call("mul", other)

    def __rmul__(self, other: Any) -> Expression:
        return self._of(other)._call("mul", self)

    def __truediv__(self, other: Any) -> Expression:
        return self._call("div", other)

    def __rtruediv__(self, other: Any) -> Expression:
        return self._of(other)._call("div", self)

    def __floordiv__(self, other: Any) -> Expression:
        return self._call("floordiv", other)

    def __mod__(self, other: Any) -> Expression:
        return self._call("mod", other)

    def __getitem__(self, name: Any) -> Expression:
        """A field of a value that is a record."""
        return self._call("item", name)

    def contains(self, value: str) -> Expression:
        """Whether a text has ``value`` in it."""
        return self._call("contains", value)

    def starts_with(self, value: str) -> Expression:
        """Whether a text begins with ``value``."""
        return self._call("starts_with", value)

    def ends_with(self, value: str) -> Expression:
        """Whether a text ends with ``value``."""
        return self._call("ends_with", value)

    def to_lower(self) -> Expression:
        """A text in lower case."""
        return self._call("to_lower")

    def to_upper(self) -> Expression:
        """A text in upper case."""
        return self._call("to_upper")

    def length(self) -> Expression:
        """How many characters a text has."""
        return self._call("length")

    def is_null(self) -> Expression:
        """Whether there is no value."""
        return self._call("is_null")

    def __bool__(self) -> NoReturn:
        raise self.error(
            "an expression is evaluated later, so it is neither true nor false here: combine conditions with &, | and "
            "~, each in parentheses, instead of and, or, not and chained comparisons"
        )

    def __iter__(self) -> NoReturn:
        raise self.error("an expression is evaluated later, so there is nothing to go through here")

    def __repr__(self) -> str:
        return f"Expression({written(self.node)})"


def node_of(value: Any) -> Node:
    """An expression's node, or that of a plain value.

    :raises TableError: a value that no row can have.
    """
    if isinstance(value, Expression):
        return value.node
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    elif hasattr(value, "item") and not isinstance(value, (str, int, float)):
        value = value.item()  # numpy's scalars
    if isinstance(value, datetime):
        return {"kind": "value", "value": utc(value).isoformat(), "type": "datetime"}
    if isinstance(value, date):
        return {"kind": "value", "value": datetime(value.year, value.month, value.day).isoformat(), "type": "datetime"}
    if value is None or isinstance(value, (bool, int, float, str)):
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            raise TableError(f"{value} is no number to compare with; is_null() finds missing values")
        return {"kind": "value", "value": value, "type": None}
    raise TableError(f"{value!r} is a {type(value).__name__}; compare with a text, a number, True, False or a datetime")


def utc(value: datetime) -> datetime:
    """A point in time in UTC, as datasets have them: without a time zone. One without a zone is taken as UTC."""
    return value if value.tzinfo is None else value.astimezone(timezone.utc).replace(tzinfo=None)


def columns_of(node: Node) -> set[str]:
    """The columns that an expression reads."""
    if node["kind"] == "column":
        return {node["name"]}
    return {name for argument in node.get("arguments", ()) for name in columns_of(argument)}


def uses_metadata(node: Node) -> bool:
    """Whether an expression asks about files."""
    return node["kind"] == "metadata" or any(uses_metadata(argument) for argument in node.get("arguments", ()))


def conjuncts(node: Node) -> list[Node]:
    """The conditions that must all hold for the expression to."""
    if node["kind"] == "call" and node["function"] == "and":
        return [part for argument in node["arguments"] for part in conjuncts(argument)]
    return [node]


_SIGNS = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "and": "&",
    "or": "|",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "floordiv": "//",
    "mod": "%",
}


def written(node: Node) -> str:
    """An expression as a person would write it."""
    if node["kind"] == "column":
        return repr(node["name"])
    if node["kind"] == "metadata":
        return f"file_metadata({node['name']!r})"
    if node["kind"] == "value":
        return str(node["value"]) if node["type"] else repr(node["value"])
    arguments = [written(argument) for argument in node["arguments"]]
    if node["function"] in _SIGNS:
        return f"({arguments[0]} {_SIGNS[node['function']]} {arguments[1]})"
    return f"{node['function']}({', '.join(arguments)})"
