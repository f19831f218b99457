"""Settings: where they are, what may be in them, and what an organisation chooses by them."""

from typing import Any

import pytest

from tallybook.core.errors import Conflict, Invalid, TooLarge
from tallybook.core.setting import (
    EntityType,
    ExpressionDialect,
    Namespace,
    OrganisationChoices,
    Profile,
    Setting,
    SettingKey,
    SettingPlace,
    SettingType,
    SettingValue,
    check_room_for_setting,
    check_setting,
    json_value,
    organisation_choices,
    place_from_text,
    setting_key,
)

USER, TOGAI = Namespace.USER, Namespace.TOGAI


def place(setting_id: str = "threshold", **changes: Any) -> SettingPlace:
    given = {"namespace": USER, "entity_type": EntityType.ORGANIZATION, "entity_id": "acme", **changes}
    return SettingPlace(setting_id=setting_id, **given)


def setting(
    text: str, data_type: SettingType = SettingType.STRING, *, at: SettingPlace | None = None, name: str = "Name"
) -> Setting:
    return Setting(place=at or place(), name=name, value=SettingValue(data_type=data_type, text=text))


def choice(setting_id: str, text: str, **changes: Any) -> Setting:
    return setting(text, at=place(setting_id, namespace=TOGAI, **changes))


def test_place_is_written_as_the_interface_has_it():
    """`setting.<NAMESPACE>.<id>.<ENTITY_TYPE>.<entityId>`, as in its own example, and back."""
    text = "setting.USER.success_threshold.ACCOUNT.G234DZZKBKACATFFGVGEMERFI"
    found = place_from_text(text)
    assert found == SettingPlace(
        namespace=USER,
        setting_id="success_threshold",
        entity_type=EntityType.ACCOUNT,
        entity_id="G234DZZKBKACATFFGVGEMERFI",
    )
    assert str(found) == text


def test_ids_of_entities_may_have_dots_and_namespaces_any_case():
    """Ids of meters have dots, and the interface's examples write namespaces both ways."""
    found = place_from_text("setting.user.x.USAGE_METER.um.1zYnCiM9Bpg.lv25y")
    assert found == place("x", entity_type=EntityType.USAGE_METER, entity_id="um.1zYnCiM9Bpg.lv25y")


@pytest.mark.parametrize(
    "text",
    ["", "setting", "setting.USER.x.ACCOUNT", "x.USER.x.ACCOUNT.a", "setting.MINE.x.ACCOUNT.a", "setting.USER.x.BOX.a"],
)
def test_other_texts_are_no_place(text: str):
    """Each names what is wrong with it."""
    with pytest.raises(Invalid):
        place_from_text(text)


def test_account_comes_before_customer_and_customer_before_organisation():
    """What a rule reads is looked for from the nearest to the farthest."""
    entities = {"organisation_id": "acme", "customer_id": "c1", "account_id": "a1"}
    assert [str(each) for each in setting_key("setting.user.rate", "key").places(**entities)] == [
        "setting.USER.rate.ACCOUNT.a1",
        "setting.USER.rate.CUSTOMER.c1",
        "setting.USER.rate.ORGANIZATION.acme",
    ]
    certain = setting_key("setting.USER.rate.PRICE_PLAN.pp.1.2", "key")
    assert certain == SettingKey(
        namespace=USER,
        setting_id="rate",
        place=place("rate", entity_type=EntityType.PRICE_PLAN, entity_id="pp.1.2"),
    )
    assert [str(each) for each in certain.places(**entities)] == ["setting.USER.rate.PRICE_PLAN.pp.1.2"]


@pytest.mark.parametrize(
    ("text", "data_type"),
    [
        ("INR", SettingType.STRING),
        ("-1.50", SettingType.NUMERIC),
        ('{"a":[1,null,"x"]}', SettingType.JSON),
        ("null", SettingType.JSON),
        ('{"var":"x"}', SettingType.JSON_LOGIC),
    ],
)
def test_sound_values_are_accepted(text: str, data_type: SettingType):
    """Each type has its texts."""
    check_setting(setting(text, data_type))


@pytest.mark.parametrize(
    ("text", "data_type", "start"),
    [
        ("", SettingType.STRING, "value: 1 to 10000 characters"),
        ("  ", SettingType.JSON_LOGIC, "value: 1 to 10000 characters"),
        ("\ud800", SettingType.STRING, "value: half of a surrogate pair"),
        ('"\\ud800"', SettingType.JSON, "value: half of a surrogate pair"),
        ("1e3", SettingType.NUMERIC, "value: '1e3' is not a number"),
        ("NaN", SettingType.NUMERIC, "value: 'NaN' is not a number"),
        ("\u0661", SettingType.NUMERIC, "value: '\u0661' is not a number"),
        ("9" * 513, SettingType.NUMERIC, "value: '999"),
        ("{", SettingType.JSON, "value: not JSON"),
        ("[NaN]", SettingType.JSON, "value: not JSON: NaN is no number"),
        ("[1e999999999]", SettingType.JSON, "value: not JSON: the number 1e999999999 is out of bounds"),
        ("[1e-600]", SettingType.JSON, "value: not JSON: the number 1e-600 is out of bounds"),
    ],
)
def test_value_must_be_of_its_type(text: str, data_type: SettingType, start: str):
    """A number in digits, JSON with exact numbers, and never nothing."""
    with pytest.raises(Invalid) as caught:
        check_setting(setting(text, data_type))
    assert caught.value.message.startswith(start)


@pytest.mark.parametrize(
    ("text", "data_type"),
    [
        ("x" * 10_001, SettingType.STRING),
        ("[" * 33 + "]" * 33, SettingType.JSON),
        ('{"a":' * 33 + "1" + "}" * 33, SettingType.JSON),
        ("[" * 5_000 + "]" * 5_000, SettingType.JSON),
    ],
)
def test_values_are_bounded(text: str, data_type: SettingType):
    """10,000 characters, nested 32 deep; the deepest that is allowed is accepted."""
    with pytest.raises(TooLarge):
        check_setting(setting(text, data_type))
    check_setting(setting("[" * 32 + "]" * 32, SettingType.JSON))


@pytest.mark.parametrize("setting_id", ["", "a.b", "a b", "x" * 51, "\u00e9"])
def test_id_has_no_dots(setting_id: str):
    """Otherwise its place could not be read back."""
    with pytest.raises(Invalid, match=r"^id: "):
        check_setting(setting("x", at=place(setting_id)))


@pytest.mark.parametrize("name", ["", " ", "x" * 256])
def test_name_is_bounded(name: str):
    """Not blank, and at most 255 characters."""
    with pytest.raises(Invalid, match=r"^name: "):
        check_setting(setting("x", name=name))


def test_numbers_in_json_are_exact():
    """A digit that binary numbers cannot hold stays."""
    assert str(json_value("[0.1000000000000000055, 12345678901234567890]")) == (
        "[Decimal('0.1000000000000000055'), Decimal('12345678901234567890')]"
    )


def test_entity_has_room_for_a_thousand_settings():
    """They are read by people."""
    check_room_for_setting(999)
    with pytest.raises(Conflict):
        check_room_for_setting(1_000)


# ---- what the organisation chooses -----------------------------------------------------------------------------


def test_without_a_choice_the_defaults_hold():
    """Exact rules, the newer generation, a day for events that came too early, and none for those too late."""
    expected = OrganisationChoices(
        expression_dialect=ExpressionDialect.EXACT,
        profile=Profile.TOGAI_2024_12,
        reprocess_within_hours=24,
        late_usage_days=0,
        auto_advance=True,
    )
    assert organisation_choices([]) == organisation_choices([setting("togai", at=place("profile"))]) == expected


@pytest.mark.parametrize(("text", "hours"), [("0", 0), ("48", 48), ("87600", 87_600), ("ever", None)])
def test_choices_are_read(text: str, hours: int | None):
    """By their ids in the namespace TOGAI."""
    chosen = [
        choice("expression_dialect", "togai"),
        choice("profile", "togai-2023-05"),
        choice("reprocess_within", text),
        choice("late_usage_days", "3650"),
        choice("invoice_auto_advance", "off"),
    ]
    for each in chosen:
        check_setting(each)
    assert organisation_choices(chosen) == OrganisationChoices(
        expression_dialect=ExpressionDialect.TOGAI,
        profile=Profile.TOGAI_2023_05,
        reprocess_within_hours=hours,
        late_usage_days=3_650,
        auto_advance=False,
    )


@pytest.mark.parametrize(
    ("wrong", "start"),
    [
        (choice("colour", "red"), "id: no setting 'colour' in the namespace TOGAI"),
        (choice("profile", "togai-2025"), "value: profile is togai-2024-12 or togai-2023-05; found 'togai-2025'"),
        (choice("expression_dialect", "EXACT"), "value: expression_dialect is exact or togai"),
        (choice("reprocess_within", "-1"), "value: reprocess_within is hours"),
        (choice("reprocess_within", "87601"), "value: reprocess_within is hours"),
        (choice("reprocess_within", "1.5"), "value: reprocess_within is hours"),
        (choice("late_usage_days", "3651"), "value: late_usage_days is days from 0 (none) to 3650; found '3651'"),
        (choice("late_usage_days", "ever"), "value: late_usage_days is days"),
        (choice("invoice_auto_advance", "false"), "value: invoice_auto_advance is on or off"),
        (choice("profile", "togai-2023-05", entity_type=EntityType.ACCOUNT), "entityType: profile is a setting of"),
        (setting('"exact"', SettingType.JSON, at=place("profile", namespace=TOGAI)), "dataType: profile is a STRING"),
    ],
)
def test_other_choices_are_refused(wrong: Setting, start: str):
    """A setting that Tallybook does not act on would be a promise that nobody keeps."""
    with pytest.raises(Invalid) as caught:
        check_setting(wrong)
    assert caught.value.message.startswith(start)
