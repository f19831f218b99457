"""Invoice groups: accounts whose invoices of a day are merged into one, which goes to the group's own address.

What a group must be like by itself is checked here; who is in it is up to the flow, because an account is in one group
at most.
"""

from collections.abc import Sequence

import msgspec

from tallybook.core.account import NET_TERM_DAYS_MAX, Account, AccountStatus, check_not_archived
from tallybook.core.customer import NAME_CHARACTERS_MAX, Address, check_address, check_email
from tallybook.core.errors import Conflict, Invalid

ACCOUNTS_MAX = 100  # the interface's limit, of a group and of a request
GROUP_ID_CHARACTERS_MAX = 512  # the interface's limit for what stands in a path


class InvoiceGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group of accounts with one currency. Unless it is consolidated daily, its invoices are not merged."""

    group_id: str
    name: str
    email: str
    address: Address
    currency: str
    daily_consolidation: bool
    net_term_days: int | None = None


def check_group(group: InvoiceGroup) -> None:
    """Refuse texts that are blank or too long, and endless terms. Raises `Invalid`, naming the field."""
    if not group.name.strip() or len(group.name) > NAME_CHARACTERS_MAX:
        raise Invalid(f"name: must be 1 to {NAME_CHARACTERS_MAX} characters, and not blank")
    check_email(group.email, "email")
    check_address(group.address, "address")
    if group.net_term_days is not None and not 0 <= group.net_term_days <= NET_TERM_DAYS_MAX:
        raise Invalid(f"netTermDays: must be 0 to {NET_TERM_DAYS_MAX}")


def check_account_ids(account_ids: Sequence[str]) -> None:
    """Refuse a list of accounts that is empty, too long, or names one twice. Raises `Invalid`."""
    if not 1 <= len(account_ids) <= ACCOUNTS_MAX:
        raise Invalid(f"accountIds: name 1 to {ACCOUNTS_MAX} accounts, found {len(account_ids)}")
    if len(set(account_ids)) != len(account_ids):
        raise Invalid("accountIds: the same account stands twice")


def check_may_join(account: Account, currency: str) -> None:
    """Refuse an account that cannot be invoiced with others in that currency. Raises `Conflict`."""
    check_not_archived(account)
    if account.status is AccountStatus.DRAFT:
        raise Conflict(
            f"account {account.account_id!r} is a draft; set its status to ACTIVE before it joins a group",
            code="ACCOUNT_NOT_ACTIVE",
        )
    if account.currency != currency:
        raise Conflict(
            f"account {account.account_id!r} is invoiced in {account.currency}, the group in {currency}; all accounts "
            "of a group have one currency",
            code="GROUP_CURRENCY",
        )


def check_room_in_group(count: int) -> None:
    """Refuse a group that would have that many accounts, if they are too many. Raises `Conflict`."""
    if count > ACCOUNTS_MAX:
        raise Conflict(f"a group has at most {ACCOUNTS_MAX} accounts; this would make {count}", code="LIMIT_REACHED")
