"""What all shapes of generation 2023-05 have in common, and how they are made of ours."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from tallybook.api.generations import Answer

S = TypeVar("S")


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A shape with exactly the fields that the generation has: its clients refuse others."""


def fitted(shape: type[S]) -> Callable[[Any], S]:
    """What makes the shape of one of ours that has its fields and more."""

    def fit(found: Any) -> S:
        return msgspec.convert(found, shape, from_attributes=True)

    return fit


def fewer_fields(shape: type[Any]) -> Answer:
    """An answer that is one of ours with some fields left out."""
    return Answer(shape=shape, written=fitted(shape))
