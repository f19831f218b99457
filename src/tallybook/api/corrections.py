"""The correction of events: `POST /events/correction` (generation 2024-12), for those who wait and as a job."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from tallybook.api.events import EventWithStatus, with_status
from tallybook.api.exact_json import ExactResponse
from tallybook.api.handling import Caller, Connected, Dependencies, writing
from tallybook.api.jobs import JobShape, job_shape
from tallybook.core.correction import CorrectionAction, CorrectionResult, EventPlace, place_of
from tallybook.core.errors import Invalid
from tallybook.core.event import Event, check_single, logged_parts, utc
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import microseconds_since_1970
from tallybook.flows.authenticate import now_utc
from tallybook.flows.correct import Corrected, CorrectionRequest, Corrections
from tallybook.flows.correct_in_jobs import CorrectionJob, correction_job
from tallybook.flows.new_ids import new_id
from tallybook.flows.run_jobs import start_job
from tallybook.flows.targets import TargetFilter

COMBINATIONS = (
    {"account_id"},
    {"account_id", "id"},
    {"account_id", "event_id"},
    {"account_id", "event_source_time"},
    {"account_id", "event_id", "created_at"},
    {"account_id", "event_id", "event_source_time"},
    # These are ours: what came before its account, schema or meter is found by its status and its schema.
    {"account_id", "status"},
    {"account_id", "schema_name"},
    {"account_id", "schema_name", "status"},
    {"schema_name"},
    {"schema_name", "status"},
)


class EventCorrectionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event to ingest in place of another; without filters, its account and id say which events are meant."""

    event: Event | None = None


class EventCorrectionInfo(EventWithStatus, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An event as it is after its correction, and what became of that."""

    status: CorrectionResult
    reason: str


class EventsCorrectionResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    data: Sequence[EventCorrectionInfo]


_Reference = Annotated[
    str | None, QueryParameter(name="id", description="The event's referenceId.", min_length=1, max_length=60)
]


@writing(
    "/events/correction",
    status=HTTPStatus.OK,
    operation_id="eventCorrection",
    summary="Undo events, ingest them again, or another in their place",
    tag="Event Management",
    also={202: ResponseSpec(data_container=JobShape, description="A job does it.", generate_examples=False)},
)
def correct_events(
    identity: Caller,
    dependencies: Connected,
    action: Annotated[CorrectionAction, QueryParameter(name="action")],
    data: JSONBody[EventCorrectionRequest | None] = None,
    account_id: Annotated[str | None, QueryParameter(name="account_id", min_length=1, max_length=512)] = None,
    reference_id: _Reference = None,
    event_id: Annotated[str | None, QueryParameter(name="event_id", min_length=1, max_length=512)] = None,
    event_source_time: Annotated[datetime | None, QueryParameter(name="event_source_time")] = None,
    created_at: Annotated[datetime | None, QueryParameter(name="created_at")] = None,
    status: Annotated[IngestionStatus | None, QueryParameter(name="status")] = None,
    schema_name: Annotated[str | None, QueryParameter(name="schema_name", min_length=1, max_length=50)] = None,
    is_job: Annotated[
        bool | None, QueryParameter(name="async", description="Answer 202 with a job that does it, for all that match.")
    ] = None,
    require_confirmation: Annotated[
        bool | None,
        QueryParameter(name="require_confirmation", description="As a job, which waits until it is confirmed."),
    ] = None,
) -> Response[EventsCorrectionResponse]:
    given = {
        "account_id": account_id,
        "id": reference_id,
        "event_id": event_id,
        "event_source_time": event_source_time,
        "created_at": created_at,
        "status": status,
        "schema_name": schema_name,
    }
    names = {name for name, value in given.items() if value is not None}
    event = data.event if data else None
    if names:
        _check_combination(names)
        wanted = TargetFilter(
            account_id=account_id,
            schema_name=schema_name,
            status=status,
            event_id=event_id,
            place=_place(reference_id),
            event_time=_instant(event_source_time),
            received_at=_instant(created_at),
        )
    else:
        wanted = _named_by(event, action)
    request = CorrectionRequest(
        action=action, wanted=wanted, event=_replacement(event, action, has_filters=bool(names))
    )
    if is_job or require_confirmation:
        return _start(dependencies, identity.organisation_id, request, asks=bool(require_confirmation))
    corrections = Corrections(dependencies.events, dependencies.database)
    done = corrections.correct(identity.organisation_id, request, correction_id=new_id("correction"))
    return ExactResponse(EventsCorrectionResponse(data=[_info(each) for each in done]))


def _check_combination(names: set[str]) -> None:
    if names not in COMBINATIONS:
        legal = " | ".join("+".join(sorted(each)) for each in COMBINATIONS)
        raise Invalid(
            f"the filters {', '.join(sorted(names))} cannot be given together; legal combinations: {legal}",
            code="FILTER_COMBINATION",
        )


def _named_by(event: Event | None, action: CorrectionAction) -> TargetFilter:
    """The events that a body names when no filter does; the account may be what REDO_EVENT corrects."""
    if event is None or event.id is None:
        raise Invalid("say which events: with filters such as account_id and event_id, or with the id of body's event")
    account_id = None if action is CorrectionAction.REDO_EVENT else event.account_id
    return TargetFilter(account_id=account_id, event_id=event.id)


def _replacement(event: Event | None, action: CorrectionAction, *, has_filters: bool) -> str | None:
    """The text of the event to ingest instead, checked as if it had been sent to be ingested."""
    if action is not CorrectionAction.REDO_EVENT:
        if event is not None and has_filters:
            raise Invalid(f"event: {action} takes none beside filters; REDO_EVENT does")
        return None
    if event is None:
        raise Invalid("event: REDO_EVENT needs the event to ingest instead")
    checked = check_single(msgspec.json.encode({"event": event}))
    if checked.rejections:
        raise Invalid(checked.rejections[0].message, code=checked.rejections[0].code)
    [part] = logged_parts(checked.body, checked.format)
    return str(part, "utf-8")


def _start(
    dependencies: Dependencies, organisation_id: str, request: CorrectionRequest, *, asks: bool
) -> Response[EventsCorrectionResponse]:
    through = dependencies.events.log.last_position()
    asked = CorrectionJob(correction=request, through=through, require_confirmation=asks)
    job = correction_job(organisation_id, asked, now=microseconds_since_1970(now_utc()))
    started = start_job(dependencies.database, job)
    return ExactResponse(job_shape(dependencies, started), status_code=HTTPStatus.ACCEPTED)


def _info(corrected: Corrected) -> EventCorrectionInfo:
    listed = with_status(corrected.row)
    return EventCorrectionInfo(
        reference_id=listed.reference_id,
        event_payload=listed.event_payload,
        ingestion_status=listed.ingestion_status,
        created_at=listed.created_at,
        status=corrected.result,
        reason=corrected.reason,
    )


def _place(reference_id: str | None) -> EventPlace | None:
    if reference_id is None:
        return None
    place = place_of(reference_id)
    if place is None:
        raise Invalid("id: the referenceId of an event, as in event.0.12.3")
    return place


def _instant(value: datetime | None) -> int | None:
    return None if value is None else microseconds_since_1970(utc(value))


ROUTES = (correct_events,)
