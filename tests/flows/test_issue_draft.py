"""Drafts of cycles that somebody sets to DUE or PAID, over a whole Tallybook in this process."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from api_caller import Caller
from billing_samples import use
from correction_samples import add_plan
from embedded import ORGANISATION, Embedded

from tallybook.core.invoice import invoice_id_for

JANUARY, FEBRUARY = (invoice_id_for(ORGANISATION, "a1", date(2024, month, 1)) for month in (1, 2))


@pytest.fixture
def billed(embedded: Embedded, catalogue: Caller) -> Caller:
    """Account `a1` is billed by the month from January 2024 on, and has used 125 kilometres for 12.50 each month."""
    add_plan(catalogue)
    [meter] = catalogue.get("/usage_meters")["data"]
    for day in ("2024-01-15T00:00", "2024-02-15T00:00"):
        use(embedded.database, "a1", day, "125", meter_id=meter["id"])
    return catalogue


def turn(client: Caller, invoice_id: str, status: str, answer: int = 200) -> Any:
    return client.send("PATCH", f"/invoices/{invoice_id}", answer, json={"status": status})


def test_a_draft_whose_grace_is_over_is_issued_when_it_is_set_to_due(billed: Caller) -> None:
    """That one alone, February stays a draft; set again, nothing changes."""
    assert billed.get(f"/invoices/{JANUARY}")["status"] == "DRAFT"
    for _ in range(2):
        issued = turn(billed, JANUARY, "DUE")
        assert (issued["status"], issued["totalAmount"], issued["paidAmount"]) == ("DUE", 12.5, 0)
    assert billed.get(f"/invoices/{FEBRUARY}")["status"] == "DRAFT"


def test_a_draft_that_is_set_to_paid_is_issued_and_paid(billed: Caller) -> None:
    """Contract 3.9: marking PAID records a payment, here of all of it."""
    paid = turn(billed, JANUARY, "PAID")
    assert (paid["status"], paid["paidAmount"]) == ("PAID", 12.5)
    assert [each["totalAmount"] for each in billed.get("/payments")["data"]] == [12.5]


def test_a_draft_is_not_given_up_made_void_or_refunded(billed: Caller) -> None:
    """Nobody owes it yet; it stays a draft."""
    for status in ("VOID", "UN_COLLECTIBLE", "REFUND_INITIATED"):
        refused = turn(billed, JANUARY, status, 400)
        assert (refused["code"], "is a draft" in refused["message"]) == ("STATUS_TRANSITION", True)
    assert billed.get(f"/invoices/{JANUARY}")["status"] == "DRAFT"


def test_a_draft_of_a_cycle_that_goes_on_is_not_issued(billed: Caller) -> None:
    """The message says from when on it can be."""
    today = datetime.now(UTC).date()
    running = invoice_id_for(ORGANISATION, "a1", today.replace(day=1))
    refused = turn(billed, running, "DUE", 400)
    assert (refused["code"], "can be issued from" in refused["message"]) == ("STATUS_TRANSITION", True)


def test_what_is_no_invoice_is_not_found(billed: Caller) -> None:
    """An id of nothing, a cycle that has not begun, or another organisation's draft."""
    turn(billed, "inv.nothing", "DUE", 404)
    turn(billed, invoice_id_for(ORGANISATION, "a1", date(9000, 1, 1)), "DUE", 404)
    turn(billed.of("other"), JANUARY, "DUE", 404)
    assert billed.get(f"/invoices/{JANUARY}")["status"] == "DRAFT"
