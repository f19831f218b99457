"""How far finalised invoices are paid: every amount that came to one or left it, and the sum beside its status.

Every function works in a transaction of the caller's; what moves money needs one that writes.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, insert, or_, select, update

from tallybook.core.custom_invoice import CustomInvoice
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.invoice import InvoiceStatus, InvoiceType
from tallybook.core.receivable import NETTED, Receivable, Settlement, SettlementSource, receivable_of
from tallybook.storage import ledger, tables
from tallybook.storage.definition_rows import in_pieces

_INVOICES = tables.invoice
_TABLE = tables.settlement


class _ByHand(msgspec.Struct, frozen=True):
    """As much of an invoice's inputs as has to be known here."""

    custom: CustomInvoice


_by_hand = msgspec.json.Decoder(_ByHand)


def receivables(connection: Connection, organisation_id: str, invoice_ids: Collection[str]) -> dict[str, Receivable]:
    """Those finalised invoices, as far as they are paid, by id; what is not there is left out."""
    found: dict[str, Receivable] = {}
    for some in in_pieces(sorted(set(invoice_ids))):
        query = _selected(organisation_id).where(_INVOICES.c.invoice_id.in_(some))
        found.update((each.invoice_id, each) for each in _receivables(connection, query))
    return found


def outstanding_of(connection: Connection, organisation_id: str, account_id: str) -> list[Receivable]:
    """The account's invoices that its wallet pays, in no order."""
    query = _selected(organisation_id).where(
        _INVOICES.c.account_id == account_id,
        _INVOICES.c.status.in_([status.value for status in NETTED]),
        # What is due and going to be merged is paid as part of the composite; what is paid in part is not merged.
        or_(_INVOICES.c.group_id.is_(None), _INVOICES.c.status == InvoiceStatus.PARTIALLY_PAID.value),
    )
    return list(_receivables(connection, query))


def members_accounts(connection: Connection, organisation_id: str, composite_id: str) -> list[str]:
    """The accounts whose invoices were merged into the composite."""
    query = select(_INVOICES.c.account_id).where(
        _INVOICES.c.organisation_id == organisation_id, _INVOICES.c.merged_into == composite_id
    )
    return sorted(connection.execute(query.distinct()).scalars())


def settlements_of(connection: Connection, organisation_id: str, invoice_id: str) -> list[Settlement]:
    """What came to the invoice and left it, in the order in which it did."""
    query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.invoice_id == invoice_id)
    return [
        Settlement(
            account_id=row.account_id,
            source=SettlementSource(row.source),
            entity_id=row.entity_id,
            amount=row.amount,
        )
        for row in connection.execute(query.order_by(_TABLE.c.settlement_id))
    ]


def settle(
    connection: Connection,
    organisation_id: str,
    after: Receivable,
    settlements: Iterable[Settlement],
    *,
    now: datetime,
) -> None:
    """Note what moved, and how the invoice stands afterwards."""
    for each in settlements:
        connection.execute(
            insert(_TABLE).values(
                organisation_id=organisation_id,
                invoice_id=after.invoice_id,
                account_id=each.account_id,
                source=each.source.value,
                entity_id=each.entity_id,
                amount=each.amount,
                created_at=microseconds_since_1970(now),
            )
        )
    written = connection.execute(
        update(_INVOICES)
        .where(_INVOICES.c.organisation_id == organisation_id, _INVOICES.c.invoice_id == after.invoice_id)
        .values(status=after.status.value, paid_amount=after.paid, updated_at=microseconds_since_1970(now))
    )
    assert written.rowcount == 1, "only finalised invoices are settled"


def _selected(organisation_id: str) -> Select[Any]:
    return select(_INVOICES).where(_INVOICES.c.organisation_id == organisation_id)


def _receivables(connection: Connection, query: Select[Any]) -> Iterable[Receivable]:
    for row in connection.execute(query).all():
        by_hand = row.invoice_type == InvoiceType.CUSTOM.value
        custom = _by_hand.decode(row.inputs).custom if by_hand else None
        yield receivable_of(ledger.read_invoice(row), custom=custom)
