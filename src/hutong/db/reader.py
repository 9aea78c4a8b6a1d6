"""Rows by name: the conversion of a statement's rows to a dataclass."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Collection
from enum import Enum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncpg
    from _typeshed import DataclassInstance

    R = TypeVar("R", bound=DataclassInstance)
else:
    R = TypeVar("R")


def reader(
    cls: type[R], columns: Collection[str], *, without: Collection[str] = (), **converters: Callable[[Any], object]
) -> Callable[[asyncpg.Record], R]:
    """Make a function that reads rows as objects of a dataclass, each field from the column of its name.

    A field of an enum type, optional or not, gets the member for the column's value.

    Args:
        columns: The columns of the rows, such as `sql["refund"]`; further columns are ignored.
        without: Fields without a column; they get their defaults.
        converters: Functions by field that convert the column's value; they are called for None as well.

    Errors:
        ValueError: a column without a field, a field without a column, a converter without a column, or a field in
            `without` without a default. All are mistakes in the source, found when the module is imported.
    """
    fields = [field for field in dataclasses.fields(cls) if field.init]
    names = {field.name for field in fields}
    if differing := names.symmetric_difference({*columns, *without}) or set(columns).intersection(without):
        raise ValueError(f"{cls.__name__}: {min(differing)} is not both a field and a column")
    if unknown := converters.keys() - set(columns):
        raise ValueError(f"{cls.__name__}: {min(unknown)} is converted, but no column")
    if len(columns) < 2 or any(field.kw_only for field in fields):
        raise ValueError(f"{cls.__name__} needs two columns, and fields that may be given by position")
    hints = typing.get_type_hints(cls)
    steps: list[tuple[int, Callable[[Any], object]]] = []
    for place, field in enumerate(fields):
        step = _default(cls, field) if field.name in without else converters.get(field.name, _enum(hints[field.name]))
        if step is not None:
            steps.append((place, step))
    # By position is twice as fast as by keyword. A field without a column reads any column and drops its value.
    placeholder = next(iter(columns))
    get = itemgetter(*(placeholder if field.name in without else field.name for field in fields))

    def read(row: asyncpg.Record) -> R:
        values = list(get(row))
        for place, step in steps:
            values[place] = step(values[place])
        return cls(*values)

    return read


def _default(cls: type[Any], field: dataclasses.Field[Any]) -> Callable[[object], object]:
    factory, default = field.default_factory, field.default
    if factory is not dataclasses.MISSING:
        return lambda _: factory()
    if default is dataclasses.MISSING:
        raise ValueError(f"{cls.__name__}: {field.name} is no column and has no default")
    return lambda _: default


def _enum(hint: Any) -> Callable[[Any], object] | None:
    """Return the conversion to an enum, if the type of a field is one."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kinds = [kind for kind in typing.get_args(hint) if isinstance(kind, type) and issubclass(kind, Enum)]
        if len(kinds) == 1 and len(typing.get_args(hint)) == 2 and types.NoneType in typing.get_args(hint):
            [kind] = kinds
            return lambda value: None if value is None else kind(value)
    return None
