"""`GET /reconciliation`: what became of every accepted event, by hour of receipt; our own addition to the interface."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar.params import QueryParameter

from tallybook.api.handling import Caller, Connected, reading
from tallybook.api.parameters import utc_instant
from tallybook.core.instant import HOUR, MICROSECONDS_PER_HOUR, hour_at, hours_since_1970, microseconds_since_1970
from tallybook.flows.authenticate import now_utc
from tallybook.flows.reconcile import Balance, Detail, Inquiry, Place, Reconciling

HOURS_DEFAULT = 24


class BalanceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Events: `accepted` = `metered` + `notMetered` + `failed` + `reverted` + `inProgress` + `unexplained`.

    `unexplained` is 0 unless stored data is damaged. `byStatus` has every status that occurs.
    """

    accepted: int
    metered: int
    not_metered: int
    failed: int
    reverted: int
    in_progress: int
    unexplained: int
    by_status: dict[str, int]


class ReconciledShape(BalanceShape, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The events received in the hour that begins at `receivedFrom`; of one account and schema, if asked for."""

    received_from: datetime
    account_id: str | None = None
    schema_name: str | None = None


class ReconciliationResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Everything received before `settledBefore` has its verdict.

    No sum before it changes any more; only a correction moves an event from its status to `reverted`.
    """

    start_time: datetime
    end_time: datetime
    settled_before: datetime
    total: BalanceShape
    data: list[ReconciledShape]


@reading(
    "/reconciliation",
    operation_id="getReconciliation",
    summary="Balance accepted events against what became of them, by hour of receipt",
    tag="Event Management",
)
def get_reconciliation(
    identity: Caller,
    dependencies: Connected,
    start_time: Annotated[
        datetime | None,
        QueryParameter(name="startTime", description="Events received then or later; normally 24 hours ago."),
    ] = None,
    end_time: Annotated[
        datetime | None, QueryParameter(name="endTime", description="Events received earlier; normally now.")
    ] = None,
    group_by: Annotated[
        Detail, QueryParameter(name="groupBy", description="What an hour is divided by.")
    ] = Detail.HOUR,
    account_id: Annotated[str | None, QueryParameter(name="account_id", max_length=512)] = None,
    schema_name: Annotated[str | None, QueryParameter(name="schema_name", max_length=50)] = None,
) -> ReconciliationResponse:
    end = now_utc() if end_time is None else utc_instant(end_time, "endTime")
    start = end - HOURS_DEFAULT * HOUR if start_time is None else utc_instant(start_time, "startTime")
    inquiry = Inquiry(
        start_hour=hours_since_1970(start),
        end_hour=-(-microseconds_since_1970(end) // MICROSECONDS_PER_HOUR),
        detail=group_by,
        account_id=account_id,
        schema_name=schema_name,
    )
    found = Reconciling(dependencies.database, dependencies.events).answer(identity.organisation_id, inquiry)
    return ReconciliationResponse(
        start_time=hour_at(inquiry.start_hour),
        end_time=hour_at(inquiry.end_hour),
        settled_before=found.settled_before,
        total=_balance(found.total),
        data=[_line(place, balance) for place, balance in found.lines],
    )


def _balance(balance: Balance) -> BalanceShape:
    return BalanceShape(
        accepted=balance.accepted,
        metered=balance.metered,
        not_metered=balance.not_metered,
        failed=balance.failed,
        reverted=balance.reverted,
        in_progress=balance.in_progress,
        unexplained=balance.unexplained,
        by_status=dict(sorted(balance.by_status.items())),
    )


def _line(place: Place, balance: Balance) -> ReconciledShape:
    return ReconciledShape(
        received_from=hour_at(place.received_hour),
        account_id=place.account_id or None,
        schema_name=place.schema_name or None,
        **msgspec.structs.asdict(_balance(balance)),
    )


ROUTES = (get_reconciliation,)
