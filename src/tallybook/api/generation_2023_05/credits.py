"""Credits as generation 2023-05 has them: granted one by one."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from tallybook.api import credits
from tallybook.api.generation_2023_05.shape import Shape, fewer_fields, fitted
from tallybook.api.generations import Answer, Question
from tallybook.core.credit import (
    ENTITY_ID_CHARACTERS_MAX,
    ENTITY_IDS_MAX,
    PURPOSE_CHARACTERS_MAX,
    CreditEntryType,
    CreditStatus,
)

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ENTITY_ID_CHARACTERS_MAX)]


class Credit(Shape, frozen=True, kw_only=True):
    """A credit."""

    id: str
    account_id: str
    customer_id: str
    purpose: str
    applicable_entity_ids: Sequence[str] = ()
    effective_from: date
    effective_until: date | None = None
    status: CreditStatus
    credit_amount: Decimal
    credit_unit: str
    hold_amount: Decimal
    consumed_amount: Decimal
    priority: int
    created_at: datetime
    updated_at: datetime


class CreditTransaction(Shape, frozen=True, kw_only=True):
    """What happened to a credit."""

    id: str
    credit_id: str
    transaction_type: CreditEntryType
    invoice_id: str | None = None
    amount: Decimal
    created_at: datetime


class CreditDetails(Credit, frozen=True, kw_only=True):
    """A credit with everything that happened to it."""

    transactions: Sequence[CreditTransaction]


class CreditPage(Shape, frozen=True, kw_only=True):
    """A page of credits."""

    data: Sequence[Credit]
    next_token: str | None = None


class CreditBalance(Shape, frozen=True, kw_only=True):
    """What an account has in credits."""

    active_credits: Decimal
    available_balance: Decimal
    running_balance: Decimal
    inapplicable_credits: Decimal
    unit: str


class CreditAsked(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A credit for an account."""

    account_id: _Id
    purpose: Annotated[str, msgspec.Meta(min_length=1, max_length=PURPOSE_CHARACTERS_MAX)]
    applicable_entity_ids: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=ENTITY_IDS_MAX)] | None = None
    effective_from: date
    effective_until: date | None = None
    credit_amount: Decimal
    priority: int


def _creation(asked: CreditAsked) -> credits.CreateCreditRequest:
    return credits.CreateCreditRequest(
        credit_requests=(msgspec.convert(asked, credits.CreditRequestShape, from_attributes=True),)
    )


def _created(made: credits.CreateCreditResponse) -> Credit:
    [credit] = made.credits
    return fitted(Credit)(credit)


ANSWERS = {
    credits.CreateCreditResponse: Answer(shape=Credit, written=_created),
    credits.CreditShape: fewer_fields(Credit),
    credits.CreditDetailsShape: fewer_fields(CreditDetails),
    credits.CreditPage: fewer_fields(CreditPage),
    credits.CreditBalanceShape: fewer_fields(CreditBalance),
}
QUESTIONS = {credits.CreateCreditRequest: Question(shape=CreditAsked, meant=_creation)}
