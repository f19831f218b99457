"""How payments are checked and allotted, and how the status of an invoice follows."""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tallybook.core.errors import Invalid
from tallybook.core.invoice import InvoiceStatus
from tallybook.core.payment import (
    ExternalReference,
    PaymentLine,
    PaymentLineType,
    PaymentRequest,
    PaymentSource,
    allotted,
    amount_for,
    check_payment,
    payment_in_full,
)
from tallybook.core.receivable import Receivable, settled

WALLET = "wallet.1.1"


def receivable(invoice_id: str, total: str, *, paid: str = "0", status: str = "DUE") -> Receivable:
    return Receivable(
        invoice_id=invoice_id,
        owner_id="A",
        currency="USD",
        status=InvoiceStatus(status),
        total=Decimal(total),
        paid=Decimal(paid),
        due_date=date(2024, 2, 1),
    )


def line(kind: str, entity_id: str | None = None, amount: str | None = None, *, order: int = 1) -> PaymentLine:
    return PaymentLine(
        order=order,
        line_type=PaymentLineType(kind),
        entity_id=entity_id,
        amount=None if amount is None else Decimal(amount),
    )


def request(total: str, *lines: PaymentLine, **reference: Any) -> PaymentRequest:
    fields = {"source_type": PaymentSource.CHEQUE, "source_name": "A bank", "transaction_number": "1", **reference}
    return PaymentRequest(
        account_id="A", currency="USD", total=Decimal(total), reference=ExternalReference(**fields), lines=lines
    )


def amounts(total: str, *lines: PaymentLine, invoices: list[Receivable]) -> list[tuple[Any, Any]]:
    named = {each.invoice_id: each for each in invoices}
    found = allotted(request(total, *lines), named, wallet_id=WALLET)
    return [(each.entity_id, each.amount) for each in found]


def test_the_interfaces_sample_is_allotted_in_its_order() -> None:
    """The sample of `POST /payments`: 1000, 500 and 200 of 10000; the other 8300 go to the wallet."""
    lines = [
        line("INVOICE", "inv.1", "1000", order=1),
        line("INVOICE", "inv.2", "500", order=2),
        line("CREDIT", "cred.1", "200", order=3),
    ]
    due = [receivable("inv.1", "1000"), receivable("inv.2", "600")]
    given = [("inv.1", 1000), ("inv.2", 500), ("cred.1", 200), (WALLET, 8300)]
    assert amounts("10000", *lines, invoices=due) == given
    assert amounts("10000", *reversed(lines), invoices=due) == given


def test_a_line_without_an_amount_takes_what_is_needed_and_left() -> None:
    """100 for invoices of 70 and 50: 70 and 30."""
    lines = [line("INVOICE", "inv.1", order=1), line("INVOICE", "inv.2", order=2)]
    due = [receivable("inv.1", "70"), receivable("inv.2", "50")]
    assert amounts("100", *lines, invoices=due) == [("inv.1", 70), ("inv.2", 30)]


def test_an_invoice_that_is_named_twice_is_paid_once() -> None:
    """80 and 80 for an invoice of 100 of which 10 are paid: 80, 10, and 70 to the wallet."""
    lines = [line("INVOICE", "inv.1", "80", order=1), line("INVOICE", "inv.1", "80", order=1)]
    due = [receivable("inv.1", "100", paid="10", status="PARTIALLY_PAID")]
    assert amounts("160", *lines, invoices=due) == [("inv.1", 80), ("inv.1", 10), (WALLET, 70)]


def test_a_paid_invoice_takes_nothing() -> None:
    """All of it goes to the wallet."""
    due = [receivable("inv.1", "100", paid="100", status="PAID")]
    lines = allotted(request("30", line("INVOICE", "inv.1")), {"inv.1": due[0]}, wallet_id=WALLET)
    assert [(each.line_type.value, str(each.amount)) for each in lines] == [("INVOICE", "0"), ("WALLET_CREDIT", "30")]
    assert amount_for(lines, PaymentLineType.WALLET_CREDIT) == 30


@pytest.mark.parametrize(
    ("status", "paid", "amount", "status_then"),
    [
        ("DUE", "0", "40", "PARTIALLY_PAID"),
        ("DUE", "0", "100", "PAID"),
        ("DUE", "0", "0", "DUE"),
        ("PARTIALLY_PAID", "40", "10", "PARTIALLY_PAID"),
        ("PARTIALLY_PAID", "40", "60", "PAID"),
        ("UN_COLLECTIBLE", "0", "40", "UN_COLLECTIBLE"),
        ("UN_COLLECTIBLE", "40", "60", "PAID"),
    ],
)
def test_the_status_follows_what_is_paid(status: str, paid: str, amount: str, status_then: str) -> None:
    """Contract 3.9: the table of statuses, for an invoice of 100."""
    after = settled(receivable("inv.1", "100", paid=paid, status=status), Decimal(amount))
    assert (after.status.value, after.paid) == (status_then, Decimal(paid) + Decimal(amount))


def test_more_than_is_outstanding_cannot_be_settled() -> None:
    """Not by a cent, and nothing at all once the invoice is paid or void."""
    with pytest.raises(AssertionError):
        settled(receivable("inv.1", "100", paid="40", status="PARTIALLY_PAID"), Decimal("60.01"))
    for status in ("PAID", "VOID", "MERGED", "DRAFT", "REFUND_INITIATED", "REFUND_COMPLETED"):
        assert receivable("inv.1", "100", status=status).outstanding == 0


def test_setting_to_paid_is_a_payment_of_the_rest() -> None:
    """60 of 100 are missing; the reference is the invoice, so that there is one such payment."""
    found = payment_in_full(receivable("inv.1", "100", paid="40", status="PARTIALLY_PAID"), account_id="A")
    assert (str(found.total), found.reference.transaction_number) == ("60", "inv.1")
    assert [(each.entity_id, each.amount) for each in found.lines] == [("inv.1", None)]


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (request("10"), "lineItemRecords: 1 to 100 of them, got 0"),
        (request("10", *[line("WALLET_CREDIT")] * 101), "lineItemRecords: 1 to 100 of them, got 101"),
        (request("-1", line("WALLET_CREDIT")), "totalAmount: must be a number above 0"),
        (request("0.001", line("WALLET_CREDIT")), "totalAmount: 0.001 is not a whole number of USD's smallest unit"),
        (request("1", line("INVOICE")), r"lineItemRecords\[0\].togaiId: name the invoice"),
        (request("1", line("CREDIT", "cred.1")), r"lineItemRecords\[0\].amount: say how much"),
        (request("1", line("INVOICE", "i", "-1")), r"lineItemRecords\[0\].amount: must be a number above 0"),
        (request("1", line("INVOICE", "i" * 51)), r"lineItemRecords\[0\].togaiId: at most 50 characters"),
        (request("1", line("WALLET_CREDIT", order=-1)), r"lineItemRecords\[0\].order: must be 0 to 1000000"),
        (request("5", line("WALLET_CREDIT", None, "3"), line("INVOICE", "i", "3")), "they take 6, more than"),
        (request("1", line("WALLET_CREDIT"), transaction_number=""), "transactionNumber: must not be empty"),
        (request("1", line("WALLET_CREDIT"), source_name="x" * 256), "sourceName: at most 255 characters, got 256"),
        (request("1", line("WALLET_CREDIT"), source_name="Tallybook"), "'Tallybook' is kept for invoices"),
        (request("1", line("WALLET_CREDIT"), metadata={"a": "b" * 501}), "metadata: keys and values have at most 500"),
        (
            request("1", line("WALLET_CREDIT"), metadata={str(number): "" for number in range(51)}),
            "metadata: at most 50 entries, got 51",
        ),
    ],
)
def test_what_cannot_be_is_refused(refused: PaymentRequest, message: str) -> None:
    """Each refusal names the place."""
    with pytest.raises(Invalid, match=message):
        check_payment(refused)


def test_amounts_are_whole_minor_units_of_their_currency() -> None:
    """A tenth of a cent is refused; three digits are dinars; half a yen is none."""
    check_payment(msgspec.structs.replace(request("0.001", line("WALLET_CREDIT")), currency="KWD"))
    with pytest.raises(Invalid, match="JPY's smallest unit"):
        check_payment(msgspec.structs.replace(request("0.5", line("WALLET_CREDIT")), currency="JPY"))
    with pytest.raises(Invalid, match="not an ISO 4217 currency"):
        check_payment(msgspec.structs.replace(request("1", line("WALLET_CREDIT")), currency="XXX"))
