"""Rows of metered events, made by hand."""

from collections.abc import Sequence

from tallybook.storage.event_rows import EventColumns, encode_block

HOUR = 473_352  # of event time and of receipt: 2024-01-01, hours since 1970
MICROSECONDS = HOUR * 3_600_000_000


def block(positions: Sequence[int], *, events_each: int = 2, partition: int = 0, units: str = "1.5") -> bytes:
    """A block with `events_each` rows for each position."""
    columns = EventColumns()
    places = [(position, index) for position in positions for index in range(events_each)]
    count = len(places)
    columns.position = [position for position, _ in places]
    columns.index = [index for _, index in places]
    columns.organisation_id = ["org"] * count
    columns.event_id = [f"{position}-{index}" for position, index in places]
    columns.schema_name = ["rides"] * count
    columns.schema_version = [1] * count
    columns.account_reference = ["a1"] * count
    columns.account_id = ["a1"] * count
    columns.event_time = [MICROSECONDS] * count
    columns.received_at = [MICROSECONDS] * count
    columns.status = ["INGESTION_COMPLETED_EVENT_METERED"] * count
    columns.status_description = [None] * count
    columns.event = ["{}"] * count
    columns.meter_id = ["um.1"] * count
    columns.meter_version = [1] * count
    columns.units = [units] * count
    columns.meter_offset = list(range(count + 1))
    return encode_block([columns.table(partition=partition, metered_at=MICROSECONDS)])
