"""Usage that changes after its cycle was invoiced: what is metered, and which invoices are noted for it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import togai_client
from api_caller import Caller
from correction_samples import accept, add_plan, assert_sound, define, statuses, usage
from embedded import ORGANISATION, Embedded, distance, event

from tallybook import assembly
from tallybook.core.correction import CorrectionAction, CorrectionResult
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.invoice import invoice_id_for
from tallybook.core.proof import check_proof, proof_file
from tallybook.flows.correct import CorrectionRequest, Corrections
from tallybook.flows.prove_invoice import prove
from tallybook.flows.targets import TargetFilter
from tallybook.storage import late_usage, ledger

S = IngestionStatus
UNDO, REDO, REDO_EVENT = CorrectionAction
REVERTED, REINGESTED, FAILED = CorrectionResult
JANUARY = datetime(2024, 1, 20, tzinfo=UTC)
DEADLINE = datetime(2024, 2, 4, tzinfo=UTC)  # of January: its end and three days of grace


def issue_january(embedded: Embedded) -> None:
    """Close the cycle of January."""
    at = datetime(2024, 2, 10, tzinfo=UTC)
    report = assembly.billing(embedded.settings).close_due_cycles(as_of=at, metered_through=at)
    assert report.finalised == 1


def noted(embedded: Embedded) -> dict[str, tuple[str, ...]]:
    """The invoices whose usage has changed since they were issued, by account."""
    with embedded.database.read() as connection:
        return late_usage.noted_invoices(connection, ORGANISATION, ["a1", "a2"])


def january_of(embedded: Embedded) -> str:
    with embedded.database.read() as connection:
        [invoice] = ledger.invoices(connection, ORGANISATION)
    return invoice.invoice_id


# ---- events after the grace of their cycle -----------------------------------------------------------------------


def meter_late(catalogue: Caller, days: int) -> None:
    """Meter events up to so many days after their grace."""
    catalogue.post(
        "/settings",
        {
            "id": "late_usage_days",
            "value": str(days),
            "namespace": "TOGAI",
            "name": "Days",
            "entityType": "ORGANIZATION",
            "entityId": ORGANISATION,
            "dataType": "STRING",
        },
        status=201,
    )


def accept_at(embedded: Embedded, instant: datetime, *event_ids: str) -> None:
    embedded.clock.now = microseconds_since_1970(instant)
    accept(embedded, *(event(event_id) for event_id in event_ids))


def test_late_events_are_refused_unless_the_organisation_chooses(embedded: Embedded, catalogue: Caller) -> None:
    """Contract 7, row 16: late is what is received after the cycle's end and grace, to the instant."""
    add_plan(catalogue)
    accept_at(embedded, DEADLINE, "in time")
    accept_at(embedded, DEADLINE + timedelta(microseconds=1), "late")
    assert statuses(embedded, "in time") == [S.METERED]
    assert statuses(embedded, "late") == [S.PAST_GRACE_PERIOD]
    assert list(usage(embedded).values()) == [("12.5", 1)]


def test_late_events_are_metered_for_as_many_days_as_chosen(embedded: Embedded, catalogue: Caller) -> None:
    """Ten days after the grace, to the instant; the event says that it came late. The choice holds at once."""
    add_plan(catalogue)
    accept_at(embedded, DEADLINE + timedelta(days=1), "refused")
    meter_late(catalogue, 10)
    accept_at(embedded, DEADLINE + timedelta(days=10), "late")
    accept_at(embedded, DEADLINE + timedelta(days=10, microseconds=1), "too late")
    assert [statuses(embedded, each) for each in ("refused", "late", "too late")] == [
        [S.PAST_GRACE_PERIOD],
        [S.METERED],
        [S.PAST_GRACE_PERIOD],
    ]
    [row] = embedded.events.find(ORGANISATION, "late")
    assert "after the grace period" in (row.status_description or "")
    assert list(usage(embedded).values()) == [("12.5", 1)]
    assert_sound(embedded)


def test_a_late_event_is_noted_only_where_the_invoice_is_issued(embedded: Embedded, catalogue: Caller) -> None:
    """Before that, the cycle's own invoice will hold it; after it, one note is enough for any number of events."""
    add_plan(catalogue)
    meter_late(catalogue, 30)
    accept_at(embedded, DEADLINE + timedelta(days=1), "e1")
    assert noted(embedded) == {}
    issue_january(embedded)
    assert noted(embedded) == {}
    accept_at(embedded, DEADLINE + timedelta(days=9), "e2", "e3")
    accept_at(embedded, DEADLINE + timedelta(days=10), "e4")
    assert noted(embedded) == {"a1": (january_of(embedded),)}
    assert list(usage(embedded).values()) == [("50", 4)]


def test_a_repeat_that_comes_late_is_a_duplicate(embedded: Embedded, catalogue: Caller) -> None:
    """It adds nothing and leaves no note, within a batch and after it."""
    add_plan(catalogue)
    meter_late(catalogue, 30)
    accept_at(embedded, JANUARY, "e1")
    issue_january(embedded)
    accept_at(embedded, DEADLINE + timedelta(days=9), "e1")
    assert statuses(embedded, "e1") == [S.DUPLICATE, S.METERED]
    assert noted(embedded) == {}


def test_organisations_choose_for_themselves(embedded: Embedded, catalogue: Caller) -> None:
    """One's late events are metered, another's are not, also when they arrive together."""
    other = catalogue.of("umbrella")
    define(other)
    for caller in (catalogue, other):
        add_plan(caller)
    meter_late(catalogue, 30)
    embedded.clock.now = microseconds_since_1970(DEADLINE + timedelta(days=1))
    for organisation_id in (ORGANISATION, "umbrella"):
        embedded.send(event("e1"), organisation_id=organisation_id)
    embedded.meter()
    assert statuses(embedded, "e1") == [S.METERED]
    [row] = embedded.events.find("umbrella", "e1")
    assert row.status == S.PAST_GRACE_PERIOD


def test_usage_and_note_are_there_together_or_not_at_all(embedded: Embedded, catalogue: Caller) -> None:
    """A commit that fails at its last statement leaves neither, for a late event and for a correction."""
    add_plan(catalogue)
    meter_late(catalogue, 30)
    accept_at(embedded, JANUARY, "e1")
    issue_january(embedded)
    for send in (
        lambda: accept_at(embedded, DEADLINE + timedelta(days=9), "e2"),
        lambda: embedded.correct(UNDO, event_id="e1"),
    ):
        before = embedded.usage()
        fail_commits(embedded, "BEFORE INSERT ON event_block")
        with pytest.raises(Exception, match="stop"):
            send()
        assert (embedded.usage(), noted(embedded)) == (before, {})
        fail_commits(embedded, None)
        embedded.meter()
        assert embedded.usage() != before
        assert noted(embedded) == {"a1": (january_of(embedded),)}
        with embedded.database.write() as connection:
            late_usage.clear_notes(connection, ORGANISATION, "a1", noted(embedded)["a1"])
    assert_sound(embedded)


def fail_commits(embedded: Embedded, event: str | None) -> None:
    """Let every transaction fail that does this; None lets them pass again."""
    with embedded.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS fail")
        if event is not None:
            connection.exec_driver_sql(f"CREATE TRIGGER fail {event} BEGIN SELECT RAISE(ABORT, 'stop'); END")


# ---- corrections -------------------------------------------------------------------------------------------------


def test_a_correction_of_an_invoiced_cycle_is_left_to_the_next_invoice(embedded: Embedded, catalogue: Caller) -> None:
    """Usage changes, the answer names the invoice, and a note says that the account's next one has to look."""
    add_plan(catalogue)
    embedded.clock.now = microseconds_since_1970(JANUARY)
    accept(embedded, event("e1"), event("e2", attributes=distance(2)))
    issue_january(embedded)
    assert noted(embedded) == {}
    [done] = embedded.correct(UNDO, event_id="e1")
    assert done.result == REVERTED
    assert january_of(embedded) in done.reason
    assert list(usage(embedded).values()) == [("2", 1)]
    assert noted(embedded) == {"a1": (january_of(embedded),)}
    assert_sound(embedded)


def test_what_a_correction_adds_to_an_invoiced_cycle_is_noted_too(embedded: Embedded, catalogue: Caller) -> None:
    """An event that had counted for nobody is ingested again for an account whose January is invoiced."""
    add_plan(catalogue)
    embedded.clock.now = microseconds_since_1970(JANUARY)
    accept(embedded, event("nobody", accountId="ghost"))
    issue_january(embedded)
    catalogue.post("/accounts/a1/add_aliases", {"accountAliases": [{"value": "ghost"}]})
    [done] = embedded.correct(REDO, event_id="nobody")
    assert done.result == REINGESTED
    assert list(usage(embedded).values()) == [("12.5", 1)]
    assert noted(embedded) == {"a1": (january_of(embedded),)}
    assert_sound(embedded)


def test_a_cycle_that_is_closed_before_the_correction_is_metered_is_noted(
    embedded: Embedded, catalogue: Caller
) -> None:
    """The commit looks, not the one who asks."""
    add_plan(catalogue)
    embedded.clock.now = microseconds_since_1970(JANUARY)
    accept(embedded, event("e1"))

    def close_and_meter(position: int) -> bool:
        issue_january(embedded)
        embedded.meter()
        return True

    request = CorrectionRequest(action=UNDO, wanted=TargetFilter(event_id="e1"))
    corrections = Corrections(embedded.events, embedded.database, wait_until_metered=close_and_meter)
    [done] = corrections.correct(ORGANISATION, request, correction_id="late")
    assert done.result == REVERTED
    assert noted(embedded) == {"a1": (january_of(embedded),)}
    assert_sound(embedded)


def test_a_correction_of_a_running_cycle_needs_no_note(embedded: Embedded, catalogue: Caller) -> None:
    """The cycle's own invoice will hold what it changes."""
    add_plan(catalogue)
    embedded.clock.now = microseconds_since_1970(JANUARY)
    accept(embedded, event("e1"))
    embedded.correct(REDO, event_id="e1")
    issue_january(embedded)
    assert noted(embedded) == {}


# ---- from the event to the invoice -------------------------------------------------------------------------------


def test_the_interface_shows_what_came_late(embedded: Embedded, catalogue: Caller) -> None:
    """12.5 km in January at 0.1: 1.25. 100 come late, the 12.5 are taken back: 8.75 on February's draft and invoice.

    The interface has no type for the line, so it is one that the published client knows, CUSTOM_AMOUNT.
    """
    add_plan(catalogue)
    meter_late(catalogue, 30)
    accept_at(embedded, JANUARY, "e1")
    issue_january(embedded)
    embedded.clock.now = microseconds_since_1970(DEADLINE + timedelta(days=9))
    accept(embedded, event("e2", attributes=distance(100)))
    assert [each.result for each in embedded.correct(UNDO, event_id="e1")] == [REVERTED]
    february = invoice_id_for(ORGANISATION, "a1", date(2024, 2, 1))
    draft = catalogue.get(f"/invoices/{february}")
    assert draft["status"] == "DRAFT"
    [late] = [line for line in of_gross(draft) if "Late usage" in line["description"]]
    assert (late["type"], late["value"], late["id"]) == (
        "CUSTOM_AMOUNT",
        8.75,
        f"LATE_USAGE_AMOUNT.{january_of(embedded)}",
    )
    [part] = late["lineItems"]
    assert (part["type"], part["value"], part["quantity"]) == ("USAGE_RATE_CARD_AMOUNT", 8.75, 87.5)
    assert togai_client.InvoiceLineItem.type_validate_enum(late["type"]) == late["type"]
    at = datetime(2024, 3, 10, tzinfo=UTC)
    assembly.billing(embedded.settings).close_due_cycles(as_of=at, metered_through=at)
    issued = catalogue.get(f"/invoices/{february}")
    assert (issued["status"], of_gross(issued)) == ("DUE", of_gross(draft))
    assert noted(embedded) == {}
    catalogue.get(f"/invoices/{february}/lines/{part['id']}/events", 400)
    proved = check_proof(proof_file(prove(embedded.database, embedded.events, ORGANISATION, february)))
    assert proved.first_difference is None, "the proof holds what came late"
    assert_sound(embedded)


def of_gross(invoice: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of the gross amount: grand total, total, net and gross stand above them."""
    line = invoice["revenueInfo"]
    for _ in range(3):
        line = line["lineItems"][0]
    found: list[dict[str, Any]] = line["lineItems"]
    return found
