"""What a wallet pays, and its entries."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tallybook.core.errors import Conflict, Invalid
from tallybook.core.invoice import InvoiceStatus
from tallybook.core.receivable import Receivable
from tallybook.core.wallet import (
    EntryType,
    Wallet,
    WalletChanges,
    WalletStatus,
    changed_wallet,
    check_top_up,
    netted,
    new_wallet,
    posted,
    wallet_id_for,
)

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def wallet(balance: str = "0") -> Wallet:
    new = new_wallet("org", "A", currency="USD", created_at=NOW)
    return msgspec.structs.replace(new, balance=Decimal(balance))


def due(invoice_id: str, total: str, day: int, *, paid: str = "0", status: str = "DUE") -> Receivable:
    return Receivable(
        invoice_id=invoice_id,
        owner_id="A",
        currency="USD",
        status=InvoiceStatus(status),
        total=Decimal(total),
        paid=Decimal(paid),
        due_date=date(2024, 5, day),
    )


def shares(balance: str, *receivables: Receivable) -> list[tuple[str, Any]]:
    return [(each.invoice_id, share) for each, share in netted(Decimal(balance), receivables)]


def test_a_wallet_of_300_leaves_150_of_450() -> None:
    """Contract 3.10 [D]: balance 300, invoice 450: the wallet gives 300, and 150 remain to be paid."""
    assert shares("300", due("inv.1", "450", 1)) == [("inv.1", 300)]


def test_what_is_not_needed_stays() -> None:
    """Contract 3.10 [S]: an invoice below the balance takes what it needs."""
    assert shares("500", due("inv.1", "450", 1)) == [("inv.1", 450)]


def test_the_earliest_due_is_paid_first() -> None:
    """100 for 60 due on the 2nd and 70 due on the 1st: 70 and 30; on one day, by id."""
    assert shares("100", due("inv.1", "60", 2), due("inv.2", "70", 1)) == [("inv.2", 70), ("inv.1", 30)]
    assert shares("100", due("inv.2", "70", 1), due("inv.1", "60", 1)) == [("inv.1", 60), ("inv.2", 40)]


def test_only_what_is_due_is_paid() -> None:
    """What is missing of a partial payment; nothing of what is given up, void, a draft, or owed to the account."""
    partly = due("inv.1", "60", 1, paid="20", status="PARTIALLY_PAID")
    others = [due("inv.2", "60", 1, status=status) for status in ("UN_COLLECTIBLE", "VOID", "DRAFT", "MERGED", "PAID")]
    assert shares("100", partly, *others) == [("inv.1", 40)]
    not_by_wallet = msgspec.structs.replace(due("inv.3", "10", 1), wallet_applies=False)
    member = msgspec.structs.replace(due("inv.4", "10", 1), merged_into="inv.5")
    assert shares("100", not_by_wallet, member) == []
    assert shares("0", partly) == []


def test_entries_say_the_balance_after_them() -> None:
    """10 and 5 are 15, less 15 are 0; more than there is cannot be taken."""

    def entry(found: Wallet, kind: EntryType, amount: str) -> Decimal:
        made = posted(found, kind, Decimal(amount), entry_id="e", entity_id=None, description="Test", now=NOW)
        return made.closing_balance

    assert entry(wallet("10"), EntryType.CREDITED, "5") == 15
    assert entry(wallet("15"), EntryType.DEBITED, "15") == 0
    with pytest.raises(AssertionError):
        entry(wallet("15"), EntryType.DEBITED, "15.01")


def test_a_wallet_pays_while_it_is_active_and_has_begun() -> None:
    """From its instant on, until it is switched off."""
    tomorrow = NOW + timedelta(days=1)
    later = changed_wallet(wallet(), WalletChanges(effective_from=tomorrow), now=NOW)
    assert (wallet().pays(NOW), later.pays(NOW), later.pays(tomorrow)) == (True, False, True)
    off = changed_wallet(later, WalletChanges(status=WalletStatus.INACTIVE), now=NOW)
    assert (off.pays(tomorrow), off.effective_from) == (False, tomorrow)


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "1e600"])
def test_nobody_tops_up_by_what_cannot_be_paid(amount: str) -> None:
    """Nothing, less, parts of a cent, or more than any number."""
    with pytest.raises(Invalid, match="topupAmount"):
        check_top_up(wallet(), Decimal(amount), None)


def test_an_inactive_wallet_is_not_topped_up() -> None:
    """Nor one with a key that is empty."""
    with pytest.raises(Conflict, match="the wallet is inactive"):
        check_top_up(msgspec.structs.replace(wallet(), status=WalletStatus.INACTIVE), Decimal(1), None)
    with pytest.raises(Invalid, match="idempotencyKey: must be 1 to 255"):
        check_top_up(wallet(), Decimal(1), "")


def test_wallets_have_ids_of_their_own() -> None:
    """The same for ever; another for another account or organisation."""
    assert wallet_id_for("org", "A") == wallet().wallet_id
    assert len({wallet_id_for("org", "A"), wallet_id_for("org", "B"), wallet_id_for("other", "A")}) == 3
    prefix, account, mark = wallet().wallet_id.split(".")
    assert (prefix, len(account), len(mark)) == ("wallet", 11, 5)
