"""Laws of credits: what an invoice uses of them, whatever is charged and whatever there is, and what is left then."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations
from uuid import uuid4

import msgspec
import pytest
from credit_samples import JANUARY, credit, instant, terms, usable
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from tallybook.core.credit import ChargedEntity, CreditEntryType, CreditUse, UsableCredit, covers, use_credits
from tallybook.core.pricing import sum_exactly
from tallybook.storage import credits as credit_store
from tallybook.storage.database import Database, migrate, open_database

ENTITIES = ("um.1", "um.2", "addon.1", "ALL_USAGE_METER_RATE_CARDS")
FEW_CREDITS = 5

amounts = st.decimals(-1_000, 10_000, places=7, allow_nan=False)
some_ids = st.lists(st.sampled_from(ENTITIES), max_size=2, unique=True).map(tuple)
charges = st.lists(
    st.builds(
        ChargedEntity, entity_ids=some_ids, amount=amounts, creditable=st.sampled_from([True, True, True, False])
    ),
    max_size=8,
)


@st.composite
def credits(draw: st.DrawFn) -> list[UsableCredit]:
    """Credits with every kind of window, priority and restriction; few, so that all their subsets can be looked at."""
    count = draw(st.integers(0, FEW_CREDITS))
    return [
        usable(
            f"c{number}",
            str(draw(st.decimals("0.0000001", 10_000, places=7, allow_nan=False))),
            priority=draw(st.integers(1, 3)),
            start=draw(st.dates(date(2023, 12, 1), date(2024, 2, 2))),
            until=draw(st.none() | st.dates(date(2024, 2, 3), date(2024, 2, 5))),
            only=draw(some_ids),
            created_day=draw(st.integers(1, 3)),
        )
        for number in range(count)
    ]


def creditable(charged: list[ChargedEntity], *credits: UsableCredit) -> Decimal:
    """What these credits may be used for together, by definition: what is charged above zero for what they cover."""
    sums: dict[tuple[str, ...], Decimal] = {}
    for each in charged:
        if each.creditable and any(covers(credit, each.entity_ids) for credit in credits):
            sums[each.entity_ids] = sums.get(each.entity_ids, Decimal(0)) + each.amount
    return sum_exactly([max(amount, Decimal(0)) for amount in sums.values()])


@given(charged=charges, there=credits())
def test_credits_never_exceed_what_there_is_nor_what_is_charged(
    charged: list[ChargedEntity], there: list[UsableCredit]
) -> None:
    """No credit above what is left of it; no set of credits above what is charged for what they cover; no invoice
    below zero, and one that is below zero without credits uses none.
    """
    uses = {use.credit_id: use.amount for use in use_credits(charged, there, JANUARY)}
    for each in there:
        assert 0 <= uses.get(each.credit_id, Decimal(0)) <= each.left
    for size in range(1, len(there) + 1):
        for some in combinations(there, size):
            used = sum_exactly([uses.get(credit.credit_id, Decimal(0)) for credit in some])
            assert used <= creditable(charged, *some)
    total = sum_exactly([each.amount for each in charged])
    used = sum_exactly(list(uses.values()))
    assert total - used >= min(total, Decimal(0))
    assert total > 0 or used == 0


@given(charged=charges, left=st.decimals("0.0000001", 10_000, places=7, allow_nan=False))
def test_a_credit_for_everything_is_used_as_far_as_it_goes(charged: list[ChargedEntity], left: Decimal) -> None:
    """All of it, or all that is charged."""
    own = sum_exactly([each.amount for each in charged if each.creditable])
    beside = sum_exactly([each.amount for each in charged if not each.creditable])
    owed = max(own + min(beside, Decimal(0)), Decimal(0))
    uses = use_credits(charged, [usable("X", str(left))], JANUARY)
    assert sum_exactly([use.amount for use in uses]) == min(owed, left)


@given(charged=charges, there=credits(), seed=st.randoms())
def test_the_order_in_which_credits_are_found_changes_nothing(
    charged: list[ChargedEntity], there: list[UsableCredit], seed: object
) -> None:
    """Priority, expiry and age decide."""
    shuffled = list(there)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert use_credits(charged, shuffled, JANUARY) == use_credits(charged, there, JANUARY)


@given(charged=charges, there=credits(), day=st.dates(date(2024, 1, 1), date(2024, 1, 31)))
def test_finalising_in_two_steps_uses_no_more(
    charged: list[ChargedEntity], there: list[UsableCredit], day: date
) -> None:
    """What a first invoice leaves is all that a second can use."""
    first = {use.credit_id: use.amount for use in use_credits(charged, there, JANUARY)}
    after = [
        msgspec.structs.replace(credit, left=credit.left - first.get(credit.credit_id, Decimal(0))) for credit in there
    ]
    window = type(JANUARY)(day, day + timedelta(days=1))
    second = {use.credit_id: use.amount for use in use_credits(charged, after, window)}
    for each in there:
        key = each.credit_id
        assert first.get(key, Decimal(0)) + second.get(key, Decimal(0)) <= each.left


# ---- as stored ---------------------------------------------------------------------------------------------------

Act = tuple[str, int, Decimal]
"""What is done: use, give back, or void; the number of the invoice, and what it would use."""

acts = st.lists(
    st.tuples(
        st.sampled_from(["use", "use", "give back", "void"]),
        st.integers(1, 4),
        st.decimals("0.0000001", 60, places=7, allow_nan=False),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("credits") / "tallybook.sqlite"
    migrate(path)
    opened = open_database(path)
    yield opened
    opened.close()


@settings(max_examples=50, deadline=None)
@given(done=acts)
def test_what_is_left_is_the_sum_of_the_entries(database: Database, done: list[Act]) -> None:
    """Whatever is used, given back and voided, in any order and again and again: the entries balance, what is left is
    never below zero nor above what was granted, and nothing is left of a credit that is void.
    """
    credit_id = uuid4().hex
    with database.write() as connection:
        credit_store.grant(connection, "org", credit(credit_id, terms("100")))
        for act, number, amount in done:
            _act(connection, credit_id, act, f"{credit_id}.{number}", amount)
            held = credit_store.credit(connection, "org", credit_id)
            assert held is not None
            entries = credit_store.entries_of(connection, "org", credit_id)
            signed = [each.amount if each.entry_type is CreditEntryType.CREDITED else -each.amount for each in entries]
            assert sum_exactly(signed) == held.left
            assert 0 <= held.left <= 100
            assert held.voided_at is None or held.left == 0


def _act(connection: Connection, credit_id: str, act: str, invoice_id: str, amount: Decimal) -> None:
    held = credit_store.credit(connection, "org", credit_id)
    assert held is not None
    used_by = {each.invoice_id for each in credit_store.entries_of(connection, "org", credit_id)}
    match act:
        case "use" if invoice_id not in used_by and held.left:
            use = CreditUse(credit_id=credit_id, purpose="Welcome", amount=min(amount, held.left))
            credit_store.debit(connection, "org", invoice_id, [use], at=instant(3))
        case "give back":
            credit_store.give_back(connection, "org", invoice_id, at=instant(4))
        case "void":
            credit_store.void(connection, "org", held, at=instant(5))
