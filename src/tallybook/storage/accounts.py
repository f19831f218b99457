"""What is billed, as stored: accounts with their aliases and pricing schedules, and the organisations they are in."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection, RowMapping, and_, func, insert, select, update

from tallybook.core.account import Account, AccountStatus, AliasWindow
from tallybook.core.errors import Conflict
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.invoice import InvoiceType, account_mark
from tallybook.core.period import PricingCycle, anchored
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule
from tallybook.storage import aliases, tables
from tallybook.storage.definition_rows import (
    definition_text,
    in_pieces,
    note_change,
    read_definition,
    written_at,
)
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, equals, sorted_text

ACCOUNTS_LISTED = ListedTable(
    filters={
        "account_id": equals(tables.account.c.account_id),
        "customer_id": equals(tables.account.c.customer_id),
        "status": equals(tables.account.c.status),
        "invoice_currency": equals(tables.account.c.currency),
    },
    sorts={
        "account_id": tables.account.c.account_id,
        "name": sorted_text(tables.account.c.name),
        "created_at": tables.account.c.created_at,
        "updated_at": tables.account.c.updated_at,
    },
    order=(SortKey("updated_at", descending=True), SortKey("account_id")),
    searched=(tables.account.c.account_id, tables.account.c.name),
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
            name=account.name,
            currency=account.currency,
            mark=account_mark(organisation_id, account.account_id),
            definition=definition_text(msgspec.structs.replace(account, aliases=())),
            **written_at(now),
        )
    )
    for window in account.aliases:
        aliases.add_window(connection, organisation_id, account.account_id, window, now=now)
    _note_names(connection, organisation_id, account.account_id, aliases.names_of(account.aliases), now)


def replace_account(connection: Connection, organisation_id: str, account: Account, *, now: datetime) -> None:
    """Write over the stored account, which must be there; its aliases and schedules stay as they are stored."""
    written = connection.execute(
        update(tables.account)
        .where(tables.account.c.organisation_id == organisation_id, tables.account.c.account_id == account.account_id)
        .values(
            status=account.status.value,
            name=account.name,
            currency=account.currency,
            definition=definition_text(msgspec.structs.replace(account, aliases=(), schedules=())),
            updated_at=microseconds_since_1970(now),
        )
    )
    assert written.rowcount == 1, "the account to write over is not there"
    note_change(connection, organisation_id, "account", account.account_id, now)


def note_changed_aliases(
    connection: Connection, organisation_id: str, account_id: str, changed: Collection[str], *, now: datetime
) -> None:
    """Say that these aliases of the account, which must be there, mean something else than before."""
    connection.execute(
        update(tables.account)
        .where(tables.account.c.organisation_id == organisation_id, tables.account.c.account_id == account_id)
        .values(updated_at=microseconds_since_1970(now))
    )
    _note_names(connection, organisation_id, account_id, changed, now)


def _note_names(
    connection: Connection, organisation_id: str, account_id: str, changed: Collection[str], now: datetime
) -> None:
    """Note a change of the account under its aliases too: a cache may hold whom such a name meant until now."""
    for name in (account_id, *changed):
        note_change(connection, organisation_id, "account", name, now)


def account(connection: Connection, organisation_id: str, account_id: str) -> Account | None:
    """The account with that id, with its aliases and schedules."""
    row = _find_account_row(connection, organisation_id, account_id)
    return _accounts(connection, organisation_id, [row])[0] if row else None


def account_by_mark(connection: Connection, organisation_id: str, mark: str) -> Account | None:
    """The account whose invoices have that mark in their ids."""
    table = tables.account
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.mark == mark)
    row = connection.execute(query).mappings().first()
    return _accounts(connection, organisation_id, [row])[0] if row else None


def accounts_with_ids(connection: Connection, organisation_id: str, account_ids: Sequence[str]) -> dict[str, Account]:
    """The accounts with those ids, by id; those that are not there are left out."""
    table = tables.account
    found: dict[str, Account] = {}
    for some in in_pieces(account_ids):
        query = select(table).where(table.c.organisation_id == organisation_id, table.c.account_id.in_(some))
        rows = connection.execute(query).mappings().all()
        found.update({each.account_id: each for each in _accounts(connection, organisation_id, rows)})
    return found


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


def accounts_of_customer(connection: Connection, organisation_id: str, customer_id: str) -> list[Account]:
    """The accounts of the customer, by id."""
    table = tables.account
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.customer_id == customer_id)
    return _accounts(
        connection, organisation_id, connection.execute(query.order_by(table.c.account_id)).mappings().all()
    )


def accounts_with_schedules(
    connection: Connection,
    organisation_id: str,
    *,
    after: str | None,
    limit: int,
    customer_id: str | None = None,
    plan_id: str | None = None,
) -> list[Account]:
    """Up to `limit` accounts that have or had a price plan, or that one, by id, those behind the id `after`."""
    table, schedule = tables.account, tables.pricing_schedule
    has_schedule = select(schedule.c.account_id).where(
        schedule.c.organisation_id == table.c.organisation_id, schedule.c.account_id == table.c.account_id
    )
    if plan_id is not None:
        has_schedule = has_schedule.where(schedule.c.plan_id == plan_id)
    query = select(table).where(table.c.organisation_id == organisation_id, has_schedule.exists())
    if customer_id is not None:
        query = query.where(table.c.customer_id == customer_id)
    if after is not None:
        query = query.where(table.c.account_id > after)
    rows = connection.execute(query.order_by(table.c.account_id).limit(limit)).mappings().all()
    return _accounts(connection, organisation_id, rows)


def customers_by_account(connection: Connection, organisation_id: str) -> dict[str, str]:
    """The customer id of each account id of the organisation."""
    table = tables.account
    query = select(table.c.account_id, table.c.customer_id).where(table.c.organisation_id == organisation_id)
    return {row.account_id: row.customer_id for row in connection.execute(query)}


def list_accounts(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[Account]:
    """A page of the accounts, normally those changed last first."""
    query = select(tables.account).where(tables.account.c.organisation_id == organisation_id)
    rows = ACCOUNTS_LISTED.page(connection, query, page)
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
                override=None if schedule.override is None else definition_text(schedule.override),
                created_at=microseconds_since_1970(now),
            )
        )
    connection.execute(
        update(tables.account)
        .where(tables.account.c.organisation_id == organisation_id, tables.account.c.account_id == account_id)
        .values(updated_at=microseconds_since_1970(now))
    )
    note_change(connection, organisation_id, "account", account_id, now)


def accounts_of_plan(
    connection: Connection, organisation_id: str, plan_id: str, *, billed_from: date, limit: int
) -> list[Account]:
    """Up to `limit` accounts that the plan bills on a day from `billed_from` on, in any version, by id."""
    table, schedule = tables.account, tables.pricing_schedule
    billed = (
        select(schedule.c.account_id)
        .where(
            schedule.c.organisation_id == organisation_id,
            schedule.c.plan_id == plan_id,
            schedule.c.end_date > billed_from.isoformat(),
        )
        .distinct()
    )
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.account_id.in_(billed))
    rows = connection.execute(query.order_by(table.c.account_id).limit(limit)).mappings().all()
    return _accounts(connection, organisation_id, rows)


def overrides_with_rules(connection: Connection, organisation_id: str) -> Iterator[tuple[str, PlanChanges, PricePlan]]:
    """The accounts whose schedules have pricing rules of their own: account id, what is different, and the plan."""
    table, plan = tables.pricing_schedule, tables.price_plan
    same_plan = and_(
        plan.c.organisation_id == table.c.organisation_id,
        plan.c.plan_id == table.c.plan_id,
        plan.c.version == table.c.plan_version,
    )
    query = (
        select(table.c.account_id, table.c.override, plan.c.definition)
        .join(plan, same_plan)
        .where(table.c.organisation_id == organisation_id, table.c.override.contains('"pricing_rules":[{'))
    )
    for account_id, override, definition in connection.execute(query):
        yield account_id, read_definition(override, PlanChanges), read_definition(definition, PricePlan)


def account_of_schedule(connection: Connection, organisation_id: str, schedule_id: str) -> Account | None:
    """The account that a schedule of that id bills."""
    schedule = tables.pricing_schedule
    query = select(schedule.c.account_id).where(
        schedule.c.organisation_id == organisation_id, schedule.c.schedule_id == schedule_id
    )
    account_id = connection.scalar(query.limit(1))
    return None if account_id is None else account(connection, organisation_id, account_id)


def account_ids_of_version(
    connection: Connection,
    organisation_id: str,
    plan_id: str,
    version: int,
    *,
    billed_from: date,
    after: str,
    limit: int,
) -> list[str]:
    """Up to `limit` ids behind `after`, in order, of accounts that the version bills on a day from `billed_from` on."""
    schedule = tables.pricing_schedule
    query = select(schedule.c.account_id).where(
        schedule.c.organisation_id == organisation_id,
        schedule.c.plan_id == plan_id,
        schedule.c.plan_version == version,
        schedule.c.end_date > billed_from.isoformat(),
        schedule.c.account_id > after,
    )
    return list(connection.scalars(query.distinct().order_by(schedule.c.account_id).limit(limit)))


def invoiced_until(
    connection: Connection, organisation_id: str, account_id: str, *, start: date, end: date
) -> date | None:
    """The day before which the account has invoices that touch `[start, end)`; None when it has none there."""
    table = tables.invoice
    query = select(func.max(table.c.end_date)).where(
        table.c.organisation_id == organisation_id,
        table.c.account_id == account_id,
        table.c.invoice_type == InvoiceType.STANDARD.value,
        table.c.start_date < end.isoformat(),
        table.c.end_date > start.isoformat(),
    )
    last = connection.scalar(query)
    return None if last is None else date.fromisoformat(last)


def _find_account_row(connection: Connection, organisation_id: str, account_id: str) -> RowMapping | None:
    table = tables.account
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.account_id == account_id)
    return connection.execute(query).mappings().first()


def _accounts(connection: Connection, organisation_id: str, rows: Sequence[RowMapping]) -> list[Account]:
    """Make accounts of rows, with what other tables hold of them."""
    windows: dict[str, list[AliasWindow]] = {}
    schedules: dict[str, list[PricingSchedule]] = {}
    for some in in_pieces([row["account_id"] for row in rows]):
        for account_id, window in aliases.windows_by_account(connection, organisation_id, some):
            windows.setdefault(account_id, []).append(window)
        for account_id, schedule in _schedules_of(connection, organisation_id, some):
            schedules.setdefault(account_id, []).append(schedule)
    return [
        msgspec.structs.replace(
            read_definition(row["definition"], Account),
            status=AccountStatus(row["status"]),
            aliases=tuple(windows.get(row["account_id"], ())),
            schedules=tuple(schedules.get(row["account_id"], ())),
        )
        for row in rows
    ]


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
        override = None if row.override is None else read_definition(row.override, PlanChanges)
        own_cycle = None if override is None else override.cycle
        yield (
            row.account_id,
            PricingSchedule(
                schedule_id=row.schedule_id,
                plan_id=row.plan_id,
                plan_version=row.plan_version,
                start_date=date.fromisoformat(row.start_date),
                end_date=date.fromisoformat(row.end_date),
                association_date=association_date,
                cycle=anchored(own_cycle or _plan_cycle.decode(row.definition).cycle, association_date),
                override=override,
            ),
        )
