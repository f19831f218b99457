"""Credits: money an account may set against what it is charged, and how much of which credit an invoice uses.

A credit is granted once and never edited. What has become of it is told by its entries, which are kept in storage:
CREDITED when it is granted, DEBITED by an invoice, CREDITED by that invoice again if it is voided, VOIDED for good.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.decimals import EXACT, ZERO, within_quantity_bounds
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.period import FOREVER, Window, midnight

CREDIT_ID_PREFIX = "cred"
PRIORITY_MIN, PRIORITY_MAX = 1, 100  # the interface's; the lower number is used first
PURPOSE_CHARACTERS_MAX = 255  # the interface names none; what add-ons have, whose names become purposes
ENTITY_IDS_MAX = 100  # more than a plan has cards
ENTITY_ID_CHARACTERS_MAX = 50
IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
EFFECTIVE_FROM_MIN = date(1970, 1, 1)

ALL_USAGE = "ALL_USAGE_METER_RATE_CARDS"
ALL_FIXED_FEES = "ALL_FIXED_FEE_RATE_CARDS"
SPECIAL_ENTITY_IDS = frozenset({ALL_USAGE, ALL_FIXED_FEES})
"""What a credit may name instead of single meters and add-ons."""


class CreditStatus(Enum):
    """CONSUMED: all of it is used. EXPIRED: its window is over, and some is left. VOIDED is for good."""

    ACTIVE = "ACTIVE"
    CONSUMED = "CONSUMED"
    EXPIRED = "EXPIRED"
    VOIDED = "VOIDED"


class CreditEntryType(Enum):
    """What an entry says of a credit; only an entry that is CREDITED adds to what is left."""

    CREDITED = "CREDITED"
    DEBITED = "DEBITED"
    EXPIRED = "EXPIRED"
    VOIDED = "VOIDED"


class CreditTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is granted, for the days `[effective_from, effective_until)`; None is no end.

    `applicable_entity_ids` are usage meters, add-ons or special ids; none means everything. `grantor_id` is the add-on
    that granted it, if one did.
    """

    purpose: str
    amount: Decimal
    priority: int
    effective_from: date
    effective_until: date | None = None
    applicable_entity_ids: tuple[str, ...] = ()
    grantor_id: str | None = None


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit as it was granted to an account, in the account's currency. `sold_by` is the invoice that sold it."""

    credit_id: str
    account_id: str
    customer_id: str
    currency: str
    terms: CreditTerms
    idempotency_key: str | None = None
    sold_by: str | None = None
    created_at: datetime


class CreditGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Credit that an invoice grants for an add-on in the cycle that begins on `start_date`; `sold` or given back."""

    add_on_id: str
    start_date: date
    sold: bool
    terms: CreditTerms


class HeldCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit and what has become of it: how much finalised invoices used, and when it was voided."""

    credit: Credit
    consumed: Decimal
    voided_at: datetime | None = None
    updated_at: datetime

    @property
    def left(self) -> Decimal:
        """What can still be used; nothing of a credit that is voided."""
        return ZERO if self.voided_at is not None else EXACT.subtract(self.credit.terms.amount, self.consumed)

    def status_on(self, day: date) -> CreditStatus:
        """Where it stands on that day."""
        if self.voided_at is not None:
            return CreditStatus.VOIDED
        if self.left <= 0:
            return CreditStatus.CONSUMED
        until = self.credit.terms.effective_until
        return CreditStatus.EXPIRED if until is not None and until <= day else CreditStatus.ACTIVE

    @property
    def usable(self) -> "UsableCredit":
        """As much of it as an invoice has to know."""
        terms = self.credit.terms
        return UsableCredit(
            credit_id=self.credit.credit_id,
            purpose=terms.purpose,
            priority=terms.priority,
            effective_from=terms.effective_from,
            effective_until=terms.effective_until,
            applicable_entity_ids=terms.applicable_entity_ids,
            created_at=self.credit.created_at,
            left=self.left,
        )


class CreditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a credit's account. `invoice_id` is the invoice that used it, gave it back or granted it."""

    entry_id: str
    credit_id: str
    entry_type: CreditEntryType
    amount: Decimal
    invoice_id: str | None = None
    created_at: datetime


class UsableCredit(msgspec.Struct, frozen=True, kw_only=True):
    """What an invoice has to know of a credit: `left` is what no finalised invoice has used."""

    credit_id: str
    purpose: str
    priority: int
    effective_from: date
    effective_until: date | None = None
    applicable_entity_ids: tuple[str, ...] = ()
    created_at: datetime
    left: Decimal


class ChargedEntity(msgspec.Struct, frozen=True, kw_only=True):
    """What an invoice charges for something: `entity_ids` are all the ids by which a credit may name it.

    What is not `creditable` no credit is used for, but below zero it makes the invoice smaller all the same.
    """

    entity_ids: tuple[str, ...] = ()
    amount: Decimal
    creditable: bool = True


class CreditUse(msgspec.Struct, frozen=True, kw_only=True):
    """So much of a credit is used by an invoice."""

    credit_id: str
    purpose: str
    amount: Decimal


# ---- using credits -----------------------------------------------------------------------------------------------


def use_credits(
    charged: Sequence[ChargedEntity], credits: Iterable[UsableCredit], window: Window
) -> tuple[CreditUse, ...]:
    """How much of which credit an invoice of these charges uses, in the order in which they are used.

    By priority, then the one that expires first, then the oldest; each on the charges in their order. Neither a credit,
    nor what is charged for an entity, nor the sum of all charges falls below zero by it; charges below zero lessen the
    last two.
    """
    owed, rest = _owed(charged)
    uses = []
    for credit in sorted((each for each in credits if is_effective_in(each, window)), key=_order):
        used = ZERO
        for entity_ids, amount in owed.items():
            if covers(credit, entity_ids):
                taken = min(EXACT.subtract(credit.left, used), amount, EXACT.subtract(rest, used))
                owed[entity_ids] = EXACT.subtract(amount, taken)
                used = EXACT.add(used, taken)
        rest = EXACT.subtract(rest, used)
        if used:
            uses.append(CreditUse(credit_id=credit.credit_id, purpose=credit.purpose, amount=used))
    return tuple(uses)


def credits_after(credits: Iterable[UsableCredit], uses: Iterable[CreditUse]) -> tuple[UsableCredit, ...]:
    """The credits with what these uses leave of them, those with something left."""
    used = {use.credit_id: use.amount for use in uses}
    left = (
        msgspec.structs.replace(credit, left=EXACT.subtract(credit.left, used.get(credit.credit_id, ZERO)))
        for credit in credits
    )
    return tuple(credit for credit in left if credit.left > 0)


def is_effective_in(credit: UsableCredit, window: Window) -> bool:
    """Whether the credit is for any day of the window."""
    until = credit.effective_until
    return credit.effective_from < window.end and (until is None or until > window.start)


def covers(credit: UsableCredit, entity_ids: Collection[str]) -> bool:
    """Whether the credit may be used for what has these ids."""
    return not credit.applicable_entity_ids or not set(credit.applicable_entity_ids).isdisjoint(entity_ids)


def _owed(charged: Sequence[ChargedEntity]) -> tuple[dict[tuple[str, ...], Decimal], Decimal]:
    """What credits may be used for, by entity ids, and for all together: never below zero."""
    sums: dict[tuple[str, ...], Decimal] = {}
    beside = ZERO
    for each in charged:
        if each.creditable:
            sums[each.entity_ids] = EXACT.add(sums.get(each.entity_ids, ZERO), each.amount)
        else:
            beside = EXACT.add(beside, each.amount)
    total = ZERO
    for amount in sums.values():
        total = EXACT.add(total, amount)
    total = EXACT.add(total, min(beside, ZERO))
    return {entity_ids: max(amount, ZERO) for entity_ids, amount in sums.items()}, max(total, ZERO)


def _order(credit: UsableCredit) -> tuple[int, date, datetime, str]:
    return credit.priority, credit.effective_until or FOREVER, credit.created_at, credit.credit_id


def with_expiry(entries: Sequence[CreditEntry], held: HeldCredit, *, on: date) -> list[CreditEntry]:
    """The entries of the credit in the order of time, with its expiry if it has expired on that day.

    The expiry is not written down: an invoice of the days on which the credit could be used may still use some of it.
    """
    if held.status_on(on) is not CreditStatus.EXPIRED:
        return list(entries)
    assert held.credit.terms.effective_until is not None, "only a credit that ends can expire"
    expiry = CreditEntry(
        entry_id=f"{held.credit.credit_id}.expiry",
        credit_id=held.credit.credit_id,
        entry_type=CreditEntryType.EXPIRED,
        amount=held.left,
        created_at=max(midnight(held.credit.terms.effective_until), held.credit.created_at),
    )
    return sorted((*entries, expiry), key=lambda entry: entry.created_at)


# ---- balance -----------------------------------------------------------------------------------------------------


class CreditBalance(msgspec.Struct, frozen=True, kw_only=True):
    """An account's credits that are active: as granted, as left, as left when its drafts are finalised.

    `inapplicable` is what is left of those that the running invoice cannot use.
    """

    active: Decimal
    available: Decimal
    running: Decimal
    inapplicable: Decimal


def balance_of(
    credits: Iterable[HeldCredit], *, on: date, holds: Mapping[str, Decimal], applicable_ids: Collection[str]
) -> CreditBalance:
    """The balance on that day; `holds` are what drafts use, by credit id, `applicable_ids` the credits they can use."""
    active = available = running = inapplicable = ZERO
    for held in credits:
        if held.status_on(on) is not CreditStatus.ACTIVE:
            continue
        credit_id = held.credit.credit_id
        active = EXACT.add(active, held.credit.terms.amount)
        available = EXACT.add(available, held.left)
        running = EXACT.add(running, EXACT.subtract(held.left, holds.get(credit_id, ZERO)))
        if credit_id not in applicable_ids:
            inapplicable = EXACT.add(inapplicable, held.left)
    return CreditBalance(active=active, available=available, running=running, inapplicable=inapplicable)


# ---- checking ----------------------------------------------------------------------------------------------------


def check_terms(terms: CreditTerms, where: str) -> None:
    """Refuse a credit that could never be used, or not as it says. Raises `Invalid`, naming the field."""
    if not terms.purpose.strip() or len(terms.purpose) > PURPOSE_CHARACTERS_MAX:
        raise Invalid(f"{where}.purpose: must be 1 to {PURPOSE_CHARACTERS_MAX} characters, and not blank")
    if not within_quantity_bounds(terms.amount) or terms.amount <= 0:
        raise Invalid(f"{where}.creditAmount: must be a number above 0")
    if not PRIORITY_MIN <= terms.priority <= PRIORITY_MAX:
        raise Invalid(f"{where}.priority: must be {PRIORITY_MIN} to {PRIORITY_MAX}; the lowest is used first")
    if not EFFECTIVE_FROM_MIN <= terms.effective_from < FOREVER:
        raise Invalid(f"{where}.effectiveFrom: must be from {EFFECTIVE_FROM_MIN} on and before {FOREVER}")
    if terms.effective_until is not None and not terms.effective_from < terms.effective_until <= FOREVER:
        raise Invalid(f"{where}.effectiveUntil: must be after effectiveFrom, and not after {FOREVER}")
    if terms.grantor_id is not None and not 1 <= len(terms.grantor_id) <= ENTITY_ID_CHARACTERS_MAX:
        raise Invalid(f"{where}.grantorId: must be 1 to {ENTITY_ID_CHARACTERS_MAX} characters")
    check_entity_ids(terms.applicable_entity_ids, f"{where}.applicableEntityIds")


def check_idempotency_key(key: str, where: str) -> None:
    """Refuse a key that is empty or too long. Raises `Invalid`."""
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX:
        raise Invalid(f"{where}.idempotencyKey: must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters")


def check_entity_ids(entity_ids: Sequence[str], where: str) -> None:
    """Refuse ids that are too many, too long or there twice. Raises `Invalid`. Whether they exist is seen elsewhere."""
    if len(entity_ids) > ENTITY_IDS_MAX:
        raise Invalid(f"{where}: at most {ENTITY_IDS_MAX} ids, got {len(entity_ids)}")
    if len(set(entity_ids)) < len(entity_ids):
        raise Invalid(f"{where}: no id twice")
    if any(not 1 <= len(entity_id) <= ENTITY_ID_CHARACTERS_MAX for entity_id in entity_ids):
        raise Invalid(f"{where}: an id has 1 to {ENTITY_ID_CHARACTERS_MAX} characters")


def check_voidable(held: HeldCredit, *, on: date) -> None:
    """Refuse to void a credit of which nothing is left. Raises `Conflict`."""
    if held.status_on(on) is CreditStatus.CONSUMED:
        raise Conflict(f"credit {held.credit.credit_id!r} is consumed; nothing is left to void", code="CREDIT_CONSUMED")
