"""Every report there can be, as a hypothesis strategy read off the schema: any value that a field's type allows."""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from reports.record import Record
from reports.schema import Failure, Result, Run, Steps
from reports.section import SECOND, Section


def values(kind: Any, bounds: tuple = ()) -> st.SearchStrategy:
    """Of an annotation; `bounds` are what Annotated said of it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return values(arguments[0], (*bounds, *arguments[1:]))
    if origin in (Union, UnionType):
        return st.one_of([values(one, bounds) for one in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        some = arguments[-1] is Ellipsis
        return st.lists(values(arguments[0]), max_size=3).map(tuple) if some else st.tuples(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, Section):
        return section(kind)
    return _plain(kind, _limits(bounds))


_MADE: dict[tuple, st.SearchStrategy] = {}  # making one takes longer than drawing from it


def fields(kind: type[Section], *without: str) -> st.SearchStrategy:
    """Of a section's fields by name."""
    if (kind, *without) not in _MADE:
        chosen = {n: _field(field) for n, field in kind.model_fields.items() if n not in without}
        _MADE[(kind, *without)] = st.fixed_dictionaries(chosen)
    return _MADE[(kind, *without)]


def section(kind: type[Section]) -> st.SearchStrategy:
    """Of a section that has no rules between its fields."""
    return fields(kind).map(lambda chosen: kind(**chosen))


@st.composite
def records(draw) -> Record:
    """With a result or a failure, and as many entries in each column."""
    n, failed = draw(st.integers(0, 5)), draw(st.booleans())
    columns = {name: draw(st.tuples(*[column] * n)) for name, column in COLUMNS.items()}
    if not failed:
        columns["loss"] = tuple(loss or 0.0 for loss in columns["loss"])
    failure = Failure(**draw(fields(Failure, "step")), step=0) if failed else None
    run = Run(**draw(fields(Run, "steps", "failure")), steps=Steps(**columns), failure=failure)
    result = None if failed else draw(section(Result))
    return Record(**draw(fields(Record, "schema_version", "run", "result")), run=run, result=result)


def _field(field: FieldInfo) -> st.SearchStrategy:
    return values(field.annotation, tuple(field.metadata) + ((field,) if field.json_schema_extra else ()))


def _limits(bounds: tuple) -> dict[str, Any]:
    """The names that pydantic gives to what it was told: ge, gt, le, lt, max_length, min_length, pattern."""
    found: dict[str, Any] = {}
    for bound in bounds:
        if isinstance(bound, FieldInfo):
            extra = bound.json_schema_extra
            found |= _limits(tuple(bound.metadata)) | (dict(extra) if isinstance(extra, dict) else {})
        else:
            found |= {key: value for key, value in _said(bound).items() if value is not None}
    return found


def _said(bound: Any) -> dict[str, Any]:
    """Its attributes, with slots or without."""
    names = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
    return {name: getattr(bound, name) for name in names if hasattr(bound, name)}


def _plain(kind: Any, limits: dict[str, Any]) -> st.SearchStrategy:
    if kind is NoneType:
        return st.none()
    if kind is bool:
        return st.booleans()
    if kind is int:
        least = limits.get("ge", limits.get("gt", -(10**18)) + ("gt" in limits))
        return st.integers(least, limits.get("le", limits.get("lt", 10**18 + 1) - ("lt" in limits)))
    if kind is float:
        low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
        return st.floats(low, high, exclude_min="gt" in limits, exclude_max="lt" in limits).map(float)
    assert kind is str, kind
    if limits.get("pattern") == SECOND:
        return st.datetimes().map(lambda at: f"{at.replace(microsecond=0).isoformat()}Z")
    if "pattern" in limits:
        return st.from_regex(limits["pattern"], fullmatch=True)
    return st.text(st.characters(exclude_categories=("Cs",)), min_size=limits.get("min_length", 0), max_size=8)


COLUMNS = {name: values(get_args(field.annotation)[0]) for name, field in Steps.model_fields.items()}
