"""Credits as stored: what was granted, and the entries of its account. Both change in one transaction of the caller's.

For each credit, the entries that are CREDITED less those that are DEBITED or VOIDED are what is left of it.
Expiry is not written down: it is a matter of the day on which one asks.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Text,
    and_,
    cast,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from tallybook.core.credit import (
    Credit,
    CreditEntry,
    CreditEntryType,
    CreditStatus,
    CreditUse,
    HeldCredit,
    UsableCredit,
)
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.storage import tables
from tallybook.storage.definition_rows import definition_text, in_pieces, read_definition, written_at
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, equals

_CREDIT = tables.credit
_ENTRY = tables.credit_entry
_NO_INVOICE = ""


def _has_status(status: str) -> ColumnElement[bool]:
    """The condition that a credit has the status today, by UTC."""
    column = _CREDIT.c
    today = cast(func.current_date(), Text)
    is_over = and_(column.effective_until.is_not(None), column.effective_until <= today)
    kept, consumed = column.voided_at.is_(None), column.consumed == column.amount
    match CreditStatus(status):
        case CreditStatus.VOIDED:
            return column.voided_at.is_not(None)
        case CreditStatus.CONSUMED:
            return and_(kept, consumed)
        case CreditStatus.EXPIRED:
            return and_(kept, ~consumed, is_over)
        case CreditStatus.ACTIVE:
            return and_(kept, ~consumed, or_(column.effective_until.is_(None), column.effective_until > today))


LISTED = ListedTable(
    filters={
        "status": _has_status,
        "account_id": equals(_CREDIT.c.account_id),
        "id": equals(_CREDIT.c.credit_id),
    },
    sorts={"created_at": _CREDIT.c.created_at, "id": _CREDIT.c.credit_id},
    order=(SortKey("created_at", descending=True), SortKey("id")),
)


# ---- granting ----------------------------------------------------------------------------------------------------


def grant(connection: Connection, organisation_id: str, new: Credit, *, invoice_id: str | None = None) -> bool:
    """Grant a credit; False, and nothing is changed, when its id is there. `invoice_id` is the invoice that grants it.

    An id that is made of what is granted makes a grant that is repeated without effect.
    """
    if credit(connection, organisation_id, new.credit_id) is not None:
        return False
    terms, until, at = new.terms, new.terms.effective_until, new.created_at
    connection.execute(
        insert(_CREDIT).values(
            organisation_id=organisation_id,
            credit_id=new.credit_id,
            account_id=new.account_id,
            idempotency_key=new.idempotency_key,
            amount=terms.amount,
            consumed=ZERO,
            effective_until=None if until is None else until.isoformat(),
            definition=definition_text(new),
            **written_at(at),
        )
    )
    _add_entry(connection, organisation_id, new.credit_id, CreditEntryType.CREDITED, terms.amount, invoice_id, at)
    return True


# ---- using, giving back, voiding ---------------------------------------------------------------------------------


def debit(
    connection: Connection, organisation_id: str, invoice_id: str, uses: Iterable[CreditUse], *, at: datetime
) -> None:
    """Take what a newly finalised invoice uses; once for each invoice, which is what its caller has to see to."""
    for use in uses:
        held = credit(connection, organisation_id, use.credit_id)
        assert held is not None, f"invoice {invoice_id} uses credit {use.credit_id}, which is not there"
        assert ZERO < use.amount <= held.left, f"invoice {invoice_id} uses more of credit {use.credit_id} than is left"
        consumed = EXACT.add(held.consumed, use.amount)
        _set_consumed(connection, organisation_id, use.credit_id, consumed, at)
        _add_entry(connection, organisation_id, use.credit_id, CreditEntryType.DEBITED, use.amount, invoice_id, at)


def give_back(connection: Connection, organisation_id: str, invoice_id: str, *, at: datetime) -> None:
    """Undo what an invoice that is voided did: what it used is left again, what it sold is voided; done again, nothing.

    What goes back to a credit that was voided itself is voided with it.
    """
    for entry in _entries_of_invoice(connection, organisation_id, invoice_id):
        held = credit(connection, organisation_id, entry.credit_id)
        assert held is not None, "an entry has its credit"
        if entry.entry_type is CreditEntryType.DEBITED and not _is_given_back(connection, organisation_id, entry):
            _return(connection, organisation_id, held, entry, at)
        elif held.credit.sold_by == invoice_id:
            void(connection, organisation_id, held, at=at)


def _return(connection: Connection, organisation_id: str, held: HeldCredit, debited: CreditEntry, at: datetime) -> None:
    credit_id, amount = debited.credit_id, debited.amount
    _set_consumed(connection, organisation_id, credit_id, EXACT.subtract(held.consumed, amount), at)
    kinds = [CreditEntryType.CREDITED]
    if held.voided_at is not None:
        kinds.append(CreditEntryType.VOIDED)
    for kind in kinds:
        _add_entry(connection, organisation_id, credit_id, kind, amount, debited.invoice_id, at)


def void(connection: Connection, organisation_id: str, held: HeldCredit, *, at: datetime) -> HeldCredit:
    """Take away what is left of the credit, for good; done again, it does nothing."""
    if held.voided_at is not None:
        return held
    credit_id = held.credit.credit_id
    connection.execute(
        update(_CREDIT)
        .where(_CREDIT.c.organisation_id == organisation_id, _CREDIT.c.credit_id == credit_id)
        .values(voided_at=microseconds_since_1970(at), updated_at=microseconds_since_1970(at))
    )
    if held.left:
        _add_entry(connection, organisation_id, credit_id, CreditEntryType.VOIDED, held.left, None, at)
    return msgspec.structs.replace(held, voided_at=at, updated_at=at)


def _set_consumed(
    connection: Connection, organisation_id: str, credit_id: str, consumed: Decimal, at: datetime
) -> None:
    connection.execute(
        update(_CREDIT)
        .where(_CREDIT.c.organisation_id == organisation_id, _CREDIT.c.credit_id == credit_id)
        .values(consumed=consumed, updated_at=microseconds_since_1970(at))
    )


def _add_entry(
    connection: Connection,
    organisation_id: str,
    credit_id: str,
    entry_type: CreditEntryType,
    amount: Decimal,
    invoice_id: str | None,
    at: datetime,
) -> None:
    last = select(func.coalesce(func.max(_ENTRY.c.number), 0)).where(
        _ENTRY.c.organisation_id == organisation_id, _ENTRY.c.credit_id == credit_id
    )
    connection.execute(
        insert(_ENTRY).values(
            organisation_id=organisation_id,
            credit_id=credit_id,
            number=(connection.scalar(last) or 0) + 1,
            entry_type=entry_type.value,
            invoice_id=invoice_id or _NO_INVOICE,
            amount=amount,
            created_at=microseconds_since_1970(at),
        )
    )


# ---- reading -----------------------------------------------------------------------------------------------------


def unspent_credits(
    connection: Connection, organisation_id: str, account_ids: Collection[str]
) -> dict[str, tuple[UsableCredit, ...]]:
    """The credits with something left, by account id, the oldest first; accounts without any are left out."""
    has_some_left = and_(_CREDIT.c.voided_at.is_(None), _CREDIT.c.consumed != _CREDIT.c.amount)
    found = _by_account(connection, organisation_id, account_ids, has_some_left)
    return {account_id: tuple(held.usable for held in credits) for account_id, credits in found.items()}


def credits_of(connection: Connection, organisation_id: str, account_id: str) -> tuple[HeldCredit, ...]:
    """All credits of the account, the oldest first."""
    return _by_account(connection, organisation_id, [account_id], true()).get(account_id, ())


def _by_account(
    connection: Connection, organisation_id: str, account_ids: Collection[str], condition: ColumnElement[bool]
) -> dict[str, tuple[HeldCredit, ...]]:
    found: dict[str, list[HeldCredit]] = {}
    for some in in_pieces(sorted(account_ids)):
        query = _of_organisation(organisation_id).where(_CREDIT.c.account_id.in_(some), condition)
        for row in connection.execute(query.order_by(_CREDIT.c.created_at, _CREDIT.c.credit_id)).mappings():
            found.setdefault(row["account_id"], []).append(_held(row))
    return {account_id: tuple(credits) for account_id, credits in found.items()}


def credit(connection: Connection, organisation_id: str, credit_id: str) -> HeldCredit | None:
    """The credit with that id."""
    query = _of_organisation(organisation_id).where(_CREDIT.c.credit_id == credit_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _held(row)


def credit_with_key(connection: Connection, organisation_id: str, idempotency_key: str) -> HeldCredit | None:
    """The credit that was asked for with that key."""
    query = _of_organisation(organisation_id).where(_CREDIT.c.idempotency_key == idempotency_key)
    row = connection.execute(query).mappings().first()
    return None if row is None else _held(row)


def count_active(connection: Connection, organisation_id: str, account_id: str) -> int:
    """How many credits of the account are active today."""
    query = select(func.count()).where(
        _CREDIT.c.organisation_id == organisation_id,
        _CREDIT.c.account_id == account_id,
        _has_status(CreditStatus.ACTIVE.value),
    )
    return connection.scalar(query) or 0


def list_credits(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[HeldCredit]:
    """A page of the credits, those granted last first."""
    rows = LISTED.page(connection, _of_organisation(organisation_id), page)
    return Page(items=[_held(row) for row in rows.items], next=rows.next)


def entries_of(connection: Connection, organisation_id: str, credit_id: str) -> list[CreditEntry]:
    """The entries of the credit in the order in which they were made."""
    query = select(_ENTRY).where(_ENTRY.c.organisation_id == organisation_id, _ENTRY.c.credit_id == credit_id)
    return [_entry(row) for row in connection.execute(query.order_by(_ENTRY.c.number)).mappings()]


def _entries_of_invoice(connection: Connection, organisation_id: str, invoice_id: str) -> Sequence[CreditEntry]:
    query = select(_ENTRY).where(_ENTRY.c.organisation_id == organisation_id, _ENTRY.c.invoice_id == invoice_id)
    rows = connection.execute(query.order_by(_ENTRY.c.credit_id, _ENTRY.c.number)).mappings().all()
    return [_entry(row) for row in rows]


def _is_given_back(connection: Connection, organisation_id: str, debited: CreditEntry) -> bool:
    query = select(_ENTRY.c.number).where(
        _ENTRY.c.organisation_id == organisation_id,
        _ENTRY.c.credit_id == debited.credit_id,
        _ENTRY.c.entry_type == CreditEntryType.CREDITED.value,
        _ENTRY.c.invoice_id == debited.invoice_id,
    )
    return connection.execute(query).first() is not None


def _of_organisation(organisation_id: str) -> Select[Any]:
    return select(_CREDIT).where(_CREDIT.c.organisation_id == organisation_id)


def _held(row: RowMapping) -> HeldCredit:
    return HeldCredit(
        credit=read_definition(row["definition"], Credit),
        consumed=row["consumed"],
        voided_at=None if row["voided_at"] is None else instant_at(row["voided_at"]),
        updated_at=instant_at(row["updated_at"]),
    )


def _entry(row: RowMapping) -> CreditEntry:
    return CreditEntry(
        entry_id=f"{row['credit_id']}.{row['number']}",
        credit_id=row["credit_id"],
        entry_type=CreditEntryType(row["entry_type"]),
        amount=row["amount"],
        invoice_id=row["invoice_id"] or None,
        created_at=instant_at(row["created_at"]),
    )
