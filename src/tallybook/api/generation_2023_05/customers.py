"""Customers and accounts as generation 2023-05 has them."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated

import msgspec

from tallybook.api import account_shapes, accounts, customers
from tallybook.api.generation_2023_05.shape import Shape, fewer_fields
from tallybook.api.generations import Answer, Question
from tallybook.api.paging import PageContext
from tallybook.api.settings import EntitySettings
from tallybook.api.texts import Email, EntityName, Id
from tallybook.core.account import AccountStatus
from tallybook.core.customer import (
    ADDRESS_LINE_CHARACTERS_MAX,
    ADDRESS_TEXT_CHARACTERS_MAX,
    CustomerStatus,
)
from tallybook.core.errors import Invalid

_COMMA = ", "
_BillingAddress = Annotated[str, msgspec.Meta(max_length=ADDRESS_TEXT_CHARACTERS_MAX)]


class Customer(Shape, frozen=True, kw_only=True):
    """A customer, its address in one line."""

    id: str
    name: str
    primary_email: str
    billing_address: str
    status: CustomerStatus
    created_at: datetime
    updated_at: datetime


class CustomerPage(Shape, frozen=True, kw_only=True):
    """A page of customers."""

    data: Sequence[Customer]
    next_token: str | None = None
    context: PageContext | None = None


class AliasStatus(Enum):
    """Whether an alias names the account; those that are shown do."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class AccountAlias(Shape, frozen=True, kw_only=True, omit_defaults=False):
    """An alias."""

    alias: str
    status: AliasStatus = AliasStatus.ACTIVE


class KnownAccountStatus(Enum):
    """This generation knows no drafts: an account that is one is shown as active."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class Account(Shape, frozen=True, kw_only=True):
    """An account."""

    id: str
    name: str
    invoice_currency: str
    aliases: Sequence[AccountAlias]
    status: KnownAccountStatus


class AccountPage(Shape, frozen=True, kw_only=True):
    """A page of accounts."""

    data: Sequence[Account]
    next_token: str | None = None
    context: PageContext | None = None


class CreateCustomerResponse(Shape, frozen=True, kw_only=True):
    """The customer just made, and its first account."""

    id: str
    name: str
    primary_email: str
    billing_address: str
    account: Account


class CreateCustomerRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """A new customer, its address in one line, which is kept as the address's first lines."""

    id: Id
    name: EntityName
    primary_email: Email
    billing_address: _BillingAddress
    settings: EntitySettings | None = None
    account: account_shapes.NewAccountShape | None = None


class UpdateCustomerRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """What to change of a customer; what is left out stays."""

    name: EntityName | None = None
    primary_email: Email | None = None
    billing_address: _BillingAddress | None = None


def _account(found: account_shapes.AccountShape) -> Account:
    is_archived = found.status is AccountStatus.ARCHIVED
    return Account(
        id=found.id,
        name=found.name,
        invoice_currency=found.invoice_currency,
        aliases=[AccountAlias(alias=each.alias) for each in found.aliases],
        status=KnownAccountStatus.ARCHIVED if is_archived else KnownAccountStatus.ACTIVE,
    )


def _accounts(page: accounts.AccountPage) -> AccountPage:
    return AccountPage(data=[_account(each) for each in page.data], next_token=page.next_token, context=page.context)


def _created(found: customers.CreateCustomerResponse) -> CreateCustomerResponse:
    return CreateCustomerResponse(
        id=found.id,
        name=found.name,
        primary_email=found.primary_email,
        billing_address=found.billing_address,
        account=_account(found.account),
    )


def _creation(asked: CreateCustomerRequest) -> customers.CreateCustomerRequest:
    return customers.CreateCustomerRequest(
        id=asked.id,
        name=asked.name,
        primary_email=asked.primary_email,
        address=_address(asked.billing_address),
        settings=asked.settings,
        account=asked.account,
    )


def _change(asked: UpdateCustomerRequest) -> customers.UpdateCustomerRequest:
    return customers.UpdateCustomerRequest(
        name=asked.name,
        primary_email=asked.primary_email,
        address=None if asked.billing_address is None else _address(asked.billing_address),
    )


def _address(text: str) -> account_shapes.AddressShape:
    """The address of a text: its first two lines, broken where a comma stands, so that it reads the same again."""
    first = text
    if len(text) > ADDRESS_LINE_CHARACTERS_MAX:
        first = text[: text.rfind(_COMMA, 0, ADDRESS_LINE_CHARACTERS_MAX + 1)] if _COMMA in text else text
    second = text[len(first) + len(_COMMA) :]
    if max(len(first), len(second)) > ADDRESS_LINE_CHARACTERS_MAX:
        raise Invalid(
            f"billingAddress: at most two parts of {ADDRESS_LINE_CHARACTERS_MAX} characters, with a comma between"
        )
    return account_shapes.AddressShape(line1=first, line2=second or None)


ANSWERS = {
    customers.CustomerShape: fewer_fields(Customer),
    customers.CustomerPage: fewer_fields(CustomerPage),
    customers.CreateCustomerResponse: Answer(shape=CreateCustomerResponse, written=_created),
    account_shapes.AccountShape: Answer(shape=Account, written=_account),
    accounts.AccountPage: Answer(shape=AccountPage, written=_accounts),
}
QUESTIONS = {
    customers.CreateCustomerRequest: Question(shape=CreateCustomerRequest, meant=_creation),
    customers.UpdateCustomerRequest: Question(shape=UpdateCustomerRequest, meant=_change),
}
