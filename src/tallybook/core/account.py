"""What is metered and billed: accounts, with the aliases that events may name them by.

An account has exactly one currency, which never changes, and at most one price plan on any day.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import Enum
from itertools import accumulate

import msgspec

from tallybook.core.customer import Address, check_address, check_email, check_id, check_name, check_path_id
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.money import minor_unit_digits
from tallybook.core.pricing_schedule import PricingSchedule

ALIAS_CHARACTERS_MAX = 50
ALIASES_MAX = 10  # at any instant: an account shows no more than ten
ALIAS_WINDOWS_MAX = 1_000  # of one account, past ones included
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


ACCOUNT_TRANSITIONS: Mapping[AccountStatus, frozenset[AccountStatus]] = {
    AccountStatus.DRAFT: frozenset({AccountStatus.ACTIVE, AccountStatus.ARCHIVED}),
    AccountStatus.ACTIVE: frozenset({AccountStatus.ARCHIVED}),
    AccountStatus.ARCHIVED: frozenset(),
}


class AliasWindow(msgspec.Struct, frozen=True, kw_only=True):
    """From `effective_from` until before `effective_until`, events may name the account by `alias`."""

    alias: str
    effective_from: datetime = EVER_FROM
    effective_until: datetime = EVER_UNTIL


class AccountAlias(msgspec.Struct, frozen=True, kw_only=True):
    """A window of an alias as it is kept for an account: the id is ours, a UUID."""

    alias_id: str
    account_id: str
    window: AliasWindow
    created_at: datetime
    updated_at: datetime


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


class AccountChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of an account; None leaves it as it is, and everything else is replaced as a whole."""

    name: str | None = None
    status: AccountStatus | None = None
    currency: str | None = None
    address: Address | None = None
    primary_email: str | None = None
    billing_information: BillingInformation | None = None
    net_term_days: int | None = None
    metadata: Mapping[str, str] | None = None
    tags: tuple[str, ...] | None = None


def changed_account(account: Account, changes: AccountChanges) -> Account:
    """The account with these changes. Raises `Invalid` or `Conflict`, naming the field."""
    check_not_archived(account)
    if changes.status not in (None, account.status):
        check_account_transition(account, changes.status)
    if changes.currency not in (None, account.currency) and account.status is not AccountStatus.DRAFT:
        raise Conflict("invoiceCurrency: the currency of an account never changes, unless it is a draft")
    given = {field: value for field, value in msgspec.structs.asdict(changes).items() if value is not None}
    changed = msgspec.structs.replace(account, **given)
    check_account(changed)
    return changed


def check_account_transition(account: Account, wanted: AccountStatus) -> None:
    """Raise `Conflict` unless `ACCOUNT_TRANSITIONS` has a way to `wanted`."""
    if wanted not in ACCOUNT_TRANSITIONS[account.status]:
        raise Conflict(
            f"status: account {account.account_id!r} is {account.status.value} and cannot become {wanted.value}"
        )


def check_not_archived(account: Account) -> None:
    """Refuse to change an account that is archived. Raises `Conflict`."""
    if account.status is AccountStatus.ARCHIVED:
        raise Conflict(f"account {account.account_id!r} is archived, which is for good", code="ACCOUNT_ARCHIVED")


def check_billable(account: Account) -> None:
    """Refuse a price plan to an account that is not to be billed. Raises `Conflict`."""
    check_not_archived(account)
    if account.status is AccountStatus.DRAFT:
        raise Conflict(
            f"account {account.account_id!r} is a draft; set its status to ACTIVE before it gets a price plan",
            code="ACCOUNT_NOT_ACTIVE",
        )


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
    check_aliases(account.aliases)


def aliases_on(account: Account, instant: datetime) -> list[str]:
    """The aliases that name the account at that instant."""
    return [window.alias for window in account.aliases if window.effective_from <= instant < window.effective_until]


def since_free(window: AliasWindow, held: Collection[AliasWindow], *, now: datetime) -> AliasWindow:
    """The window, or if it has no start, what of it comes after the windows that are over by now.

    `held` are the windows in which the alias names an account already: so an alias that one account gave up can be
    given to the next without a date, and what it meant before stays.
    """
    if window.effective_from != EVER_FROM:
        return window
    ends = [each.effective_until for each in held if each.effective_until <= now]
    start = max((end for end in ends if end < window.effective_until), default=EVER_FROM)
    return msgspec.structs.replace(window, effective_from=start)


def cut_alias(window: AliasWindow, end: datetime) -> AliasWindow | None:
    """The window as it is when the alias names the account no more from `end` on; None if nothing is left of it."""
    if end <= window.effective_from:
        return None
    return msgspec.structs.replace(window, effective_until=min(end, window.effective_until))


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


def check_aliases(aliases: Collection[AliasWindow]) -> None:
    """Refuse an alias that nobody could use, and more of them than an account may have. Raises `Invalid`."""
    _check_count(aliases, ALIAS_WINDOWS_MAX, "aliases")
    for window in aliases:
        check_id(window.alias, f"aliases: {window.alias!r}")
        if window.effective_from >= window.effective_until:
            raise Invalid(f"aliases: {window.alias!r}: effectiveFrom must be before effectiveUntil")
    if _most_at_once(aliases) > ALIASES_MAX:
        raise Invalid(f"aliases: an account has at most {ALIASES_MAX} at any instant")


def _most_at_once(windows: Collection[AliasWindow]) -> int:
    """The largest number of windows that share an instant; one that ends as another begins does not share it."""
    begins = [(window.effective_from, 1) for window in windows]
    ends = [(window.effective_until, -1) for window in windows]
    return max(accumulate(step for _, step in sorted(begins + ends)), default=0)


def _check_count(values: Collection[object], count_max: int, where: str) -> None:
    if len(values) > count_max:
        raise Invalid(f"{where}: at most {count_max}, got {len(values)}")
