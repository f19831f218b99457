"""Custom invoices: 1 to 50 lines, each a value or a quantity × a rate (§3.9)."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tallybook.core.custom_invoice import (
    CustomInvoice,
    CustomInvoiceChanges,
    CustomLine,
    changed_custom_invoice,
    check_custom_invoice,
    check_not_ahead,
    custom_lines,
    end_day,
    first_day,
)
from tallybook.core.errors import Invalid

VALUE = CustomLine(description="Workshop", value=Decimal("100.005"))
PRODUCT = CustomLine(description="Payout IMPS", rate=Decimal("0.001"), quantity=Decimal(32109), billable_id="um.1")
DRAFT = CustomInvoice(
    invoice_id="inv.1", owner_id="ACC001", start_date=date(2024, 3, 1), end_date=date(2024, 4, 1), lines=(VALUE,)
)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_lines_are_values_or_products() -> None:
    """The interface's sample: 0.001 × 32109 is 32.109, exactly."""
    lines = custom_lines(msgspec.structs.replace(DRAFT, lines=(VALUE, PRODUCT)), "USD")
    assert [(line.line_id, line.description, line.amount.amount) for line in lines] == [
        ("CUSTOM_AMOUNT.1", "Workshop", Decimal("100.005")),
        ("CUSTOM_AMOUNT.2", "Payout IMPS", Decimal("32.109")),
    ]


def test_a_value_beside_a_product_has_to_be_the_product() -> None:
    """In the interface the value is computed; another one that was sent is somebody's mistake."""
    agreed = msgspec.structs.replace(PRODUCT, value=Decimal("32.1090"))
    check_custom_invoice(msgspec.structs.replace(DRAFT, lines=(agreed,)))
    with pytest.raises(Invalid, match="leave value out"):
        check_custom_invoice(
            msgspec.structs.replace(DRAFT, lines=(msgspec.structs.replace(PRODUCT, value=Decimal(1)),))
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"description": ""}, r"lineItems\[0\].description"),
        ({"description": "x" * 256}, r"lineItems\[0\].description"),
        ({"value": None}, "send value, or valuePerQuantity and quantity"),
        ({"value": None, "quantity": Decimal(1)}, "send value, or valuePerQuantity and quantity"),
        ({"value": Decimal("NaN")}, r"lineItems\[0\].value"),
        ({"value": Decimal("1E+600")}, r"lineItems\[0\].value"),
        ({"line_id": "x" * 51}, r"lineItems\[0\].id"),
        ({"line_id": "NET_AMOUNT"}, "used twice"),
        ({"billable_id": " "}, r"lineItems\[0\].billableId"),
    ],
)
def test_lines_that_cannot_be_charged_are_refused(line: dict[str, Any], message: str) -> None:
    """With the place and the field."""
    with pytest.raises(Invalid, match=message):
        check_custom_invoice(msgspec.structs.replace(DRAFT, lines=(msgspec.structs.replace(VALUE, **line),)))


@pytest.mark.parametrize("count", [0, 51])
def test_one_to_fifty_lines(count: int) -> None:
    """§3.9: 1..50 lines."""
    with pytest.raises(Invalid, match="1 to 50 lines"):
        check_custom_invoice(msgspec.structs.replace(DRAFT, lines=(VALUE,) * count))


def test_an_id_stands_once() -> None:
    """Charges name lines by their ids, so two lines cannot share one."""
    twice = (msgspec.structs.replace(VALUE, line_id="a"), msgspec.structs.replace(VALUE, line_id="a"))
    with pytest.raises(Invalid, match="'a' is used twice"):
        check_custom_invoice(msgspec.structs.replace(DRAFT, lines=twice))


@pytest.mark.parametrize(
    ("start", "end"), [("2024-03-01", "2024-03-01"), ("2024-03-02", "2024-03-01"), ("1969-12-31", "2024-01-01")]
)
def test_days_that_are_none_are_refused(start: str, end: str) -> None:
    """An empty range, one that runs backwards, one before 1970."""
    days = msgspec.structs.replace(DRAFT, start_date=date.fromisoformat(start), end_date=date.fromisoformat(end))
    with pytest.raises(Invalid, match="startDate"):
        check_custom_invoice(days)


def test_a_day_that_is_begun_belongs_to_the_invoice() -> None:
    """From noon of the 4th to noon of the 6th are three days; what ends at midnight ends before that day."""
    assert first_day(instant("2020-06-04T12:00:00")) == date(2020, 6, 4)
    assert end_day(instant("2020-06-06T12:00:00")) == date(2020, 6, 7)
    assert end_day(instant("2020-07-01T00:00:00")) == date(2020, 7, 1)
    assert end_day(instant("2020-06-30T23:59:59.999")) == date(2020, 7, 1)
    with pytest.raises(Invalid, match="endDate"):
        end_day(instant("9999-12-31T12:00:00"))


def test_days_to_come_are_not_issued() -> None:
    """§3.9: DUE and PAID not for a future date; today is not to come."""
    now = instant("2024-03-31T10:00:00")
    check_not_ahead(date(2024, 4, 1), now=now)
    with pytest.raises(Invalid, match="DRAFT"):
        check_not_ahead(date(2024, 4, 2), now=now)


def test_changes_replace_what_they_name() -> None:
    """Lines are replaced as a whole, and what is not named stays."""
    changed = changed_custom_invoice(DRAFT, CustomInvoiceChanges(lines=(PRODUCT,), auto_advance=True))
    assert changed == msgspec.structs.replace(DRAFT, lines=(PRODUCT,), auto_advance=True)
    assert CustomInvoiceChanges().is_empty
    assert not CustomInvoiceChanges(auto_advance=False).is_empty
    with pytest.raises(Invalid, match="1 to 50 lines"):
        changed_custom_invoice(DRAFT, CustomInvoiceChanges(lines=()))
