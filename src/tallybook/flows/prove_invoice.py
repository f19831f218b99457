"""Proving an invoice: gathering what it was computed from into one file, and finding the events behind a line."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec
from sqlalchemy import Connection

from tallybook.core.correction import EventPlace
from tallybook.core.errors import Conflict, NotFound
from tallybook.core.event_schema import EventSchema
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import EPOCH, MICROSECONDS_PER_HOUR
from tallybook.core.invoice import Invoice, InvoiceLine, InvoiceType
from tallybook.core.invoice_inputs import InvoiceInputs, plans_named
from tallybook.core.invoice_words import lines_of
from tallybook.core.late_usage import LATE_LINE
from tallybook.core.period import Window, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.proof import EVENTS_LISTED_MAX, EventsBehind, MeteredEvent, Proof
from tallybook.core.usage_meter import UsageMeter
from tallybook.flows.query import Events, Place, lake_rows, rows_in
from tallybook.flows.targets import sql_instant
from tallybook.storage import ledger, plans, schemas
from tallybook.storage.database import Database
from tallybook.storage.event_rows import EventRow, decode_blocks, rows_of, sql_literal

_ROWS_PER_LOOK = 500  # of the lake, while looking for the events of a page


def prove(database: Database, events: Events, organisation_id: str, invoice_id: str) -> Proof:
    """The proof of an issued invoice. Raises `NotFound`, and `Conflict` where there is nothing to prove it by."""
    with database.read() as connection:
        invoice, inputs = _issued(connection, organisation_id, invoice_id)
        named = [plans.price_plan(connection, organisation_id, *each) for each in sorted(plans_named(inputs))]
    behind = events_behind(inputs)
    rows = [] if behind is None else list(_rows_behind(events, behind, limit=EVENTS_LISTED_MAX + 1))
    with database.read() as connection:
        meters = _meters(connection, organisation_id, inputs, rows)
        return Proof(
            invoice=invoice,
            inputs=inputs,
            plans=_present(named),
            meters=meters,
            schemas=_schemas(connection, organisation_id, rows),
            events=None if behind is None else _with_events(behind, rows, {meter.meter_id for meter in inputs.meters}),
        )


def events_of_line(
    database: Database,
    events: Events,
    organisation_id: str,
    invoice: Invoice,
    line_id: str,
    *,
    before: Place | None,
    limit: int,
) -> tuple[list[EventRow], Place | None]:
    """The newest events before a place that a line of usage is made of, and the place to go on from, None at the end.

    Of an issued invoice those that were metered when it was; of a draft those that are now. Raises `NotFound` and
    `Conflict`.
    """
    meter_id = _meter_of(invoice, line_id)
    with database.read() as connection:
        inputs = None if invoice.issued_at is None else ledger.inputs(connection, organisation_id, invoice.invoice_id)
    behind = EventsBehind(
        organisation_id=organisation_id,
        account_id=invoice.account.account_id,
        start=invoice.start_date,
        end=invoice.end_date,
        positions=((events.partition, events.usage_store.position(events.partition)),)
        if inputs is None
        else inputs.positions,
    )
    rows: list[EventRow] = []
    for row in _newest_first(events, behind, meter_id, before):
        rows.append(row)
        if len(rows) > limit:
            return rows[:limit], (rows[limit - 1].position, rows[limit - 1].index)
    return rows, None


def events_behind(inputs: InvoiceInputs) -> EventsBehind | None:
    """Where the events are that the usage of the invoice is made of; None for one without usage."""
    if inputs.cycle is None or inputs.invoice_type is not InvoiceType.STANDARD:
        return None
    return EventsBehind(
        organisation_id=inputs.organisation_id,
        account_id=inputs.account.account_id,
        start=inputs.cycle.window.start,
        end=inputs.cycle.window.end,
        positions=inputs.positions,
    )


# ---- what a proof consists of ------------------------------------------------------------------------------------


def _issued(connection: Connection, organisation_id: str, invoice_id: str) -> tuple[Invoice, InvoiceInputs]:
    invoice = ledger.invoice(connection, organisation_id, invoice_id)
    if invoice is None:
        raise NotFound(
            f"no issued invoice {invoice_id[:100]!r}; a draft has no proof, it is computed anew whenever read"
        )
    if invoice.invoice_type is InvoiceType.COMPOSITE:
        raise Conflict(f"a composite invoice is proved by its members: {', '.join(invoice.members)}")
    inputs = ledger.inputs(connection, organisation_id, invoice_id)
    assert inputs is not None, "an invoice has its inputs"
    return invoice, inputs


def _present(found: Iterable[PricePlan | None]) -> tuple[PricePlan, ...]:
    return tuple(plan for plan in found if plan is not None)


def _meters(
    connection: Connection, organisation_id: str, inputs: InvoiceInputs, rows: Sequence[EventRow]
) -> tuple[UsageMeter, ...]:
    """The versions of the meters that stand on the invoice, and those that metered its events."""
    wanted = {(meter.meter_id, meter.version) for meter in inputs.meters}
    priced = {meter_id for meter_id, _ in wanted}
    wanted.update((each.meter_id, each.meter_version) for row in rows for each in row.meters if each.meter_id in priced)
    found = [schemas.meter_version(connection, organisation_id, *each) for each in sorted(wanted)]
    return tuple(meter for meter in found if meter is not None)


def _schemas(connection: Connection, organisation_id: str, rows: Sequence[EventRow]) -> tuple[EventSchema, ...]:
    wanted = {(row.schema_name, row.schema_version) for row in rows if row.schema_version is not None}
    found = [schemas.event_schema(connection, organisation_id, *each) for each in sorted(wanted)]
    return tuple(each.definition for each in found if each is not None)


def _with_events(behind: EventsBehind, rows: Sequence[EventRow], meter_ids: set[str]) -> EventsBehind:
    """The events listed, unless they are too many."""
    if len(rows) > EVENTS_LISTED_MAX:
        return behind
    listed = sorted(
        (each for row in rows for each in _metered(row, meter_ids)), key=lambda each: (each.position, each.index)
    )
    return msgspec.structs.replace(behind, listed=tuple(listed))


def _metered(row: EventRow, meter_ids: set[str]) -> Iterator[MeteredEvent]:
    for meter in row.meters:
        if meter.units is not None and meter.meter_id in meter_ids:
            yield MeteredEvent(
                event_id=row.event_id or "",
                position=row.position,
                index=row.index,
                meter_id=meter.meter_id,
                hour=row.event_time // MICROSECONDS_PER_HOUR,
                units=Decimal(meter.units),
                sign=1 if row.index >= 0 else -1,
                value=meter.value,
            )


# ---- finding events ----------------------------------------------------------------------------------------------


def _rows_behind(events: Events, behind: EventsBehind, *, limit: int) -> Iterator[EventRow]:
    """Up to so many rows behind the usage, those that take events back among them."""
    blocks, snapshot = events.blocks_and_lake()
    found = 0
    for block in blocks:
        for row in rows_of(decode_blocks([block.rows])):
            if _is_behind(row, behind):
                yield row
                found += 1
                if found >= limit:
                    return
    yield from lake_rows(snapshot, _conditions(behind), limit=limit - found)


def _newest_first(events: Events, behind: EventsBehind, meter_id: str, before: Place | None) -> Iterator[EventRow]:
    """The events that the meter counted, newest received first, without those taken back by then."""
    blocks, snapshot = events.blocks_and_lake()
    last = before or (behind.end_of_log + 1, 0)
    for block in reversed(blocks):
        if block.first_position <= last[0]:
            some = [
                row
                for row in rows_in(block, behind.organisation_id)
                if (row.position, row.index) < last and _is_behind(row, behind)
            ]
            yield from _still_counted(events, some, behind, meter_id)
    while True:
        conditions = [
            *_conditions(behind),
            "index >= 0",
            f"(position < {last[0]} OR (position = {last[0]} AND index < {last[1]}))",
        ]
        some = lake_rows(snapshot, conditions, limit=_ROWS_PER_LOOK)
        yield from _still_counted(events, some, behind, meter_id)
        if len(some) < _ROWS_PER_LOOK:
            return
        last = some[-1].position, some[-1].index


def _still_counted(events: Events, rows: Sequence[EventRow], behind: EventsBehind, meter_id: str) -> Iterator[EventRow]:
    counted = [row for row in rows if any(each.meter_id == meter_id and each.units is not None for each in row.meters)]
    taken_back = events.usage_store.reverted([EventPlace(row.partition, row.position, row.index) for row in counted])
    for row in counted:
        by = taken_back.get(EventPlace(row.partition, row.position, row.index))
        if by is None or by.reverted_by > behind.reaches(row.partition):
            yield row


def _is_behind(row: EventRow, behind: EventsBehind) -> bool:
    start, end = _microseconds(behind)
    return (
        row.organisation_id == behind.organisation_id
        and row.account_id == behind.account_id
        and row.status == IngestionStatus.METERED.value
        and start <= row.event_time < end
        and row.position <= behind.reaches(row.partition)
    )


def _conditions(behind: EventsBehind) -> list[str]:
    start, end = _microseconds(behind)
    reach = [f"(partition = {partition} AND position <= {position})" for partition, position in behind.positions]
    return [
        f"position <= {behind.end_of_log}",  # alone, so that files can be left out by it
        f"({' OR '.join(reach) or 'false'})",
        f"organisation_id = {sql_literal(behind.organisation_id)}",
        f"account_id = {sql_literal(behind.account_id)}",
        f"status = {sql_literal(IngestionStatus.METERED.value)}",
        f"event_time >= {sql_instant(start)}",
        f"event_time < {sql_instant(end)}",
    ]


def _microseconds(behind: EventsBehind) -> tuple[int, int]:
    window = Window(behind.start, behind.end)
    start, end = ((midnight(day) - EPOCH) // timedelta(microseconds=1) for day in window)
    return start, end


def _meter_of(invoice: Invoice, line_id: str) -> str:
    """The meter of the line. Raises `NotFound`, or `Conflict` for a line that no events made."""
    metered = {line.meter_id for line in invoice.usage}
    by_id: dict[str, InvoiceLine] = {line.line_id: line for line in lines_of(invoice.revenue)}
    if line_id not in by_id:
        raise NotFound(f"no line {line_id[:100]!r} on invoice {invoice.invoice_id}")
    for line in by_id.values():
        if line.line_type is LATE_LINE and any(each.line_id == line_id for each in lines_of(line)):
            raise Conflict(
                f"the line {line_id[:100]!r} is the difference to what an earlier invoice said; GET /events lists the "
                "events of that invoice's days"
            )
    for line in by_id.values():
        if line.entity_id in metered and any(each.line_id == line_id for each in lines_of(line)):
            assert line.entity_id is not None, "it is a meter's"
            return line.entity_id
    raise Conflict(f"the line {line_id[:100]!r} is not made of events; those of usage rate cards are")
