"""Licences on the wire (generation 2024-12): the updates of what accounts hold."""

from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import Caller, Connected, NextToken, changing, reading, writing
from tallybook.api.paging import table_listing
from tallybook.api.rate_card_shapes import json_number
from tallybook.core.event import utc
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.flows import update_licences
from tallybook.flows.authenticate import now_utc
from tallybook.storage import licences
from tallybook.storage.licences import LicenceEntry

TAG = "Licenses"
UPDATES_PER_PAGE_MAX = 50  # the interface's limit
LISTING = table_listing("license_updates", licences.LISTED, size_default=UPDATES_PER_PAGE_MAX)

_Size = Annotated[
    int | None,
    QueryParameter(name="pageSize", description="Items on a page, normally 50.", ge=1, le=UPDATES_PER_PAGE_MAX),
]


class LicenceUpdateRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Set what an account holds of a licence, or add to it; without `effectiveFrom`, from now on."""

    license_id: Annotated[str, msgspec.Meta(max_length=50)]
    account_id: Annotated[str, msgspec.Meta(max_length=50)]
    update_type: LicenceUpdateType
    quantity: Decimal
    effective_from: datetime | None = None
    idempotency_key: str | None = None
    metadata: dict[str, str] = {}


class LicenceDetailsRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """New metadata for the update that takes effect then."""

    account_id: Annotated[str, msgspec.Meta(max_length=50)]
    effective_from: datetime
    metadata: dict[str, str]


class LicenceUpdateShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An update; `quantity` is what the account holds after it."""

    license_id: str
    account_id: str
    quantity: Decimal
    effective_from: datetime
    metadata: dict[str, str] = {}
    created_at: datetime


class LicenceUpdatePage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of updates, those that take effect last first."""

    data: list[LicenceUpdateShape]
    next_token: str | None = None


@writing(
    "/license_updates",
    status=HTTPStatus.OK,
    operation_id="addLicenseUpdateEntry",
    summary="Change how many licences an account holds",
    tag=TAG,
)
def add_licence_update(
    data: JSONBody[LicenceUpdateRequest], identity: Caller, dependencies: Connected
) -> LicenceUpdateShape:
    now = now_utc()
    update = LicenceUpdate(
        add_on_id=data.license_id,
        account_id=data.account_id,
        update_type=data.update_type,
        quantity=data.quantity,
        effective_from=now if data.effective_from is None else utc(data.effective_from),
        idempotency_key=data.idempotency_key,
        metadata=data.metadata,
        created_at=now,
    )
    return _to_shape(update_licences.update_licence(dependencies.database, identity.organisation_id, update))


@changing(
    "/license_updates/{license_id:str}",
    operation_id="updateLicenseEntryDetails",
    summary="Replace the metadata of a licence update",
    tag=TAG,
)
def update_licence_details(
    license_id: FromPath[str],
    data: JSONBody[LicenceDetailsRequest],
    identity: Caller,
    dependencies: Connected,
    named: Annotated[
        str | None,
        QueryParameter(name="licenseId", description="The licence, if the path does not name it.", max_length=50),
    ] = None,
) -> LicenceUpdateShape:
    # The interface declares the id as a parameter of the query, so its clients leave `{license_id}` in the path.
    entry = update_licences.edit_metadata(
        dependencies.database,
        identity.organisation_id,
        data.account_id,
        license_id if named is None else named,
        utc(data.effective_from),
        data.metadata,
    )
    return _to_shape(entry)


@reading("/license_updates", operation_id="getLicenseUpdates", summary="List licence updates", tag=TAG)
def list_licence_updates(
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: _Size = None,
    account_id: Annotated[str | None, QueryParameter(name="account_id")] = None,
    license_id: Annotated[str | None, QueryParameter(name="licenseId")] = None,
    effective_from: Annotated[
        datetime | None, QueryParameter(name="effectiveFrom", description="Those that take effect at that instant.")
    ] = None,
) -> LicenceUpdatePage:
    page = LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={
            "account_id": account_id,
            "licenseId": license_id,
            "effectiveFrom": None if effective_from is None else licences.as_filter(utc(effective_from)),
        },
    )
    with dependencies.database.read() as connection:
        found = licences.list_updates(connection, identity.organisation_id, page)
    return LicenceUpdatePage(
        data=[_to_shape(entry) for entry in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


def _to_shape(entry: LicenceEntry) -> LicenceUpdateShape:
    return LicenceUpdateShape(
        license_id=entry.update.add_on_id,
        account_id=entry.update.account_id,
        quantity=json_number(entry.held),
        effective_from=entry.update.effective_from,
        metadata=dict(entry.update.metadata),
        created_at=entry.update.created_at,
    )


ROUTES = (add_licence_update, update_licence_details, list_licence_updates)
