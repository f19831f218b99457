from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from invoice_samples import draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, monthly, price_plan, usage_card

from tallybook.core.customer import Address
from tallybook.core.errors import Conflict
from tallybook.core.invoice import (
    TRANSITIONS,
    BilledAccount,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    InvoiceType,
    LineType,
    UsageLine,
    account_mark,
    finalised,
    invoice_id_for,
    moved,
    parse_invoice_id,
    shown_amount,
    status_when_issued,
)
from tallybook.core.period import Window
from tallybook.core.price_plan import PricePlan

MARCH = Window(date(2024, 3, 1), date(2024, 4, 1))
COMPUTED_AT = datetime(2024, 3, 20, tzinfo=UTC)
ISSUED_AT = datetime(2024, 4, 3, tzinfo=UTC)
ACCOUNT = BilledAccount(
    account_id="ACC-1",
    account_name="First customer",
    customer_id="CUS-1",
    customer_name="First customer",
    customer_email="hello@example.com",
    email="bills@example.com",
    address=Address(),
    currency="USD",
    net_term_days=10,
)


def draft(plan: PricePlan, **units: str) -> Invoice:
    """A draft for March, with the units of each meter (`um_1="5"` for um.1)."""
    usage = [
        UsageLine(meter_id=name.replace("_", "."), meter_version=1, name=name, units=Decimal(number), event_count=1)
        for name, number in units.items()
    ]
    return draft_invoice_of(
        ACCOUNT, organisation_id="org", cycle=cycle_in(plan, MARCH), usage=usage, computed_at=COMPUTED_AT
    )


def lines_of(line: InvoiceLine) -> Iterator[InvoiceLine]:
    yield line
    for child in line.lines:
        yield from lines_of(child)


def amounts(invoice: Invoice) -> dict[str, Decimal]:
    return {line.line_id: line.amount.amount for line in lines_of(invoice.revenue)}


PLAN = price_plan(usage_card(SlabSample("0", "2"), SlabSample("100", "1")), cycle=monthly(grace_days=2))


def test_the_tree_goes_from_grand_total_to_slab() -> None:
    """Every line is the sum of the lines under it, named as the interface names them."""
    assert amounts(draft(PLAN, um_1="150")) == {
        "GRAND_TOTAL_AMOUNT": 250,
        "TOTAL_AMOUNT": 250,
        "NET_AMOUNT": 250,
        "GROSS_AMOUNT": 250,
        "PRICE_PLAN_AMOUNT": 250,
        "SUB_TOTAL_AMOUNT": 250,
        "USAGE_RATE_CARD_AMOUNT.um.1": 250,
        "USAGE_RATE_CARD_AMOUNT.um.1.1": 200,
        "USAGE_RATE_CARD_AMOUNT.um.1.2": 50,
    }


@pytest.mark.parametrize(("units", "true_up", "total"), [("640", "360", "1000"), ("1200", None, "1200")])
def test_a_commitment_is_trued_up(units: str, true_up: str | None, total: str) -> None:
    """Contract 3.6: commitment 1000, usage worth 640 or 1200; the line is there only when it adds something."""
    invoice = draft(price_plan(usage_card(SlabSample("0", "1")), commitment="1000"), um_1=units)
    found = amounts(invoice)
    assert found.get("TRUE_UP_AMOUNT") == (None if true_up is None else Decimal(true_up))
    assert found["PRICE_PLAN_AMOUNT"] == found["GRAND_TOTAL_AMOUNT"] == Decimal(total)
    assert found["SUB_TOTAL_AMOUNT"] == Decimal(units)


def test_lines_are_cut_one_by_one_and_totals_from_the_exact_sum() -> None:
    """Contract 7, row 35: two lines of 0.345 show 0.34 each and add up to 0.69."""
    plan = price_plan(usage_card(SlabSample("0", "0.345")), usage_card(SlabSample("0", "0.345"), meter_id="um.2"))
    invoice = draft(plan, um_1="1", um_2="1")
    shown = {line.line_id: str(shown_amount(line)) for line in lines_of(invoice.revenue)}
    assert shown["USAGE_RATE_CARD_AMOUNT.um.1"] == shown["USAGE_RATE_CARD_AMOUNT.um.2"] == "0.34"
    assert shown["GRAND_TOTAL_AMOUNT"] == "0.69"


def test_cards_with_a_tag_stand_together() -> None:
    plan = price_plan(
        usage_card(SlabSample("0", "1"), tag="Network"),
        usage_card(SlabSample("0", "1"), meter_id="um.2"),
        usage_card(SlabSample("0", "1"), meter_id="um.3", tag="Network"),
    )
    invoice = draft(plan, um_1="1", um_2="10", um_3="100")
    (sub_total,) = (line for line in lines_of(invoice.revenue) if line.line_type is LineType.SUB_TOTAL_AMOUNT)
    assert [(line.line_id, line.amount.amount) for line in sub_total.lines] == [
        ("CUSTOM_TAG.Network", Decimal(101)),
        ("USAGE_RATE_CARD_AMOUNT.um.2", Decimal(10)),
    ]


@pytest.mark.parametrize(
    ("total", "status"),
    [
        ("0.01", InvoiceStatus.DUE),
        ("0", InvoiceStatus.PAID),
        ("-0.01", InvoiceStatus.REFUND_COMPLETED),
    ],
)
def test_what_is_owed_decides_the_first_status(total: str, status: InvoiceStatus) -> None:
    """Contract 3.9: zero is paid at once, below zero the refund is complete."""
    assert status_when_issued(Decimal(total)) is status


def test_less_than_a_cent_is_nothing() -> None:
    """0.009 dollars show as 0.00, so nobody is asked to pay them."""
    invoice = finalised(draft(price_plan(usage_card(SlabSample("0", "0.001"))), um_1="9"), issued_at=ISSUED_AT)
    assert (str(invoice.total), invoice.status) == ("0.00", InvoiceStatus.PAID)


def test_a_draft_and_its_finalised_invoice_share_the_id() -> None:
    begun = draft(PLAN, um_1="150")
    issued = finalised(begun, issued_at=ISSUED_AT)
    assert begun.status is InvoiceStatus.DRAFT
    assert (issued.invoice_id, issued.status, issued.issued_at) == (begun.invoice_id, InvoiceStatus.DUE, ISSUED_AT)
    assert issued.revenue == begun.revenue


def test_invoice_and_due_date() -> None:
    """Contract 3.6: due after the cycle and its grace; contract 3.9: to be paid net term days later."""
    invoice = draft(PLAN, um_1="1")
    assert (invoice.invoice_date, invoice.due_date) == (date(2024, 4, 3), date(2024, 4, 13))


def test_an_invoice_reads_back_to_the_same_digits() -> None:
    plan = price_plan(usage_card(SlabSample("0", "0." + "3" * 40, package="7")))
    invoice = draft(plan, um_1="1" * 40)
    assert msgspec.json.decode(msgspec.json.encode(invoice), type=Invoice) == invoice


# ---- statuses ----------------------------------------------------------------------------------------------------

ALLOWED = {
    ("DRAFT", "DUE"),
    ("DRAFT", "VOID"),
    ("DRAFT", "PAID"),
    ("DRAFT", "REFUND_COMPLETED"),
    ("DUE", "PARTIALLY_PAID"),
    ("DUE", "PAID"),
    ("DUE", "UN_COLLECTIBLE"),
    ("DUE", "VOID"),
    ("DUE", "MERGED"),
    ("PARTIALLY_PAID", "PAID"),
    ("PARTIALLY_PAID", "REFUND_INITIATED"),
    ("PAID", "REFUND_INITIATED"),
    ("REFUND_INITIATED", "REFUND_COMPLETED"),
    ("UN_COLLECTIBLE", "PAID"),
    ("UN_COLLECTIBLE", "VOID"),
}


@pytest.mark.parametrize("status", InvoiceStatus)
@pytest.mark.parametrize("to", InvoiceStatus)
def test_statuses_move_as_the_contract_draws_them(status: InvoiceStatus, to: InvoiceStatus) -> None:
    """Contract 3.9, the table of statuses; everything else is refused."""
    if (status.value, to.value) in ALLOWED:
        assert moved(status, to) is to
    else:
        with pytest.raises(Conflict, match=f"{status.value} cannot become {to.value}"):
            moved(status, to)


def test_every_status_has_a_row() -> None:
    assert set(TRANSITIONS) == set(InvoiceStatus)


# ---- ids ---------------------------------------------------------------------------------------------------------


def test_the_id_is_decided_by_organisation_account_and_cycle() -> None:
    """The same in every process and for ever: a changed id would be a second invoice to a customer's books."""
    invoice_id = invoice_id_for("org", "ACC-17", date(2024, 3, 1))
    assert invoice_id == "inv.DdWY6mPx4RQ.036EU"
    others = {
        invoice_id_for("org", "ACC-17", date(2024, 4, 1)),
        invoice_id_for("org", "ACC-18", date(2024, 3, 1)),
        invoice_id_for("org2", "ACC-17", date(2024, 3, 1)),
    }
    assert len(others | {invoice_id}) == 4


def test_an_id_can_be_taken_apart() -> None:
    start = date(2024, 3, 1)
    assert parse_invoice_id(invoice_id_for("org", "ACC-17", start)) == (
        account_mark("org", "ACC-17"),
        InvoiceType.STANDARD,
        start,
    )


@pytest.mark.parametrize(
    "text",
    ["", "inv", "inv..", "inv.DdWY6mPx4RQ", "inv.DdWY6mPx4R.036EU", "cus.DdWY6mPx4RQ.036EU", "inv.DdWY6mPx4R-.036EU",
     "inv.DdWY6mPx4RQ.00000", "inv.DdWY6mPx4RQ.zzzzz", "inv.DdWY6mPx4RQ.036É1"],
)  # fmt: skip
def test_what_is_no_id_of_ours_is_none(text: str) -> None:
    assert parse_invoice_id(text) is None
