"""Accounts and addresses on the wire (generation 2024-12), and the way from and to `core.account`."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import msgspec

from tallybook.api.exact_json import UNSUPPORTED_CODE, refuse_unsupported
from tallybook.api.texts import AddressLine, Alias, Country, Currency, Email, EntityName, Id
from tallybook.core.account import (
    EVER_FROM,
    EVER_UNTIL,
    Account,
    AccountStatus,
    AliasWindow,
    BillingInformation,
    aliases_on,
)
from tallybook.core.customer import Address
from tallybook.core.errors import Invalid
from tallybook.core.event import utc

ALIAS_CHARACTERS_MIN = 3  # of an alias without dates; one with dates may have a single character


class NewAccountStatus(Enum):
    """ACTIVE; DRAFT is not supported."""

    ACTIVE = "ACTIVE"
    DRAFT = "DRAFT"


class AddressShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """Where bills go; `country` is an ISO 3166-1 alpha-2 code."""

    phone_number: AddressLine | None = None
    line1: AddressLine | None = None
    line2: AddressLine | None = None
    postal_code: AddressLine | None = None
    city: AddressLine | None = None
    state: AddressLine | None = None
    country: Country | None = None


class BillingInformationShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Who gets the invoice by e-mail, and who a copy."""

    email_recipients: list[str] = []
    additional_email_recipients: list[str] = []


class AliasWindowShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An alias with the time for which it names the account; a missing end is for ever."""

    value: Alias
    effective_from: datetime | None = None
    effective_until: datetime | None = None


class AliasShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An alias."""

    alias: str


class NewAccountShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new account. `aliases` name it for ever, `accountAliases` for a time."""

    id: Id
    name: EntityName
    invoice_currency: Currency | None = None
    aliases: list[Alias] | None = None
    account_aliases: list[AliasWindowShape] | None = None
    address: AddressShape | None = None
    primary_email: Email | None = None
    billing_information: BillingInformationShape | None = None
    settings: Annotated[list[Any] | None, msgspec.Meta(description="Not supported.")] = None
    net_term_days: int | None = None
    metadata: dict[str, str] | None = None
    tags: list[str] | None = None
    status: NewAccountStatus = NewAccountStatus.ACTIVE


class CreateAccountRequest(NewAccountShape, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new account of a customer."""

    customer_id: Id


class AccountShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An account, as read, with the aliases that name it at the time asked for."""

    id: str
    togai_account_id: str
    togai_customer_id: str
    name: str
    customer_id: str
    invoice_currency: str
    aliases: list[AliasShape]
    net_term_days: int | None = None
    address: AddressShape | None = None
    primary_email: str | None = None
    billing_information: BillingInformationShape | None = None
    status: AccountStatus
    metadata: dict[str, str]
    tags: list[str]


def account_from(shape: NewAccountShape, *, customer_id: str, generated_id: str, base_currency: str) -> Account:
    """The account that is asked for, not yet checked by `check_account`. Raises `Invalid`, naming the field."""
    refuse_unsupported(shape, "settings")
    if shape.status is not NewAccountStatus.ACTIVE:
        raise Invalid("status: DRAFT accounts are not supported; leave it out", code=UNSUPPORTED_CODE)
    information = shape.billing_information
    return Account(
        account_id=shape.id,
        generated_id=generated_id,
        customer_id=customer_id,
        name=shape.name,
        currency=base_currency if shape.invoice_currency is None else shape.invoice_currency,
        status=AccountStatus.ACTIVE,
        aliases=(*_aliases_for_ever(shape.aliases or []), *map(_alias_window, shape.account_aliases or [])),
        address=None if shape.address is None else address_from(shape.address),
        primary_email=shape.primary_email,
        billing_information=None
        if information is None
        else BillingInformation(
            email_recipients=tuple(information.email_recipients),
            additional_email_recipients=tuple(information.additional_email_recipients),
        ),
        net_term_days=shape.net_term_days,
        metadata=shape.metadata or {},
        tags=tuple(tag.lower() for tag in shape.tags or []),
    )


def account_to(account: Account, *, togai_customer_id: str, on: datetime) -> AccountShape:
    """The account as the interface shows it, with the aliases of the instant `on`."""
    information = account.billing_information
    return AccountShape(
        id=account.account_id,
        togai_account_id=account.generated_id,
        togai_customer_id=togai_customer_id,
        name=account.name,
        customer_id=account.customer_id,
        invoice_currency=account.currency,
        aliases=[AliasShape(alias=alias) for alias in aliases_on(account, on)],
        net_term_days=account.net_term_days,
        address=None if account.address is None else address_to(account.address),
        primary_email=account.primary_email,
        billing_information=None
        if information is None
        else BillingInformationShape(
            email_recipients=list(information.email_recipients),
            additional_email_recipients=list(information.additional_email_recipients),
        ),
        status=account.status,
        metadata=dict(account.metadata),
        tags=list(account.tags),
    )


def address_from(shape: AddressShape) -> Address:
    """The address that is asked for."""
    return Address(**msgspec.structs.asdict(shape))


def address_to(address: Address) -> AddressShape:
    """The address as the interface shows it."""
    return AddressShape(**msgspec.structs.asdict(address))


def _aliases_for_ever(aliases: list[str]) -> list[AliasWindow]:
    for index, alias in enumerate(aliases):
        if len(alias) < ALIAS_CHARACTERS_MIN:
            raise Invalid(f"aliases[{index}]: must have at least {ALIAS_CHARACTERS_MIN} characters")
    return [AliasWindow(alias=alias) for alias in aliases]


def _alias_window(shape: AliasWindowShape) -> AliasWindow:
    return AliasWindow(
        alias=shape.value,
        effective_from=EVER_FROM if shape.effective_from is None else utc(shape.effective_from),
        effective_until=EVER_UNTIL if shape.effective_until is None else utc(shape.effective_until),
    )
