"""Taking events back: what a correction subtracts, the rows that say so, and what its commit has to know.

A correction says of each event what its row says, so what it subtracts is what was added, to the last digit, whatever
the definitions have become.
"""

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec
from arro3.core import Table

from tallybook.core.correction import BODY_CORRECTION, Correction, EventPlace, Target, decode_correction
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Corrupt
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import EPOCH, MICROSECONDS_PER_HOUR
from tallybook.storage.event_rows import EventColumns
from tallybook.storage.interfaces import LoggedRecord
from tallybook.storage.reversals import Day, Reversal
from tallybook.storage.usage import CountPlace, UsagePlace

METERED = IngestionStatus.METERED.value
REVERTED = IngestionStatus.REVERTED.value


def correction_in(records: Sequence[LoggedRecord]) -> Correction | None:
    """The correction that these records are; None for records with events. Raises `Corrupt`."""
    record = records[0]
    if record.format != BODY_CORRECTION:
        return None
    try:
        correction = decode_correction(record.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"the log record at position {record.position} cannot be read: {error}") from error
    places = {target.place for target in correction.targets}
    replacements = len(correction.replacements)
    if len(places) != len(correction.targets) or replacements not in (0, len(places)):
        raise Corrupt(f"the correction at position {record.position} names an event twice, or not the right ones")
    return correction


def up_to_a_correction(records: Sequence[LoggedRecord]) -> Sequence[LoggedRecord]:
    """The first records, as many as are judged together: a correction is judged alone."""
    for number, record in enumerate(records):
        if record.format == BODY_CORRECTION:
            return records[: max(1, number)]
    return records


def not_refused(correction: Correction, refused: Collection[EventPlace]) -> list[Target]:
    """The events that are taken back."""
    return [target for target in correction.targets if target.place not in refused]


def subtract_usage(
    targets: Sequence[Target],
    organisation_id: str,
    *,
    usage: MutableMapping[UsagePlace, tuple[Decimal, int]],
    values: MutableMapping[tuple[UsagePlace, str], int],
) -> None:
    """Take away from usage, and from the values that some aggregations keep, what the events added."""
    for target in targets:
        if target.status != METERED:
            continue
        assert target.account_id is not None, "a metered event has an account"
        for meter in target.meters:
            if meter.units is None:
                continue
            hour = target.event_time // MICROSECONDS_PER_HOUR
            place = (organisation_id, target.account_id, meter.meter_id, hour)
            total, count = usage.get(place, (ZERO, 0))
            usage[place] = (EXACT.subtract(total, Decimal(meter.units)), count - 1)
            if meter.value is not None:
                values[place, meter.value] = values.get((place, meter.value), 0) - 1


def move_counts(targets: Sequence[Target], organisation_id: str, counts: MutableMapping[CountPlace, int]) -> None:
    """Count the events as reverted, and no longer by the status they had."""
    for target in targets:
        account = target.account_id or target.account_reference
        hours = (target.event_time // MICROSECONDS_PER_HOUR, target.received_at // MICROSECONDS_PER_HOUR)
        for status, change in ((target.status, -1), (REVERTED, 1)):
            place = (organisation_id, account, *hours, target.schema_name, status)
            counts[place] = counts.get(place, 0) + change


def reversal_rows(
    record: LoggedRecord, correction: Correction, targets: Sequence[Target], *, partition: int, metered_at: int
) -> Table:
    """A row for each event that is taken back: what its own row says, with an index below 0."""
    columns = EventColumns()
    for number, target in enumerate(targets, start=1):
        columns.position.append(record.position)
        columns.index.append(-number)
        columns.organisation_id.append(record.organisation_id)
        columns.event_id.append(target.event_id)
        columns.schema_name.append(target.schema_name)
        columns.schema_version.append(target.schema_version)
        columns.account_reference.append(target.account_reference)
        columns.account_id.append(target.account_id)
        columns.event_time.append(target.event_time)
        columns.received_at.append(target.received_at)
        columns.status.append(target.status)
        columns.status_description.append(f"taken back by {correction.action} of {correction.correction_id}")
        columns.event.append(target.event)
        columns.reverts_position.append(target.place.position)
        columns.reverts_index.append(target.place.event_index)
        columns.first_received_at.append(target.grace_received_at)
        _append_meters(columns, target)
    return columns.table(partition=partition, metered_at=metered_at)


def _append_meters(columns: EventColumns, target: Target) -> None:
    columns.value_offset = columns.value_offset or [0]
    for meter in target.meters:
        columns.meter_id.append(meter.meter_id)
        columns.meter_version.append(meter.meter_version)
        columns.units.append(meter.units)
        columns.meter_value.append(meter.value)
    columns.meter_offset.append(len(columns.meter_id))
    columns.value_offset.append(len(columns.meter_value))


def reversals(
    record: LoggedRecord,
    correction: Correction,
    *,
    keys: Mapping[int, bytes],
    key_of: Callable[[str], bytes],
    replacement_days: Mapping[int, Day],
) -> list[Reversal]:
    """What the commit has to know of each event that is to be taken back.

    `keys` are those of the events to ingest again, by index; `key_of` makes the key of an id; `replacement_days` say
    which usage the events ingested again add to.
    """
    replaced = bool(correction.replacements)
    return [
        Reversal(
            place=target.place,
            organisation_id=record.organisation_id,
            correction_id=correction.correction_id,
            action=correction.action,
            reverted_by=record.position,
            received_hour=record.received_at // MICROSECONDS_PER_HOUR,
            key=None if target.event_id is None else key_of(target.event_id),
            is_counted=target.status == METERED,
            replaced_by=index if replaced else None,
            replacement_key=keys.get(index),
            days=[day for day in (_day_of(target), replacement_days.get(index)) if day is not None],
        )
        for index, target in enumerate(correction.targets)
    ]


def day_of(account_id: str, event_time: int) -> Day:
    """The day on which an event of that time adds to usage."""
    return account_id, (EPOCH + timedelta(microseconds=event_time)).date()


def _day_of(target: Target) -> Day | None:
    if target.status != METERED or target.account_id is None:
        return None
    return day_of(target.account_id, target.event_time)
