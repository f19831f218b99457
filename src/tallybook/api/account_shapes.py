"""Accounts and addresses on the wire (generation 2024-12), and the way from and to `core.account`."""

from datetime import datetime
from enum import Enum
from typing import Annotated

import msgspec

from tallybook.api.settings import EntitySettings
from tallybook.api.texts import AddressLine, Alias, Country, Currency, Email, EntityName, Id, LongAlias
from tallybook.core.account import (
    ALIAS_WINDOWS_MAX,
    EVER_FROM,
    EVER_UNTIL,
    Account,
    AccountAlias,
    AccountChanges,
    AccountStatus,
    AliasWindow,
    BillingInformation,
    aliases_on,
)
from tallybook.core.customer import Address
from tallybook.core.event import utc

ALIASES_PER_REQUEST_MAX = 10


class NewAccountStatus(Enum):
    """A draft becomes active when that is asked for, and gets no price plan before."""

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


class AccountAliasShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An alias with the time for which it names the account; the years 1 and 9999 are for ever."""

    id: str
    value: str
    effective_from: datetime
    effective_until: datetime
    created_at: datetime
    updated_at: datetime


class AccountAliasPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of the aliases of an account, by alias and time."""

    data: list[AccountAliasShape]
    next_token: str | None = None


class AddAliasesRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Aliases that name the account from when they are free, and aliases with dates."""

    aliases: Annotated[list[LongAlias], msgspec.Meta(max_length=ALIASES_PER_REQUEST_MAX)] | None = None
    account_aliases: Annotated[list[AliasWindowShape], msgspec.Meta(max_length=ALIASES_PER_REQUEST_MAX)] | None = None


class RemovedAliasShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alias of the account by its id; it names the account until `from`, or until now."""

    id: str
    at: datetime | None = msgspec.field(name="from", default=None)


class RemoveAliasesRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Aliases that name the account no more from now on, and aliases that do so until some time."""

    aliases: Annotated[list[Alias], msgspec.Meta(max_length=ALIASES_PER_REQUEST_MAX)] | None = None
    account_aliases: Annotated[list[RemovedAliasShape], msgspec.Meta(max_length=ALIASES_PER_REQUEST_MAX)] | None = None


class AliasShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An alias."""

    alias: str


class NewAccountShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new account. `aliases` name it for ever, `accountAliases` for a time."""

    id: Id
    name: EntityName
    invoice_currency: Currency | None = None
    aliases: Annotated[list[LongAlias], msgspec.Meta(max_length=ALIASES_PER_REQUEST_MAX)] | None = None
    account_aliases: Annotated[list[AliasWindowShape], msgspec.Meta(max_length=ALIAS_WINDOWS_MAX)] | None = None
    address: AddressShape | None = None
    primary_email: Email | None = None
    billing_information: BillingInformationShape | None = None
    settings: EntitySettings | None = None
    net_term_days: int | None = None
    metadata: dict[str, str] | None = None
    tags: list[str] | None = None
    status: NewAccountStatus = NewAccountStatus.ACTIVE


class CreateAccountRequest(NewAccountShape, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new account of a customer."""

    customer_id: Id


class UpdateAccountRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to change of an account; what is left out stays, and what is given is replaced as a whole."""

    name: EntityName | None = None
    status: NewAccountStatus | None = None
    invoice_currency: Currency | None = None
    net_term_days: int | None = None
    primary_email: Email | None = None
    billing_information: BillingInformationShape | None = None
    address: AddressShape | None = None
    metadata: dict[str, str] | None = None
    tags: list[str] | None = None


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
    return Account(
        account_id=shape.id,
        generated_id=generated_id,
        customer_id=customer_id,
        name=shape.name,
        currency=base_currency if shape.invoice_currency is None else shape.invoice_currency,
        status=AccountStatus(shape.status.value),
        aliases=windows_from(shape.aliases, shape.account_aliases),
        address=None if shape.address is None else address_from(shape.address),
        primary_email=shape.primary_email,
        billing_information=None if shape.billing_information is None else _information_from(shape.billing_information),
        net_term_days=shape.net_term_days,
        metadata=shape.metadata or {},
        tags=_tags_from(shape.tags or []),
    )


def account_changes_from(shape: UpdateAccountRequest) -> AccountChanges:
    """The changes that are asked for, not yet checked."""
    return AccountChanges(
        name=shape.name,
        status=None if shape.status is None else AccountStatus(shape.status.value),
        currency=shape.invoice_currency,
        address=None if shape.address is None else address_from(shape.address),
        primary_email=shape.primary_email,
        billing_information=None if shape.billing_information is None else _information_from(shape.billing_information),
        net_term_days=shape.net_term_days,
        metadata=shape.metadata,
        tags=None if shape.tags is None else _tags_from(shape.tags),
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


def windows_from(aliases: list[str] | None, windows: list[AliasWindowShape] | None) -> tuple[AliasWindow, ...]:
    """The windows of aliases without dates and of those with dates."""
    return (*(AliasWindow(alias=alias) for alias in aliases or []), *map(_alias_window, windows or []))


def account_alias_to(alias: AccountAlias) -> AccountAliasShape:
    """An alias of an account as the interface shows it."""
    return AccountAliasShape(
        id=alias.alias_id,
        value=alias.window.alias,
        effective_from=alias.window.effective_from,
        effective_until=alias.window.effective_until,
        created_at=alias.created_at,
        updated_at=alias.updated_at,
    )


def _information_from(shape: BillingInformationShape) -> BillingInformation:
    return BillingInformation(
        email_recipients=tuple(shape.email_recipients),
        additional_email_recipients=tuple(shape.additional_email_recipients),
    )


def _tags_from(tags: list[str]) -> tuple[str, ...]:
    return tuple(tag.lower() for tag in tags)


def _alias_window(shape: AliasWindowShape) -> AliasWindow:
    return AliasWindow(
        alias=shape.value,
        effective_from=EVER_FROM if shape.effective_from is None else utc(shape.effective_from),
        effective_until=EVER_UNTIL if shape.effective_until is None else utc(shape.effective_until),
    )
