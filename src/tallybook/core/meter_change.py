"""What may be changed in a usage meter: everything in a draft, nothing while it counts, and how it counts later on."""

from typing import assert_never

import msgspec
from msgspec import Struct

from tallybook.core.aggregation import Aggregation
from tallybook.core.errors import Conflict
from tallybook.core.usage_meter import Computation, MeterFilter, MeterStatus, UsageMeter


class MeterChanges(Struct, frozen=True, kw_only=True):
    """What a meter is to be from now on; None leaves a thing as it is, and an empty text takes it away."""

    name: str | None = None
    billable_name: str | None = None
    description: str | None = None
    schema_name: str | None = None
    aggregation: Aggregation | None = None
    filters: tuple[MeterFilter, ...] | None = None
    computations: tuple[Computation, ...] | None = None


def changed_meter(current: UsageMeter, changes: MeterChanges) -> UsageMeter:
    """The meter with the changes: the same version of a draft, else the next; `current` itself if nothing changes.

    Raises `Conflict`; whether the result may be saved is for `check_usage_meter` to say.
    """
    changed = _replaced(current, changes)
    match current.status:
        case MeterStatus.DRAFT:
            return changed
        case MeterStatus.INACTIVE:
            _check_meaning_stays(current, changed)
            return current if changed == current else msgspec.structs.replace(changed, version=current.version + 1)
        case MeterStatus.ACTIVE:
            raise Conflict("an active usage meter cannot be changed; deactivate it first", code="USAGE_METER_ACTIVE")
        case MeterStatus.ARCHIVED:
            raise Conflict("an archived usage meter cannot be changed", code="USAGE_METER_ARCHIVED")
        case _:
            assert_never(current.status)


def _replaced(current: UsageMeter, changes: MeterChanges) -> UsageMeter:
    given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not None}
    texts = ("billable_name", "description", "schema_name")
    cleared = {name: None for name in texts if given.get(name) == ""}
    return msgspec.structs.replace(current, **{**given, **cleared})


def _check_meaning_stays(current: UsageMeter, changed: UsageMeter) -> None:
    """Usage that is there was made from events of the one schema, in the one way."""
    if changed.aggregation is not current.aggregation:
        raise Conflict("aggregation: stays as it is once a meter was active; create another meter")
    if changed.schema_name != current.schema_name:
        raise Conflict("eventSchemaName: stays as it is once a meter was active; create another meter")
