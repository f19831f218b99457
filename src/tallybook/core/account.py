"""What is metered and billed: accounts, with the aliases that events may name them by.

An account has exactly one currency, which never changes, and at most one price plan on any day.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import Enum

import msgspec

from tallybook.core.customer import Address, check_address, check_email, check_id, check_name, check_path_id
from tallybook.core.errors import Invalid
from tallybook.core.money import minor_unit_digits
from tallybook.core.price_plan import PricingSchedule

ALIAS_CHARACTERS_MAX = 50
ALIASES_MAX = 10  # an account shows no more than ten
RECIPIENTS_MAX = 50
TAGS_MAX = 50
TAG_CHARACTERS_MAX = 50
METADATA_ENTRIES_MAX = 50
METADATA_CHARACTERS_MAX = 500
NET_TERM_DAYS_MAX = 3650  # ten years

EVER_FROM = datetime(1, 1, 1, tzinfo=UTC)
EVER_UNTIL = datetime(9999, 12, 31, tzinfo=UTC)  # events are refused from the year 9999 on


class AccountStatus(Enum):
    """DRAFT is not billed yet, ARCHIVED no more."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class AliasWindow(msgspec.Struct, frozen=True, kw_only=True):
    """From `effective_from` until before `effective_until`, events may name the account by `alias`."""

    alias: str
    effective_from: datetime = EVER_FROM
    effective_until: datetime = EVER_UNTIL


class BillingInformation(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets the invoice by e-mail, and who a copy."""

    email_recipients: tuple[str, ...] = ()
    additional_email_recipients: tuple[str, ...] = ()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account of a customer. `account_id` is the caller's choice; `schedules` are in the order of their dates."""

    account_id: str
    generated_id: str
    customer_id: str
    name: str
    currency: str
    status: AccountStatus
    aliases: tuple[AliasWindow, ...] = ()
    schedules: tuple[PricingSchedule, ...] = ()
    address: Address | None = None
    primary_email: str | None = None
    billing_information: BillingInformation | None = None
    net_term_days: int | None = None
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()


def check_account(account: Account) -> None:
    """Refuse what could not be stored or billed. Raises `Invalid`, naming the field."""
    check_path_id(account.account_id, "id")
    check_name(account.name, "name")
    minor_unit_digits(account.currency)
    if account.address is not None:
        check_address(account.address, "address")
    if account.primary_email is not None:
        check_email(account.primary_email, "primaryEmail")
    if account.billing_information is not None:
        _check_recipients(account.billing_information)
    if account.net_term_days is not None and not 0 <= account.net_term_days <= NET_TERM_DAYS_MAX:
        raise Invalid(f"netTermDays: must be 0 to {NET_TERM_DAYS_MAX}")
    _check_metadata(account.metadata)
    _check_tags(account.tags)
    _check_aliases(account.aliases)


def aliases_on(account: Account, instant: datetime) -> list[str]:
    """The aliases that name the account at that instant."""
    return [window.alias for window in account.aliases if window.effective_from <= instant < window.effective_until]


def _check_recipients(information: BillingInformation) -> None:
    for field, addresses in (
        ("emailRecipients", information.email_recipients),
        ("additionalEmailRecipients", information.additional_email_recipients),
    ):
        _check_count(addresses, RECIPIENTS_MAX, f"billingInformation.{field}")
        for index, address in enumerate(addresses):
            check_email(address, f"billingInformation.{field}[{index}]")


def _check_metadata(metadata: Mapping[str, str]) -> None:
    _check_count(metadata, METADATA_ENTRIES_MAX, "metadata")
    for key, value in metadata.items():
        if max(len(key), len(value)) > METADATA_CHARACTERS_MAX:
            raise Invalid(f"metadata: keys and values have at most {METADATA_CHARACTERS_MAX} characters")


def _check_tags(tags: Collection[str]) -> None:
    _check_count(tags, TAGS_MAX, "tags")
    if len(set(tags)) != len(tags):
        raise Invalid("tags: the same tag stands twice (tags are kept in lower case)")
    for index, tag in enumerate(tags):
        if not 1 <= len(tag) <= TAG_CHARACTERS_MAX:
            raise Invalid(f"tags[{index}]: must be 1 to {TAG_CHARACTERS_MAX} characters")


def _check_aliases(aliases: Collection[AliasWindow]) -> None:
    _check_count(aliases, ALIASES_MAX, "aliases")
    for window in aliases:
        check_id(window.alias, f"aliases: {window.alias!r}")
        if window.effective_from >= window.effective_until:
            raise Invalid(f"aliases: {window.alias!r}: effectiveFrom must be before effectiveUntil")


def _check_count(values: Collection[object], count_max: int, where: str) -> None:
    if len(values) > count_max:
        raise Invalid(f"{where}: at most {count_max}, got {len(values)}")
