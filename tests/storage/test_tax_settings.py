"""The rates of tax of accounts: the nearest setting counts, and other organisations' do not."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tallybook.core.setting import EntityType, Namespace, Setting, SettingPlace, SettingType, SettingValue
from tallybook.core.tax import TaxRate
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.settings import add_setting, tax_rates_of

NOW = datetime(2024, 3, 15, tzinfo=UTC)
CUSTOMERS = {"a1": "c1", "a2": "c1", "a3": "c2"}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    migrate(tmp_path / "tallybook.sqlite")
    return open_database(tmp_path / "tallybook.sqlite")


def put(
    database: Database, entity_type: EntityType, entity_id: str, text: str, *, organisation_id: str = "acme"
) -> None:
    place = SettingPlace(namespace=Namespace.TOGAI, setting_id="tax_rate", entity_type=entity_type, entity_id=entity_id)
    value = SettingValue(data_type=SettingType.STRING, text=text)
    with database.write() as connection:
        add_setting(connection, organisation_id, Setting(place=place, name="Tax", value=value), now=NOW)


def rates(database: Database, organisation_id: str = "acme") -> dict[str, list[tuple[str, Decimal]]]:
    with database.read() as connection:
        found = tax_rates_of(connection, organisation_id, CUSTOMERS)
    return {account_id: [(rate.name, rate.percent) for rate in some] for account_id, some in found.items()}


def test_without_settings_there_is_no_tax(database: Database) -> None:
    """Every account is there, with nothing."""
    assert rates(database) == {"a1": [], "a2": [], "a3": []}


def test_the_nearest_setting_counts(database: Database) -> None:
    """The account's own, else its customer's, else the organisation's; an exempt account stays exempt."""
    put(database, EntityType.ORGANIZATION, "acme", "VAT: 19")
    put(database, EntityType.CUSTOMER, "c1", "CGST: 9\nSGST: 9")
    put(database, EntityType.ACCOUNT, "a2", "0")
    assert rates(database) == {
        "a1": [("CGST", Decimal(9)), ("SGST", Decimal(9))],
        "a2": [],
        "a3": [("VAT", Decimal(19))],
    }
    assert rates(database, "umbrella") == {"a1": [], "a2": [], "a3": []}


def test_the_rates_of_many_accounts_are_read_at_once(database: Database) -> None:
    """1,200 accounts of as many customers, some with a rate of their own."""
    put(database, EntityType.ACCOUNT, "a700", "7")
    put(database, EntityType.CUSTOMER, "c900", "9")
    customers = {f"a{number}": f"c{number}" for number in range(1_200)}
    with database.read() as connection:
        found = tax_rates_of(connection, "acme", customers)
    assert len(found) == 1_200
    assert {account_id: some for account_id, some in found.items() if some} == {
        "a700": (TaxRate(name="Tax", percent=Decimal(7)),),
        "a900": (TaxRate(name="Tax", percent=Decimal(9)),),
    }
