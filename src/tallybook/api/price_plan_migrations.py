"""The routes that move every account of a price plan to another: jobs, of which `/jobs` says how far they are."""

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import JSONBody

from tallybook.api.handling import Caller, Connected, Dependencies, Success, writing
from tallybook.core.credential import Identity
from tallybook.core.errors import Invalid
from tallybook.core.plan_migration import MigrationMode
from tallybook.flows.authenticate import now_utc
from tallybook.flows.migrate_in_jobs import MigrationJob, start_migration

_VERSION = msgspec.Meta(ge=1, le=2**31 - 1)
_PLAN_ID = msgspec.Meta(max_length=255)


class MigrationRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Whom to move, where to, and from when; without a target the plan is detached.

    Plans are the same through both doors, so `isPricePlanV2Migration` changes nothing.
    """

    source_id: Annotated[str, _PLAN_ID]
    source_version: Annotated[int, _VERSION]
    target_id: Annotated[str, _PLAN_ID] | None = None
    target_version: Annotated[int, _VERSION] | None = None
    migration_mode: MigrationMode
    retain_start_offsets: bool | None = None
    is_price_plan_v2_migration: bool | None = msgspec.field(default=None, name="isPricePlanV2Migration")
    require_confirmation: bool | None = None


@writing(
    "/price_plans/migration",
    status=HTTPStatus.CREATED,
    operation_id="pricePlanMigration",
    summary="Move the accounts of a price plan to another, as a job",
    tag="Price Plans",
)
def migrate(data: JSONBody[MigrationRequest], identity: Caller, dependencies: Connected) -> Success:
    return _started(data, identity, dependencies)


@writing(
    "/v2/price_plans/migration",
    status=HTTPStatus.CREATED,
    operation_id="pricePlanMigrationV2",
    summary="Move the accounts of a price plan to another, as a job",
    tag="PricePlanV2",
)
def migrate_v2(data: JSONBody[MigrationRequest], identity: Caller, dependencies: Connected) -> Success:
    return _started(data, identity, dependencies)


def _started(data: MigrationRequest, identity: Identity, dependencies: Dependencies) -> Success:
    if data.migration_mode is MigrationMode.NONE:
        raise Invalid("migrationMode: NONE moves nobody; choose another")
    request = MigrationJob(
        source_id=data.source_id,
        source_version=data.source_version,
        target_id=data.target_id,
        target_version=data.target_version,
        mode=data.migration_mode,
        retain_offsets=bool(data.retain_start_offsets),
        require_confirmation=bool(data.require_confirmation),
    )
    start_migration(dependencies.database, identity.organisation_id, request, now=now_utc())
    return Success()


ROUTES = (migrate, migrate_v2)
