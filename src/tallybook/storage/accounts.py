"""Who is billed, as stored: organisations, customers, and accounts with their aliases and pricing schedules."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection, RowMapping, and_, func, insert, select, update

from tallybook.core.account import Account, AccountStatus, AliasWindow
from tallybook.core.customer import Customer
from tallybook.core.errors import Conflict
from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.core.period import PricingCycle, anchored
from tallybook.core.price_plan import PricingSchedule
from tallybook.storage import tables
from tallybook.storage.definition_rows import (
    Page,
    PagePosition,
    Stored,
    definition_text,
    find_one,
    find_page,
    in_pieces,
    note_change,
    read_definition,
    stored,
    written_at,
)


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. Nothing is ever shared between two of them."""

    organisation_id: str
    name: str
    base_currency: str


def add_organisation(connection: Connection, organisation: Organisation, *, now: datetime) -> None:
    """Add the organisation, unless it is there already; then it stays as it is."""
    if organisation_of(connection, organisation.organisation_id):
        return
    connection.execute(
        insert(tables.organisation).values(
            organisation_id=organisation.organisation_id,
            name=organisation.name,
            base_currency=organisation.base_currency,
            created_at=microseconds_since_1970(now),
        )
    )


def organisation_of(connection: Connection, organisation_id: str) -> Organisation | None:
    """The organisation with that id."""
    table = tables.organisation
    row = connection.execute(select(table).where(table.c.organisation_id == organisation_id)).first()
    return _organisation(row._mapping) if row else None


def organisations(connection: Connection) -> list[Organisation]:
    """Every organisation, by id."""
    query = select(tables.organisation).order_by(tables.organisation.c.organisation_id)
    return [_organisation(row) for row in connection.execute(query).mappings()]


def _organisation(row: RowMapping) -> Organisation:
    return Organisation(organisation_id=row["organisation_id"], name=row["name"], base_currency=row["base_currency"])


def add_customer(connection: Connection, organisation_id: str, customer: Customer, *, now: datetime) -> None:
    """Add the customer. Raises `Conflict` when its id is taken."""
    if find_customer(connection, organisation_id, customer.customer_id):
        raise Conflict(f"id: a customer {customer.customer_id!r} exists already", code="ALREADY_EXISTS")
    connection.execute(
        insert(tables.customer).values(
            organisation_id=organisation_id,
            customer_id=customer.customer_id,
            generated_id=customer.generated_id,
            status=customer.status.value,
            definition=definition_text(customer),
            **written_at(now),
        )
    )


def find_customer(connection: Connection, organisation_id: str, customer_id: str) -> Stored[Customer] | None:
    """The customer with that id."""
    table = tables.customer
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.customer_id == customer_id)
    return find_one(connection, query, Customer)


def list_customers(
    connection: Connection, organisation_id: str, *, after: PagePosition | None, limit: int
) -> Page[Stored[Customer]]:
    """A page of the customers, those changed last first."""
    query = select(tables.customer).where(tables.customer.c.organisation_id == organisation_id)
    rows = find_page(connection, query, tables.customer, "customer_id", after=after, limit=limit)
    return Page(items=[stored(row, Customer) for row in rows.items], next=rows.next)


def generated_ids_of_customers(
    connection: Connection, organisation_id: str, customer_ids: Collection[str]
) -> dict[str, str]:
    """The ids that Tallybook gave those customers, by the ids that the caller gave them."""
    table = tables.customer
    found: dict[str, str] = {}
    for some in in_pieces(sorted(set(customer_ids))):
        query = select(table.c.customer_id, table.c.generated_id).where(
            table.c.organisation_id == organisation_id, table.c.customer_id.in_(some)
        )
        found.update((row[0], row[1]) for row in connection.execute(query))
    return found


class _PlanCycle(msgspec.Struct):
    """As much of a price plan as a schedule needs."""

    cycle: PricingCycle


_plan_cycle = msgspec.json.Decoder(_PlanCycle)


def add_account(connection: Connection, organisation_id: str, account: Account, *, now: datetime) -> None:
    """Add the account with its aliases. Raises `Conflict` when its id, or an alias at some time, is taken."""
    assert not account.schedules, "a new account has no price plan; set_schedules comes after"
    if _find_account_row(connection, organisation_id, account.account_id):
        raise Conflict(f"id: an account {account.account_id!r} exists already", code="ALREADY_EXISTS")
    connection.execute(
        insert(tables.account).values(
            organisation_id=organisation_id,
            account_id=account.account_id,
            generated_id=account.generated_id,
            customer_id=account.customer_id,
            status=account.status.value,
            definition=definition_text(msgspec.structs.replace(account, aliases=())),
            **written_at(now),
        )
    )
    for window in account.aliases:
        _add_alias(connection, organisation_id, account.account_id, window)
    # The aliases too: a cache may hold whom such a name meant until now.
    for name in (account.account_id, *sorted({window.alias for window in account.aliases})):
        note_change(connection, organisation_id, "account", name, now)


def account(connection: Connection, organisation_id: str, account_id: str) -> Account | None:
    """The account with that id, with its aliases and schedules."""
    row = _find_account_row(connection, organisation_id, account_id)
    return _accounts(connection, organisation_id, [row])[0] if row else None


def accounts_by_reference(
    connection: Connection, organisation_id: str, references: Collection[str]
) -> dict[str, list[Account]]:
    """The accounts each reference may mean: the one with that id, and those that have or had it as an alias."""
    alias = tables.account_alias
    ids_of: dict[str, set[str]] = {reference: {reference} for reference in references}
    for some in in_pieces(sorted(ids_of)):
        query = select(alias.c.alias, alias.c.account_id).where(
            alias.c.organisation_id == organisation_id, alias.c.alias.in_(some)
        )
        for row in connection.execute(query):
            ids_of[row.alias].add(row.account_id)
    accounts: dict[str, Account] = {}
    for some in in_pieces(sorted(set().union(*ids_of.values()))):
        query = select(tables.account).where(
            tables.account.c.organisation_id == organisation_id, tables.account.c.account_id.in_(some)
        )
        rows = connection.execute(query).mappings().all()
        accounts.update({found.account_id: found for found in _accounts(connection, organisation_id, rows)})
    named = {
        reference: [accounts[account_id] for account_id in sorted(ids) if account_id in accounts]
        for reference, ids in ids_of.items()
    }
    return {reference: found for reference, found in named.items() if found}


def accounts_with_schedules(
    connection: Connection, organisation_id: str, *, after: str | None, limit: int
) -> list[Account]:
    """Up to `limit` accounts that have or had a price plan, by id, those behind the id `after`."""
    table, schedule = tables.account, tables.pricing_schedule
    has_schedule = (
        select(schedule.c.account_id)
        .where(schedule.c.organisation_id == table.c.organisation_id, schedule.c.account_id == table.c.account_id)
        .exists()
    )
    query = select(table).where(table.c.organisation_id == organisation_id, has_schedule)
    if after is not None:
        query = query.where(table.c.account_id > after)
    rows = connection.execute(query.order_by(table.c.account_id).limit(limit)).mappings().all()
    return _accounts(connection, organisation_id, rows)


def customers_by_account(connection: Connection, organisation_id: str) -> dict[str, str]:
    """The customer id of each account id of the organisation."""
    table = tables.account
    query = select(table.c.account_id, table.c.customer_id).where(table.c.organisation_id == organisation_id)
    return {row.account_id: row.customer_id for row in connection.execute(query)}


def list_accounts(
    connection: Connection, organisation_id: str, *, after: PagePosition | None, limit: int
) -> Page[Account]:
    """A page of the accounts, those changed last first."""
    query = select(tables.account).where(tables.account.c.organisation_id == organisation_id)
    rows = find_page(connection, query, tables.account, "account_id", after=after, limit=limit)
    return Page(items=_accounts(connection, organisation_id, rows.items), next=rows.next)


def set_schedules(
    connection: Connection,
    organisation_id: str,
    account_id: str,
    schedules: Sequence[PricingSchedule],
    *,
    now: datetime,
) -> None:
    """Replace the schedules of an account, which must be there."""
    table = tables.pricing_schedule
    connection.execute(
        table.delete().where(table.c.organisation_id == organisation_id, table.c.account_id == account_id)
    )
    for schedule in schedules:
        connection.execute(
            insert(table).values(
                organisation_id=organisation_id,
                account_id=account_id,
                start_date=schedule.start_date.isoformat(),
                end_date=schedule.end_date.isoformat(),
                schedule_id=schedule.schedule_id,
                association_date=schedule.association_date.isoformat(),
                plan_id=schedule.plan_id,
                plan_version=schedule.plan_version,
                created_at=microseconds_since_1970(now),
            )
        )
    connection.execute(
        update(tables.account)
        .where(tables.account.c.organisation_id == organisation_id, tables.account.c.account_id == account_id)
        .values(updated_at=microseconds_since_1970(now))
    )
    note_change(connection, organisation_id, "account", account_id, now)


def invoiced_until(
    connection: Connection, organisation_id: str, account_id: str, *, start: date, end: date
) -> date | None:
    """The day before which the account has invoices that touch `[start, end)`; None when it has none there."""
    table = tables.invoice
    query = select(func.max(table.c.end_date)).where(
        table.c.organisation_id == organisation_id,
        table.c.account_id == account_id,
        table.c.start_date < end.isoformat(),
        table.c.end_date > start.isoformat(),
    )
    last = connection.scalar(query)
    return None if last is None else date.fromisoformat(last)


def _find_account_row(connection: Connection, organisation_id: str, account_id: str) -> RowMapping | None:
    table = tables.account
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.account_id == account_id)
    return connection.execute(query).mappings().first()


def _add_alias(connection: Connection, organisation_id: str, account_id: str, window: AliasWindow) -> None:
    table = tables.account_alias
    start, end = microseconds_since_1970(window.effective_from), microseconds_since_1970(window.effective_until)
    overlapping = select(table.c.account_id).where(
        table.c.organisation_id == organisation_id,
        table.c.alias == window.alias,
        table.c.effective_from < end,
        table.c.effective_until > start,
    )
    holder = connection.scalar(overlapping.limit(1))
    if holder is not None:
        raise Conflict(f"aliases: {window.alias!r} names account {holder!r} in that time already", code="ALIAS_TAKEN")
    connection.execute(
        insert(table).values(
            organisation_id=organisation_id,
            alias=window.alias,
            effective_from=start,
            effective_until=end,
            account_id=account_id,
        )
    )


def _accounts(connection: Connection, organisation_id: str, rows: Sequence[RowMapping]) -> list[Account]:
    """Make accounts of rows, with what other tables hold of them."""
    aliases: dict[str, list[AliasWindow]] = {}
    schedules: dict[str, list[PricingSchedule]] = {}
    for some in in_pieces([row["account_id"] for row in rows]):
        for account_id, window in _aliases_of(connection, organisation_id, some):
            aliases.setdefault(account_id, []).append(window)
        for account_id, schedule in _schedules_of(connection, organisation_id, some):
            schedules.setdefault(account_id, []).append(schedule)
    return [
        msgspec.structs.replace(
            read_definition(row["definition"], Account),
            status=AccountStatus(row["status"]),
            aliases=tuple(aliases.get(row["account_id"], ())),
            schedules=tuple(schedules.get(row["account_id"], ())),
        )
        for row in rows
    ]


def _aliases_of(
    connection: Connection, organisation_id: str, account_ids: Sequence[str]
) -> Iterator[tuple[str, AliasWindow]]:
    table = tables.account_alias
    query = (
        select(table)
        .where(table.c.organisation_id == organisation_id, table.c.account_id.in_(account_ids))
        .order_by(table.c.alias, table.c.effective_from)
    )
    for row in connection.execute(query):
        yield (
            row.account_id,
            AliasWindow(
                alias=row.alias,
                effective_from=instant_at(row.effective_from),
                effective_until=instant_at(row.effective_until),
            ),
        )


def _schedules_of(
    connection: Connection, organisation_id: str, account_ids: Sequence[str]
) -> Iterator[tuple[str, PricingSchedule]]:
    table, plan = tables.pricing_schedule, tables.price_plan
    same_plan = and_(
        plan.c.organisation_id == table.c.organisation_id,
        plan.c.plan_id == table.c.plan_id,
        plan.c.version == table.c.plan_version,
    )
    query = (
        select(table, plan.c.definition)
        .join(plan, same_plan)
        .where(table.c.organisation_id == organisation_id, table.c.account_id.in_(account_ids))
        .order_by(table.c.start_date)
    )
    for row in connection.execute(query):
        association_date = date.fromisoformat(row.association_date)
        yield (
            row.account_id,
            PricingSchedule(
                schedule_id=row.schedule_id,
                plan_id=row.plan_id,
                plan_version=row.plan_version,
                start_date=date.fromisoformat(row.start_date),
                end_date=date.fromisoformat(row.end_date),
                association_date=association_date,
                cycle=anchored(_plan_cycle.decode(row.definition).cycle, association_date),
            ),
        )
