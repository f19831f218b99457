"""Accounts: which states follow which, and what happens to the windows of their aliases."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallybook.core.account import (
    EVER_FROM,
    EVER_UNTIL,
    Account,
    AccountChanges,
    AccountStatus,
    AliasWindow,
    changed_account,
    check_account_transition,
    check_aliases,
    cut_alias,
    since_free,
)
from tallybook.core.errors import Conflict, Invalid

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def account(status: AccountStatus = AccountStatus.ACTIVE) -> Account:
    return Account(
        account_id="a1", generated_id="account.a1", customer_id="c1", name="Account", currency="USD", status=status
    )


def window(start: int | None, end: int | None, alias: str = "alias") -> AliasWindow:
    """From `start` to `end`, in days from now; None is for ever."""
    return AliasWindow(
        alias=alias,
        effective_from=EVER_FROM if start is None else NOW + timedelta(days=start),
        effective_until=EVER_UNTIL if end is None else NOW + timedelta(days=end),
    )


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        (AccountStatus.DRAFT, AccountStatus.ACTIVE),
        (AccountStatus.DRAFT, AccountStatus.ARCHIVED),
        (AccountStatus.ACTIVE, AccountStatus.ARCHIVED),
    ],
)
def test_accounts_only_go_forward(current: AccountStatus, wanted: AccountStatus) -> None:
    """From draft to active to archived, and never back."""
    check_account_transition(account(current), wanted)
    with pytest.raises(Conflict):
        check_account_transition(account(wanted), current)


def test_changes_leave_the_rest() -> None:
    """Nothing is changed that is not named."""
    changed = changed_account(account(), AccountChanges(tags=("x",), net_term_days=0))
    assert changed == msgspec.structs.replace(account(), tags=("x",), net_term_days=0)


@pytest.mark.parametrize(
    ("asked", "held", "start"),
    [
        (window(None, None), [], None),
        (window(None, None), [window(None, -5)], -5),
        (window(None, None), [window(None, -9), window(-8, -3)], -3),
        (window(None, None), [window(None, None)], None),
        (window(None, None), [window(None, 3)], None),
        (window(None, 10), [window(None, -5)], -5),
        (window(None, -5), [window(None, -5)], None),
        (window(None, -7), [window(None, -9), window(-8, -3)], -9),
        (window(-20, None), [window(None, -5)], -20),
    ],
)
def test_alias_without_a_start_begins_where_it_is_free(
    asked: AliasWindow, held: list[AliasWindow], start: int | None
) -> None:
    """Windows that are over push the start; those in force do not, so that they are still in the way."""
    expected = msgspec.structs.replace(asked, effective_from=window(start, None).effective_from)
    assert since_free(asked, held, now=NOW) == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (-11, None),
        (-10, None),
        (-9, window(-10, -9)),
        (0, window(-10, 0)),
        (10, window(-10, 10)),
        (11, window(-10, 10)),
    ],
)
def test_alias_is_cut(end: int, expected: AliasWindow | None) -> None:
    """Nothing is left of it before its start, and an end behind its own changes nothing."""
    assert cut_alias(window(-10, 10), NOW + timedelta(days=end)) == expected


@given(st.lists(st.tuples(st.integers(-30, 30), st.integers(1, 30)), max_size=25))
def test_ten_aliases_at_any_instant(spans: list[tuple[int, int]]) -> None:
    """Refused exactly when on some day more than ten windows are in force; counted day by day."""
    windows = [window(start, start + length, f"alias-{n}") for n, (start, length) in enumerate(spans)]
    most = max((sum(start <= day < start + length for start, length in spans) for day in range(-30, 60)), default=0)
    if most > 10:
        with pytest.raises(Invalid, match="at most 10 at any instant"):
            check_aliases(windows)
    else:
        check_aliases(windows)
