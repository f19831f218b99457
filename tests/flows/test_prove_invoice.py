"""An invoice is proved by one file: computed again from it to the digit, with the events behind its usage."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from api_caller import Caller
from correction_samples import accept, add_plan, resting
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.correction import CorrectionAction
from tallybook.core.errors import Invalid, NotFound
from tallybook.core.invoice import invoice_id_for
from tallybook.core.proof import EVENTS_LISTED_MAX, Proof, check_proof, differences, proof_file
from tallybook.flows import prove_invoice
from tallybook.flows.bill import Billing
from tallybook.flows.prove_invoice import events_of_line, prove

FEBRUARY_10 = datetime(2024, 2, 10, tzinfo=UTC)
UNDO = CorrectionAction.UNDO


@pytest.fixture
def invoice(embedded: Embedded, catalogue: Caller) -> str:
    """The id of January's invoice for `a1`: 12.5 + 30.25 + 7 = 49.75 km at 0.1 are 4.975, shown as 4.97."""
    accept(
        embedded,
        event("r1", timestamp="2024-01-15T07:30:00Z"),
        event("r2", timestamp="2024-01-15T07:40:00Z", attributes=distance("30.25")),
        event("r3", timestamp="2024-01-20T10:00:00Z", attributes=distance("7")),
        event("wrong", timestamp="2024-01-20T10:10:00Z"),
        event("other account", accountId="a2", timestamp="2024-01-20T10:00:00Z"),
        event("before", timestamp="2023-12-31T23:59:59Z"),
    )
    embedded.correct(UNDO, account_id="a1", event_id="wrong")
    add_plan(catalogue)
    Billing(embedded.database).close_due_cycles(as_of=FEBRUARY_10, metered_through=FEBRUARY_10)
    return invoice_id_for(ORGANISATION, "a1", date(2024, 1, 1))


def proved(embedded: Embedded, invoice_id: str) -> Proof:
    return prove(embedded.database, embedded.events, ORGANISATION, invoice_id)


@resting
def test_a_proof_gives_the_invoice_again(embedded: Embedded, invoice: str, rest: Any) -> None:
    """With the events behind it, the one that was taken back on both sides: 5 entries for 3 events that count."""
    rest(embedded)
    proof = proved(embedded, invoice)
    checked = check_proof(proof_file(proof))
    assert checked.first_difference is None
    assert (checked.total, checked.usage_rows, checked.events) == (Decimal("4.97"), 2, 5)
    assert proof.events is not None
    assert proof.events.listed is not None
    assert [(each.event_id, each.sign) for each in proof.events.listed] == [
        ("r1", 1),
        ("r2", 1),
        ("r3", 1),
        ("wrong", 1),
        ("wrong", -1),
    ]
    assert [(meter.name, meter.version) for meter in proof.meters] == [("kilometres", 1)]
    assert [schema.name for schema in proof.schemas] == ["rides"]


def test_what_came_after_the_invoice_is_not_in_its_proof(embedded: Embedded, catalogue: Caller, invoice: str) -> None:
    """An event taken back later was billed by it all the same."""
    before = proof_file(proved(embedded, invoice))
    embedded.correct(UNDO, account_id="a1", event_id="r1")
    assert proof_file(proved(embedded, invoice)) == before
    assert check_proof(before).agrees


def test_every_changed_digit_is_found(embedded: Embedded, invoice: str) -> None:
    """Each digit in the file, one after the other: either it cannot be read any more, or it does not agree."""
    content = proof_file(proved(embedded, invoice))
    unfound = []
    for place in [match.start() for match in re.finditer(rb"[0-9]", content)]:
        digit = b"%d" % ((int(content[place : place + 1]) + 1) % 10)
        try:
            agrees = check_proof(content[:place] + digit + content[place + 1 :]).agrees
        except Invalid:
            continue
        if agrees:
            unfound.append(content[place - 30 : place + 10])
    assert unfound == []


def test_a_forged_line_is_named(embedded: Embedded, invoice: str) -> None:
    """Whoever changes an amount and seals the file anew is told which line does not follow from the usage."""
    proof = proved(embedded, invoice)
    raw = msgspec.json.encode(proof).replace(b'"4.975"', b'"9.975"')
    forged = msgspec.json.decode(raw, type=Proof)
    first = next(differences(forged))
    assert (
        first
        == 'line GRAND_TOTAL_AMOUNT, amount: the invoice says {"amount":"9.975","currency":"USD"}, computing '
        + ('gives {"amount":"4.975","currency":"USD"}')
    )


def test_forged_usage_does_not_follow_from_the_events(embedded: Embedded, invoice: str) -> None:
    """Whoever changes the usage and the invoice alike is told by the events: 7 km were driven in that hour."""
    proof = proved(embedded, invoice)
    raw = msgspec.json.encode(proof.inputs).replace(b'"7"', b'"8"')
    inputs = msgspec.json.decode(raw, type=type(proof.inputs))
    forged = msgspec.structs.replace(proof, inputs=inputs)
    [*_, last] = differences(forged)
    assert "8 units of 1 events were priced, the events come to 7 of 1" in last


def test_many_events_are_named_by_reference(embedded: Embedded, invoice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file then says where in the lake they are; the lines are computed all the same."""
    assert EVENTS_LISTED_MAX == 10_000
    monkeypatch.setattr(prove_invoice, "EVENTS_LISTED_MAX", 4)
    proof = proved(embedded, invoice)
    assert proof.events is not None
    assert proof.events.listed is None
    checked = check_proof(proof_file(proof))
    assert (checked.agrees, checked.events) == (True, None)


def test_only_issued_invoices_of_the_organisation_are_proved(
    embedded: Embedded, catalogue: Caller, invoice: str
) -> None:
    """A draft has no proof, and another organisation's invoice is not there."""
    draft = invoice_id_for(ORGANISATION, "a1", date(2024, 2, 1))
    assert catalogue.get(f"/invoices/{draft}")["status"] == "DRAFT"
    with pytest.raises(NotFound, match="a draft has no proof"):
        proved(embedded, draft)
    with pytest.raises(NotFound):
        prove(embedded.database, embedded.events, "other", invoice)


# ---- the events of a line ----------------------------------------------------------------------------------------


@resting
def test_a_line_of_usage_has_its_events(embedded: Embedded, catalogue: Caller, invoice: str, rest: Any) -> None:
    """Newest received first, page by page; neither what was taken back before, nor others' events."""
    rest(embedded)
    whole = Billing(embedded.database).invoice(ORGANISATION, invoice, now=FEBRUARY_10)
    [card] = whole.gross.lines[0].lines[0].lines
    for line_id in (card.line_id, card.lines[0].line_id):
        found, before = [], None
        while True:
            rows, before = events_of_line(
                embedded.database, embedded.events, ORGANISATION, whole, line_id, before=before, limit=2
            )
            found += [row.event_id for row in rows]
            if before is None:
                break
        assert found == ["r3", "r2", "r1"]


def test_events_of_a_line_over_http(catalogue: Caller, invoice: str) -> None:
    """A page with a token to the next; a line that no events made, and one that is not there, are refused."""
    [plan] = catalogue.get(f"/invoices/{invoice}")["revenueInfo"]["lineItems"][0]["lineItems"][0]["lineItems"][0][
        "lineItems"
    ]
    card = plan["lineItems"][0]["lineItems"][0]["id"]
    page = catalogue.get(f"/invoices/{invoice}/lines/{card}/events", pageSize=2)
    assert [each["eventPayload"]["id"] for each in page["events"]] == ["r3", "r2"]
    rest = catalogue.get(f"/invoices/{invoice}/lines/{card}/events", nextToken=page["nextToken"])
    assert [each["eventPayload"]["id"] for each in rest["events"]] == ["r1"]
    assert rest["nextToken"] is None
    catalogue.get(f"/invoices/{invoice}/lines/NET_AMOUNT/events", status=400)
    catalogue.get(f"/invoices/{invoice}/lines/nothing/events", status=404)
    catalogue.of("other").get(f"/invoices/{invoice}/lines/{card}/events", status=404)
