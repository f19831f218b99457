"""What became of an accepted event: the interface's statuses, and the groups they are counted in."""

from enum import StrEnum


class IngestionStatus(StrEnum):
    """The verdict on one accepted event. Every accepted event has exactly one; only a correction changes it."""

    IN_PROGRESS = "INGESTION_IN_PROGRESS"
    METERED = "INGESTION_COMPLETED_EVENT_METERED"
    NOT_METERED = "INGESTION_COMPLETED_EVENT_NOT_METERED"
    NO_MATCHING_METERS = "INGESTION_COMPLETED_NO_MATCHING_METERS"
    FAILED = "INGESTION_FAILED"
    SCHEMA_NOT_DEFINED = "INGESTION_FAILED_SCHEMA_NOT_DEFINED"
    ENRICHMENT_FAILED = "INGESTION_FAILED_ENRICHMENT_FAILED"
    UNITS_INVALID = "INGESTION_FAILED_UNITS_INVALID"
    PAST_GRACE_PERIOD = "INGESTION_FAILED_PAST_GRACE_PERIOD"
    ACCOUNT_NOT_FOUND = "INGESTION_FAILED_ACCOUNT_NOT_FOUND"
    DUPLICATE = "INGESTION_FAILED_DUPLICATE_EVENT"
    NO_EVENT_ID = "INGESTION_FAILED_NO_EVENT_ID"
    REVERTED = "REVERTED"


class EventStatusGroup(StrEnum):
    """How the metrics query groups the statuses."""

    PROCESSED = "PROCESSED"
    UNPROCESSED = "UNPROCESSED"
    IN_PROGRESS = "IN_PROGRESS"
    REVERTED = "REVERTED"


def group_of(status: IngestionStatus) -> EventStatusGroup:
    """The group a status is counted in."""
    if status is IngestionStatus.IN_PROGRESS:
        return EventStatusGroup.IN_PROGRESS
    if status is IngestionStatus.REVERTED:
        return EventStatusGroup.REVERTED
    if status.startswith("INGESTION_COMPLETED"):
        return EventStatusGroup.PROCESSED
    return EventStatusGroup.UNPROCESSED
