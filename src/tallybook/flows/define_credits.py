"""Granting credits to accounts and voiding them, each request in one transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account, check_not_archived
from tallybook.core.credit import (
    CREDIT_ID_PREFIX,
    SPECIAL_ENTITY_IDS,
    Credit,
    CreditTerms,
    HeldCredit,
    check_idempotency_key,
    check_terms,
    check_voidable,
)
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.flows.define import check_room
from tallybook.flows.new_ids import new_id
from tallybook.storage import accounts, add_ons, credits, schemas
from tallybook.storage.database import Database

ACTIVE_CREDITS_MAX = 1_000  # of an account; they are all read, and kept with the invoice, whenever it is billed
REQUESTS_MAX = 100  # in one body; the interface names none


class CreditRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A credit that is asked for."""

    account_id: str
    terms: CreditTerms
    idempotency_key: str | None = None


def grant_credits(
    database: Database, organisation_id: str, requests: Sequence[CreditRequest], *, now: datetime
) -> list[HeldCredit]:
    """Grant all of them or none; one whose idempotency key was sent before is not granted again.

    Raises `Invalid` or `Conflict`.
    """
    if not 1 <= len(requests) <= REQUESTS_MAX:
        raise Invalid(f"creditRequests: 1 to {REQUESTS_MAX} credits, got {len(requests)}")
    for index, request in enumerate(requests):
        _check_request(request, f"creditRequests[{index}]")
    with database.write() as connection:
        return [
            _granted(connection, organisation_id, request, f"creditRequests[{index}]", now)
            for index, request in enumerate(requests)
        ]


def void_credit(database: Database, organisation_id: str, credit_id: str, *, now: datetime) -> HeldCredit:
    """Take away what is left of the credit, for good; done again, it does nothing. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        held = found_credit(connection, organisation_id, credit_id)
        check_voidable(held, on=now.date())
        return credits.void(connection, organisation_id, held, at=now)


def found_credit(connection: Connection, organisation_id: str, credit_id: str) -> HeldCredit:
    """The credit with that id. Raises `NotFound`."""
    held = credits.credit(connection, organisation_id, credit_id)
    if held is None:
        raise NotFound(f"no credit {credit_id!r}")
    return held


def check_entities_known(connection: Connection, organisation_id: str, entity_ids: Collection[str], where: str) -> None:
    """Refuse ids that name no usage meter and no add-on, for such a credit would never be used. Raises `Invalid`."""
    single = sorted(set(entity_ids).difference(SPECIAL_ENTITY_IDS))
    if not single:
        return
    known = {
        *schemas.meters_with_ids(connection, organisation_id, single),
        *add_ons.add_ons_with_ids(connection, organisation_id, single),
    }
    for entity_id in single:
        if entity_id not in known:
            raise Invalid(f"{where}: no usage meter or add-on {entity_id!r}", code="UNKNOWN_ENTITY")


def _check_request(request: CreditRequest, where: str) -> None:
    check_terms(request.terms, where)
    if request.idempotency_key is not None:
        check_idempotency_key(request.idempotency_key, where)


def _granted(
    connection: Connection, organisation_id: str, request: CreditRequest, where: str, now: datetime
) -> HeldCredit:
    repeated = _repeated(connection, organisation_id, request, where)
    if repeated is not None:
        return repeated
    account = _account_of(connection, organisation_id, request, where)
    check_entities_known(
        connection, organisation_id, request.terms.applicable_entity_ids, f"{where}.applicableEntityIds"
    )
    count = credits.count_active(connection, organisation_id, account.account_id)
    check_room(count, ACTIVE_CREDITS_MAX, f"active credits of account {account.account_id!r}")
    new = Credit(
        credit_id=new_id(CREDIT_ID_PREFIX),
        account_id=account.account_id,
        customer_id=account.customer_id,
        currency=account.currency,
        terms=request.terms,
        idempotency_key=request.idempotency_key,
        created_at=now,
    )
    credits.grant(connection, organisation_id, new)
    return found_credit(connection, organisation_id, new.credit_id)


def _account_of(connection: Connection, organisation_id: str, request: CreditRequest, where: str) -> Account:
    account = accounts.account(connection, organisation_id, request.account_id)
    if account is None:
        raise Invalid(f"{where}.accountId: no account {request.account_id!r}", code="UNKNOWN_ACCOUNT")
    check_not_archived(account)
    return account


def _repeated(connection: Connection, organisation_id: str, request: CreditRequest, where: str) -> HeldCredit | None:
    if request.idempotency_key is None:
        return None
    before = credits.credit_with_key(connection, organisation_id, request.idempotency_key)
    if before is None:
        return None
    if (before.credit.account_id, before.credit.terms) != (request.account_id, request.terms):
        raise Conflict(
            f"{where}.idempotencyKey: {request.idempotency_key!r} was sent with another credit", code="ALREADY_EXISTS"
        )
    return before
