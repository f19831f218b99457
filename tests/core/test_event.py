"""The check of a request body: what is accepted, what is refused, and what is said about it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from embedded import event

from tallybook.core.errors import Invalid, TooLarge
from tallybook.core.event import (
    ATTRIBUTES_MAX,
    DIMENSIONS_MAX,
    EVENTS_MAX,
    CheckedBody,
    Rejection,
    check_batch,
    check_single,
    decode_event,
    logged_parts,
    utc,
)

LONG = "x" * 1000


def single(changed: Any) -> bytes:
    return msgspec.json.encode({"event": changed})


def batch(*events: Any) -> bytes:
    return msgspec.json.encode({"events": events})


def refused(body: bytes) -> Rejection:
    """The one refusal of a body with one event, which must be the same alone and in a batch of one."""
    alone = check_single(body)
    assert (alone.event_count, alone.body, len(alone.rejections)) == (0, b"", 1)
    [refusal] = alone.rejections
    [in_batch] = check_batch(b'{"events":[' + body[len(b'{"event":') : -1] + b"]}").rejections
    assert in_batch.message.replace("events[0]", "event", 1) == refusal.message
    assert (in_batch.index, in_batch.id, in_batch.code) == (refusal.index, refusal.id, refusal.code)
    assert 1 <= len(refusal.message) <= 500
    return refusal


def values(checked: CheckedBody) -> list[str]:
    """The attribute values as logged."""
    parts = logged_parts(checked.body, checked.format)
    return [attribute.value for part in parts for attribute in decode_event(part).attributes]


def raw_value(token: str) -> bytes:
    """A body with exactly that JSON token as an attribute value."""
    return single(event()).replace(b'"12.5"', token.encode())


# ---- accepted ----------------------------------------------------------------------------------------------------


def test_sound_bodies_are_logged_as_they_came() -> None:
    """Byte for byte, spaces and order of keys included."""
    body = b'{ "event" : ' + msgspec.json.encode(event()) + b" }\n"
    checked = check_single(body)
    assert (checked.body, checked.event_count, checked.rejections) == (body, 1, ())
    body = batch(*(event(f"e{number}") for number in range(EVENTS_MAX)))
    checked = check_batch(body)
    assert (checked.body, checked.event_count, checked.rejections) == (body, EVENTS_MAX, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"event_id": None},
        {"attributes": []},
        {"dimensions": {}},
        {"createdAt": "2020-01-01T00:00:00Z"},
        {"createdAt": {"any": ["thing"]}},
        {"event_id": "x" * 512},
        {"schemaName": "x" * 50},
        {"accountId": "x" * 512},
        {"dimensions": {"n" * 50: "v" * 200}},
        {"dimensions": {f"d{number}": "v" for number in range(DIMENSIONS_MAX)}},
        {"attributes": [{"name": f"a{number}", "value": "1"} for number in range(ATTRIBUTES_MAX)]},
        {"attributes": [{"name": "n" * 50, "value": "1", "unit": "u" * 50}]},
        {"accountId": "Ünïcødé 🚲 \n\t"},
    ],
)
def test_everything_up_to_its_limit_is_accepted(changes: dict[str, Any]) -> None:
    """Optional parts may be absent, lists may be empty, texts may be as long as the interface says."""
    assert check_single(single(event(**changes))).event_count == 1
    assert check_batch(batch(event(**changes))).event_count == 1


@pytest.mark.parametrize(
    "text",
    ["0", "-0", "12.50", "-7", "007", "9" * 512, "0." + "1" * 512, "-" + "9" * 512 + "." + "9" * 512, "0.1", "1.000"],
)
def test_decimal_text_is_kept_to_the_last_digit(text: str) -> None:
    """Zeros, signs and all: nothing is normalised and nothing is rounded."""
    assert values(check_single(raw_value(f'"{text}"'))) == [text]


@pytest.mark.parametrize("token", ["0", "-3", "0.1", "12345678901234567890.12345678901234567890", "1.10", "9" * 512])
def test_json_numbers_are_taken_exactly(token: str) -> None:
    """The digits are read from the text: a number that no binary fraction holds stays what it was."""
    assert values(check_single(raw_value(token))) == [token]
    assert values(check_batch(raw_value(token).replace(b'{"event":', b'{"events":[')[:-1] + b"]}")) == [token]
    assert Decimal(token) == Decimal(values(check_single(raw_value(token)))[0])


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2022-06-15T07:30:35.123", datetime(2022, 6, 15, 7, 30, 35, 123000, tzinfo=UTC)),
        ("2022-06-15T07:30:35.123000+00:00", datetime(2022, 6, 15, 7, 30, 35, 123000, tzinfo=UTC)),
        ("2022-06-15T07:30:35Z", datetime(2022, 6, 15, 7, 30, 35, tzinfo=UTC)),
        ("2022-06-15T07:30:35+05:30", datetime(2022, 6, 15, 2, 0, 35, tzinfo=UTC)),
        ("2022-06-15T07:30:35-11:00", datetime(2022, 6, 15, 18, 30, 35, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9998-12-31T23:59:59Z", datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_timestamps_are_iso_8601_and_without_an_offset_utc(text: str, instant: datetime) -> None:
    """An offset is honoured."""
    [part] = logged_parts(check_single(single(event(timestamp=text))).body, 1)
    assert utc(decode_event(part).timestamp) == instant


# ---- refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        *(
            '"5."',
            '".5"',
            '"+5"',
            '" 5"',
            '"5 "',
            '"5\\n"',
            '"\\n5"',
            '"5\\n6"',
            '""',
            '"-"',
            '"1e3"',
            '"1E3"',
            '"0x1"',
        ),
        *('"NaN"', '"Infinity"', '"-Infinity"', '"1_000"', '"1,5"', '"1.2.3"', '"٥"', '"５"', '"5\\u0000"', '"--5"'),
        *("1e3", "1E3", "1.5e-3", "-1e3", "true", "null", "[]", "{}", '["5"]'),
    ],
)
def test_what_is_not_a_decimal_is_refused_at_its_place(token: str) -> None:
    """Exponents, not-a-numbers, half decimals, spaces, line breaks, other scripts' digits, other types."""
    refusal = refused(raw_value(token))
    assert refusal.code == "INVALID_REQUEST"
    assert refusal.id == "e1"
    assert refusal.message.startswith(("event.attributes[0].value: ", "event: the character U+0000"))


@pytest.mark.parametrize("token", ["NaN", "Infinity", "5.", "05x", ".5", "+5", "--5", "'5'", "5,6"])
def test_tokens_that_are_not_json_are_refused(token: str) -> None:
    """The body as a whole is not JSON then."""
    for check, body in (
        (check_single, raw_value(token)),
        (check_batch, b'{"events":[' + raw_value(token)[9:-1] + b"]}"),
    ):
        with pytest.raises(Invalid) as raised:
            check(body)
        assert raised.value.code == "MALFORMED_JSON"


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"schemaName": None}, "event: "),
        ({"accountId": None}, "event: "),
        ({"timestamp": None}, "event: "),
        ({"attributes": None}, "event: "),
        ({"dimensions": None}, "event: "),
        ({"surprise": 1}, "event: "),
        ({"schemaName": 7}, "event.schemaName: "),
        ({"schemaName": ""}, "event.schemaName: "),
        ({"event_id": ""}, "event.id: "),
        ({"event_id": 7}, "event.id: "),
        ({"accountId": ""}, "event.accountId: "),
        ({"accountId": ["a1"]}, "event.accountId: "),
        ({"attributes": {}}, "event.attributes: "),
        ({"attributes": [1]}, "event.attributes[0]: "),
        ({"attributes": [{"name": "a", "value": "1"}, {"name": "b"}]}, "event.attributes[1]: "),
        ({"attributes": [{"name": "", "value": "1"}]}, "event.attributes[0].name: "),
        ({"attributes": [{"name": "a", "value": "1", "unit": ""}]}, "event.attributes[0].unit: "),
        ({"attributes": [{"name": "a", "value": "1", "kind": "x"}]}, "event.attributes[0]: "),
        ({"attributes": [{"name": "a", "value": "1"}, {"name": "a", "value": "1"}]}, "event.attributes[1].name: 'a'"),
        ({"dimensions": []}, "event.dimensions: "),
        ({"dimensions": {"city": 5}}, "event.dimensions[...]: "),
        ({"dimensions": {"city": ""}}, "event.dimensions[...]: "),
        ({"timestamp": "yesterday"}, "event.timestamp: "),
        ({"timestamp": 1_700_000_000}, "event.timestamp: "),
        ({"timestamp": "2022-13-01T00:00:00Z"}, "event.timestamp: "),
        ({"timestamp": "2022-02-30T00:00:00Z"}, "event.timestamp: "),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "event.timestamp: "),
        ({"timestamp": "9999-01-01T00:00:00Z"}, "event.timestamp: "),
        ({"timestamp": "2022-06-15T07:30:35Z\n"}, "event.timestamp: "),
        ({"accountId": "a\0b"}, "event: the character U+0000"),
    ],
)
def test_refusal_names_the_place(changes: dict[str, Any], place: str) -> None:
    """Missing, unknown, empty and mistyped fields, and bad times: a message that starts with where it is."""
    refusal = refused(single(event(**changes)))
    assert refusal.message.startswith(place)
    assert refusal.code == "INVALID_REQUEST"
    assert not refusal.is_size


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaName": "x" * 51},
        {"event_id": "x" * 513},
        {"accountId": "x" * 513},
        {"attributes": [{"name": f"a{number}", "value": "1"} for number in range(ATTRIBUTES_MAX + 1)]},
        {"attributes": [{"name": "n" * 51, "value": "1"}]},
        {"attributes": [{"name": "n", "value": "1", "unit": "u" * 51}]},
        {"attributes": [{"name": "n", "value": "1" * 513}]},
        {"attributes": [{"name": "n", "value": "0." + "1" * 513}]},
        {"dimensions": {f"d{number}": "v" for number in range(DIMENSIONS_MAX + 1)}},
        {"dimensions": {"n" * 51: "v"}},
        {"dimensions": {"n": "v" * 201}},
    ],
)
def test_too_long_and_too_many_is_a_matter_of_size(changes: dict[str, Any]) -> None:
    """One over the limit; such refusals become 422."""
    refusal = refused(single(event(**changes)))
    assert refusal.is_size
    assert refusal.code == "TOO_LARGE"


@pytest.mark.parametrize("check", [check_single, check_batch])
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"null", b"7", b'"text"', b"[]", b"{}", b"{", b'{"event":', b'{"event":{}} x', b'{"events":7}'),
        *(b'{"event":{},"more":1}', b'{"events":[],"more":1}', b"\xff", b'{"event":"\xff"}', b"\xef\xbb\xbf{}"),
        b"[" * 100_000,
        b'{"event":' + b'{"a":' * 10_000,
        b'{"events":' + b"[" * 10_000,
    ],
)
def test_what_is_not_a_body_with_events_is_invalid(check: Any, body: bytes) -> None:
    """However it is broken, cut off or nested: one clear message, or a refusal of the one part that is there."""
    message = ""
    try:
        message = check(body).rejections[0].message
    except Invalid as error:
        message = error.message
    assert 1 <= len(message) <= 500


def test_a_batch_has_one_to_a_thousand_events() -> None:
    """An empty one is invalid, a longer one too large."""
    with pytest.raises(Invalid, match="1 to 1000"):
        check_batch(batch())
    with pytest.raises(TooLarge):
        check_batch(batch(*(event(f"e{number}") for number in range(EVENTS_MAX + 1))))


def test_a_name_that_stands_twice_is_found_among_events_that_fit_together_otherwise() -> None:
    """One after the other the names of these three are a, b, a, b, a, b; the second event alone has one twice."""
    attributes = [[{"name": name, "value": "1"} for name in names] for names in ("ab", "aba", "b")]
    checked = check_batch(batch(*(event(f"e{number}", attributes=each) for number, each in enumerate(attributes))))
    assert checked.event_count == 2
    [refusal] = checked.rejections
    assert (refusal.index, refusal.id) == (1, "e1")
    assert refusal.message.startswith("events[1].attributes[2].name: 'a'")


def test_a_bad_event_does_not_keep_the_others_out() -> None:
    """The accepted ones are logged in their order, the refused ones named by index and id."""
    bad, worse = event("bad", timestamp="never"), {"id": "worse"}
    checked = check_batch(batch(event("e0"), bad, event("e1", attributes=[{"name": "a", "value": 0.1}]), worse, 7))
    assert checked.event_count == 2
    assert [decode_event(part).id for part in logged_parts(checked.body, checked.format)] == ["e0", "e1"]
    assert values(checked) == ["12.5", "0.1"]
    assert [(refusal.index, refusal.id) for refusal in checked.rejections] == [(1, "bad"), (3, "worse"), (4, None)]
    assert [refusal.message.split(":")[0] for refusal in checked.rejections] == [
        *("events[1].timestamp", "events[3]", "events[4]")
    ]


def test_an_unknown_field_is_not_a_matter_of_size_whatever_its_name() -> None:
    """The sender's own words in the message do not decide its code."""
    assert refused(single(event(**{"of length <= 5": 1}))).code == "INVALID_REQUEST"
    assert refused(single(event(**{"x" * 300: 1}))).code == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": [{"name": "a", "value": "1"}, {"name": "a", "value": "1"}]},
        {"attributes": [{"name": "a", "value": "1e3"}]},
        {"attributes": [{"name": "a", "value": "1\n2"}]},
        {"timestamp": "1969-12-31T23:59:59Z"},
        {"accountId": "a\0b"},
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_event_is_found_in_any_company(changes: dict[str, Any], place: int) -> None:
    """What the types do not say is checked for all events at once, and holds for each."""
    events = [event("e0"), event("e1", attributes=[])]
    events.insert(place, event("bad", **changes))
    checked = check_batch(batch(*events))
    assert (checked.event_count, [refusal.index for refusal in checked.rejections]) == (2, [place])


def test_what_is_ignored_must_be_text_too() -> None:
    """The body is kept as it came, so bytes that are no text would reach every later reader."""
    body = single(event(createdAt="here")).replace(b"here", b"\xf1")
    assert refused(body).code == "MALFORMED_JSON"
    good = single(event(createdAt="é🚲"))
    assert check_single(good).body == good
