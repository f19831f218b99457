"""What the tables of all parts share: the kinds of columns, and the metadata that lists the tables."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Dialect, MetaData, Text, TypeDecorator

from tallybook.core.decimals import plain_text

metadata = MetaData()


class ExactDecimal(TypeDecorator[Decimal]):
    """A `Decimal` kept as plain decimal text; it reads back to the same digits."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        assert isinstance(value, Decimal), f"an exact column takes a Decimal, not {type(value).__name__}"
        return plain_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


def organisation_key() -> Column[str]:
    """The first column of every key: nothing is shared between organisations."""
    return Column("organisation_id", Text, primary_key=True)
