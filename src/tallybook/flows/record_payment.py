"""Recording payments: each once, whoever reports it how often, and all of its money put somewhere."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from tallybook.core.account import Account, AccountStatus
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.invoice import InvoiceStatus
from tallybook.core.payment import (
    Payment,
    PaymentLine,
    PaymentLineType,
    PaymentRequest,
    allotted,
    amount_for,
    check_payment,
)
from tallybook.core.receivable import PAYABLE, Receivable, Settlement, SettlementSource
from tallybook.flows.new_ids import new_id
from tallybook.flows.settle import credit_wallet, pay
from tallybook.storage import accounts, credits, invoice_groups, payments, settlements, wallets
from tallybook.storage.database import Database

_TAKES_MONEY = PAYABLE | {InvoiceStatus.PAID}  # a paid one passes it on to the wallet


def record_payment(
    database: Database, organisation_id: str, request: PaymentRequest, *, created_by: str, now: datetime
) -> Payment:
    """Record a payment and settle what it is for, in one transaction. Raises `Invalid` or `Conflict`.

    Reported again, it is the payment that was recorded, and nothing changes.
    """
    check_payment(request)
    with database.write() as connection:
        return put_payment(connection, organisation_id, request, created_by=created_by, now=now)


def put_payment(
    connection: Connection, organisation_id: str, request: PaymentRequest, *, created_by: str, now: datetime
) -> Payment:
    """The same, in a transaction of the caller's."""
    account = _paying_account(connection, organisation_id, request)
    before = payments.payment_with_reference(connection, organisation_id, account.account_id, request.reference)
    if before is not None:
        return _repeated(before, request)
    wallet = wallets.wallet_of(connection, organisation_id, account.account_id, currency=account.currency)
    named = _named_invoices(connection, organisation_id, account, request)
    _check_wallet_lines(request, wallet.wallet_id)
    _check_credits(connection, organisation_id, request)
    payment = Payment(
        payment_id=new_id("payment"),
        request=request,
        lines=allotted(request, named, wallet_id=wallet.wallet_id),
        created_by=created_by,
        created_at=now,
    )
    payments.add_payment(connection, organisation_id, payment)
    _settle(connection, organisation_id, payment, named)
    to_wallet = amount_for(payment.lines, PaymentLineType.WALLET_CREDIT)
    if to_wallet:
        credit_wallet(
            connection,
            organisation_id,
            wallet,
            to_wallet,
            entity_id=payment.payment_id,
            description="Left over from a payment",
            now=now,
        )
    return payment


def _settle(connection: Connection, organisation_id: str, payment: Payment, named: Mapping[str, Receivable]) -> None:
    standing = dict(named)
    for invoice_id, line in _invoice_lines(payment.lines):
        assert line.amount is not None, "what is allotted has an amount"
        settlement = Settlement(
            account_id=payment.request.account_id,
            source=SettlementSource.PAYMENT,
            entity_id=payment.payment_id,
            amount=line.amount,
        )
        standing[invoice_id] = pay(
            connection, organisation_id, standing[invoice_id], settlement, now=payment.created_at
        )


def _paying_account(connection: Connection, organisation_id: str, request: PaymentRequest) -> Account:
    account = accounts.account(connection, organisation_id, request.account_id)
    if account is None:
        raise Invalid(f"accountId: no account {request.account_id!r}", code="UNKNOWN_ACCOUNT")
    if account.status is AccountStatus.DRAFT:
        raise Conflict(f"account {account.account_id!r} is a draft; activate it first", code="ACCOUNT_NOT_ACTIVE")
    if request.currency != account.currency:
        raise Invalid(f"currency: account {account.account_id!r} pays in {account.currency}")
    return account


def _repeated(before: Payment, request: PaymentRequest) -> Payment:
    if before.request != request:
        raise Conflict(
            f"externalPaymentReference: payment {before.payment_id} has this reference, and other contents",
            code="ALREADY_EXISTS",
        )
    return before


def _named_invoices(
    connection: Connection, organisation_id: str, account: Account, request: PaymentRequest
) -> dict[str, Receivable]:
    """The invoices that the payment is for, all of them the account's and to be paid."""
    ids = [invoice_id for invoice_id, _ in _invoice_lines(request.lines)]
    found = settlements.receivables(connection, organisation_id, ids)
    for invoice_id in ids:
        receivable = found.get(invoice_id)
        if receivable is None or not _may_pay(connection, organisation_id, account, receivable):
            raise Invalid(
                f"togaiId: account {account.account_id!r} has no finalised invoice {invoice_id!r}",
                code="UNKNOWN_INVOICE",
            )
        if receivable.merged_into is not None:
            raise Conflict(
                f"togaiId: invoice {invoice_id!r} was merged into {receivable.merged_into!r}; pay that one",
                code="INVOICE_NOT_PAYABLE",
            )
        if receivable.status not in _TAKES_MONEY:
            raise Conflict(
                f"togaiId: invoice {invoice_id!r} is {receivable.status.value} and takes no payment",
                code="INVOICE_NOT_PAYABLE",
            )
    return found


def group_payers(connection: Connection, organisation_id: str, receivable: Receivable) -> list[str]:
    """The accounts that may pay what a group owes: those in it, and those whose invoices were merged."""
    now_in = invoice_groups.accounts_in(connection, organisation_id, receivable.owner_id)
    then_in = settlements.members_accounts(connection, organisation_id, receivable.invoice_id)
    return sorted({*now_in, *then_in})


def _may_pay(connection: Connection, organisation_id: str, account: Account, receivable: Receivable) -> bool:
    if receivable.owner_id == account.account_id:
        return True
    return account.account_id in group_payers(connection, organisation_id, receivable)


def _check_wallet_lines(request: PaymentRequest, wallet_id: str) -> None:
    for line in request.lines:
        if line.line_type is PaymentLineType.WALLET_CREDIT and line.entity_id not in (None, wallet_id):
            raise Invalid(f"togaiId: the account's wallet is {wallet_id!r}; name that one, or none")


def _check_credits(connection: Connection, organisation_id: str, request: PaymentRequest) -> None:
    """A payment grants no credit: it says that one that was granted is paid for."""
    for line in request.lines:
        if line.line_type is PaymentLineType.CREDIT and line.entity_id is not None:
            held = credits.credit(connection, organisation_id, line.entity_id)
            if held is None or held.credit.account_id != request.account_id:
                raise Invalid(
                    f"togaiId: account {request.account_id!r} has no credit {line.entity_id!r}", code="UNKNOWN_CREDIT"
                )


def _invoice_lines(lines: tuple[PaymentLine, ...]) -> list[tuple[str, PaymentLine]]:
    """The lines for invoices, each with the invoice's id."""
    return [
        (line.entity_id, line)
        for line in lines
        if line.line_type is PaymentLineType.INVOICE and line.entity_id is not None
    ]
