"""How much of which credit an invoice uses, what is left of a credit, and the balance."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from credit_samples import JANUARY, charged, entry, held, terms, usable

from tallybook.core.credit import (
    ALL_FIXED_FEES,
    ALL_USAGE,
    CreditBalance,
    CreditEntryType,
    CreditStatus,
    CreditTerms,
    UsableCredit,
    balance_of,
    check_terms,
    check_voidable,
    use_credits,
    with_expiry,
)
from tallybook.core.errors import Conflict, Invalid

TODAY = date(2024, 1, 15)


def used(*uses: object) -> dict[str, str]:
    """The uses as credit id and amount."""
    return {use.credit_id: str(use.amount) for use in uses}  # type: ignore[attr-defined]


# ---- the contract's examples -------------------------------------------------------------------------------------


def test_a_credit_on_some_meters() -> None:
    """Contract 3.10 [S]: invoice 100, of which 50 on the credit's meter, credit 50: 50 are left to pay."""
    uses = use_credits([charged("50", "um.1"), charged("50", "um.2")], [usable("X", "50", only="um.1")], JANUARY)
    assert used(*uses) == {"X": "50"}


def test_two_credits_by_priority() -> None:
    """Contract 3.10 [D]: A 80, B 40; X 50 only for A, then Y 100 for all: X takes 50, Y 30 + 40; Y has 30 left."""
    lines = [charged("80", "A"), charged("40", "B")]
    credits = [usable("Y", "100", priority=2), usable("X", "50", priority=1, only="A")]
    assert used(*use_credits(lines, credits, JANUARY)) == {"X": "50", "Y": "70"}


def test_the_balance_of_the_contract() -> None:
    """Contract 3.10 [D]: one credit 1000, consumed 300, hold 200: active 1000, available 700, running 500."""
    balance = balance_of([held("X", "1000", consumed="300")], on=TODAY, holds={"X": Decimal(200)}, applicable_ids=["X"])
    assert balance == CreditBalance(
        active=Decimal(1000), available=Decimal(700), running=Decimal(500), inapplicable=Decimal(0)
    )


# ---- order and applicability -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (usable("a", "10", priority=1), usable("b", "10", priority=2)),
        (usable("a", "10", until=date(2024, 1, 20)), usable("b", "10", until=date(2024, 1, 21))),
        (usable("a", "10", until=date(2024, 1, 20)), usable("b", "10")),
        (usable("z", "10", created_day=1), usable("b", "10", created_day=2)),
    ],
    ids=["priority", "earlier expiry (7 #38)", "some expiry before none", "older"],
)
def test_which_credit_is_used_first(first: UsableCredit, second: UsableCredit) -> None:
    """Whatever the order in which they are found."""
    assert used(*use_credits([charged("7")], [second, first], JANUARY)) == {first.credit_id: "7"}


@pytest.mark.parametrize(
    ("start", "end", "is_used"),
    [
        (date(2023, 12, 1), date(2024, 1, 1), False),
        (date(2023, 12, 1), date(2024, 1, 2), True),
        (date(2024, 1, 31), None, True),
        (date(2024, 2, 1), None, False),
        (date(2024, 1, 10), date(2024, 1, 11), True),
    ],
)
def test_a_credit_is_for_cycles_with_a_day_of_its_window(start: date, end: date | None, is_used: bool) -> None:
    """Contract 7 #39: any day of the cycle; the end of the window is exclusive, as everywhere."""
    uses = use_credits([charged("7")], [usable("X", "10", start=start, until=end)], JANUARY)
    assert used(*uses) == ({"X": "7"} if is_used else {})


@pytest.mark.parametrize(
    ("only", "amount"), [((ALL_USAGE,), "80"), ((ALL_FIXED_FEES,), "40"), (("um.1", ALL_FIXED_FEES), "110")]
)
def test_special_ids_stand_for_all_cards_of_a_kind(only: tuple[str, ...], amount: str) -> None:
    """Usage 70 + 10, fees 40, and 5 that belong to nothing: each credit finds what it names."""
    lines = [
        charged("70", "um.1", ALL_USAGE),
        charged("10", "um.2", ALL_USAGE),
        charged("40", "addon.1", ALL_FIXED_FEES),
        charged("5"),
    ]
    assert used(*use_credits(lines, [usable("X", "1000", only=only)], JANUARY)) == {"X": amount}


def test_a_credit_for_everything_covers_what_belongs_to_nothing() -> None:
    """A true-up has no id."""
    assert used(*use_credits([charged("5"), charged("3", "um.1")], [usable("X", "100")], JANUARY)) == {"X": "8"}


# ---- bounds ------------------------------------------------------------------------------------------------------


def test_charges_below_zero_leave_less_to_credit() -> None:
    """80 and −30 of one meter: 50 at most; 80 and −30 of another: 80 of the meter, but 50 of the invoice."""
    x = usable("X", "1000", only="um.1")
    assert used(*use_credits([charged("80", "um.1"), charged("-30", "um.1")], [x], JANUARY)) == {"X": "50"}
    assert used(*use_credits([charged("80", "um.1"), charged("-30", "um.2")], [x], JANUARY)) == {"X": "50"}
    assert use_credits([charged("80", "um.1"), charged("-90")], [x], JANUARY) == ()


def test_bought_credits_are_not_paid_with_credits() -> None:
    """Contract 3.10: credits do not net other credits. One that costs less than nothing lessens the rest, though."""
    x = usable("X", "1000")
    assert used(*use_credits([charged("80"), charged("900", "addon.1", creditable=False)], [x], JANUARY)) == {"X": "80"}
    assert used(*use_credits([charged("80"), charged("-30", "addon.1", creditable=False)], [x], JANUARY)) == {"X": "50"}


def test_what_is_used_is_exact() -> None:
    """The last digit of what is charged is used, so that nothing is left to pay."""
    assert used(*use_credits([charged("0.0000001234567890123456789")], [usable("X", "1")], JANUARY)) == {
        "X": "1.234567890123456789E-7"
    }


# ---- statuses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("consumed", "until", "voided", "status", "left"),
    [
        ("0", None, False, CreditStatus.ACTIVE, "100"),
        ("30", date(2024, 1, 16), False, CreditStatus.ACTIVE, "70"),
        ("30", date(2024, 1, 15), False, CreditStatus.EXPIRED, "70"),
        ("100", date(2024, 1, 15), False, CreditStatus.CONSUMED, "0"),
        ("30", None, True, CreditStatus.VOIDED, "0"),
    ],
)
def test_where_a_credit_stands(
    consumed: str, until: date | None, voided: bool, status: CreditStatus, left: str
) -> None:
    credit = held("X", "100", consumed=consumed, until=until, voided=voided)
    assert (credit.status_on(TODAY), str(credit.left)) == (status, left)


def test_expiry_stands_among_the_entries_in_the_order_of_time() -> None:
    """What is left when asked; an invoice of the days before may be finalised after, and comes after it."""
    credit = held("X", "100", consumed="30", until=date(2024, 1, 10))
    entries = [entry("X", 1, CreditEntryType.CREDITED, "100", 1), entry("X", 2, CreditEntryType.DEBITED, "30", 12)]
    shown = [(each.entry_type.value, str(each.amount)) for each in with_expiry(entries, credit, on=TODAY)]
    assert shown == [("CREDITED", "100"), ("EXPIRED", "70"), ("DEBITED", "30")]
    assert with_expiry(entries, credit, on=date(2024, 1, 9)) == entries


def test_only_active_credits_are_in_the_balance() -> None:
    """100 of which 30 are consumed, and 50 that the draft cannot use; expired, consumed and voided ones are not."""
    credits = [
        held("X", "100", consumed="30"),
        held("F", "50", start=date(2024, 3, 1)),
        held("E", "7", until=date(2024, 1, 1)),
        held("C", "7", consumed="7"),
        held("V", "7", voided=True),
    ]
    balance = balance_of(credits, on=TODAY, holds={"X": Decimal("0.5")}, applicable_ids=["X"])
    assert balance == CreditBalance(
        active=Decimal(150), available=Decimal(120), running=Decimal("119.5"), inapplicable=Decimal(50)
    )


def test_what_is_consumed_cannot_be_voided() -> None:
    with pytest.raises(Conflict, match="nothing is left to void"):
        check_voidable(held("X", "7", consumed="7"), on=TODAY)
    check_voidable(held("X", "7", until=date(2024, 1, 1)), on=TODAY)


# ---- checking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (terms("0"), "creditAmount"),
        (terms("-1"), "creditAmount"),
        (terms("1e600"), "creditAmount"),
        (terms("NaN"), "creditAmount"),
        (terms("1", priority=0), "priority"),
        (terms("1", priority=101), "priority"),
        (terms("1", start=date(1969, 12, 31)), "effectiveFrom"),
        (terms("1", start=date(9999, 1, 1)), "effectiveFrom"),
        (terms("1", until=date(2024, 1, 1)), "effectiveUntil"),
        (terms("1", until=date(9999, 1, 2)), "effectiveUntil"),
        (terms("1", purpose=" "), "purpose"),
        (terms("1", purpose="x" * 256), "purpose"),
        (terms("1", only=("a", "a")), "applicableEntityIds"),
        (terms("1", only=("",)), "applicableEntityIds"),
        (terms("1", only=tuple(map(str, range(101)))), "applicableEntityIds"),
    ],
)
def test_credits_that_could_not_be_used_are_refused(wrong: CreditTerms, field: str) -> None:
    """Every refusal names the field."""
    with pytest.raises(Invalid, match=rf"^creditRequests\[0\]\.{field}: "):
        check_terms(wrong, "creditRequests[0]")


def test_a_usable_credit_repeats_the_terms() -> None:
    """What an invoice's inputs keep of a credit is what was granted, and what is left."""
    found = held("X", "100", consumed="30", until=date(2024, 2, 1)).usable
    assert found == UsableCredit(
        credit_id="X",
        purpose="Welcome",
        priority=1,
        effective_from=date(2024, 1, 1),
        effective_until=date(2024, 2, 1),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        left=Decimal(70),
    )
