"""Settings, where HTTP adds nothing: what happens between the check of a new dialect and its write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tallybook.core.aggregation import Aggregation
from tallybook.core.errors import Busy
from tallybook.core.event_schema import AttributeDefinition, EventSchema, SchemaStatus
from tallybook.core.setting import EntityType, Namespace, Setting, SettingPlace, SettingType, SettingValue
from tallybook.core.usage_meter import Computation, MeterStatus, UsageMeter
from tallybook.flows import define_meters, define_schemas, define_settings
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database, migrate, open_database

NOW = datetime(2024, 5, 1, tzinfo=UTC)


class Interrupted(Database):
    """A database on which something else happens right before the first write."""

    def __init__(self, database: Database, meanwhile: Callable[[], None]) -> None:
        super().__init__(database.engine)
        self._meanwhile: Callable[[], None] | None = meanwhile

    @contextmanager
    def write(self) -> Iterator[Connection]:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        with super().write() as connection:
            yield connection


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


def dialect(value: str, organisation_id: str = "acme") -> Setting:
    return Setting(
        place=SettingPlace(
            namespace=Namespace.TOGAI,
            setting_id="expression_dialect",
            entity_type=EntityType.ORGANIZATION,
            entity_id=organisation_id,
        ),
        name="Dialect",
        value=SettingValue(data_type=SettingType.STRING, text=value),
    )


def define_meter(database: Database, organisation_id: str) -> None:
    """A meter with a rule that only Togai's engine takes: `-` of three operands."""
    schema = EventSchema(
        name="rides",
        version=1,
        status=SchemaStatus.DRAFT,
        attributes=(AttributeDefinition(name="distance"),),
        dimensions=(),
    )
    meter = UsageMeter(
        meter_id="um.1",
        version=1,
        name="kilometres",
        status=MeterStatus.DRAFT,
        aggregation=Aggregation.SUM,
        schema_name="rides",
        computations=(Computation(computation='{"-":[{"var":"attributes.distance"},3,2]}'),),
    )
    define_schemas.create_event_schema(database, organisation_id, schema, now=NOW)
    define_meters.create_usage_meter(database, organisation_id, meter, now=NOW)


def test_rule_saved_while_the_dialect_changes_stops_the_change(database: Database) -> None:
    """All rules are checked without a lock; one that came after the check would never have been looked at."""
    define_settings.create_setting(database, "acme", dialect("togai"), now=NOW)
    interrupted = Interrupted(database, lambda: define_meter(database, "acme"))
    with pytest.raises(Busy, match="rules or settings changed while they were checked"):
        define_settings.update_setting(
            interrupted, "acme", dialect("exact").place, name=None, data_type=None, text="exact", now=NOW
        )
    assert Catalog(database).choices("acme").expression_dialect == "togai"


def test_rules_of_others_do_not_stop_a_change(database: Database) -> None:
    """Another organisation may save whatever it likes meanwhile."""
    define_settings.create_setting(database, "umbrella", dialect("togai", "umbrella"), now=NOW)
    interrupted = Interrupted(database, lambda: define_meter(database, "umbrella"))
    define_settings.create_setting(interrupted, "acme", dialect("togai"), now=NOW)
    assert Catalog(database).choices("acme").expression_dialect == "togai"
