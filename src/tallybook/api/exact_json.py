"""JSON bodies in and out, exactly: numbers are decimals, unknown fields are errors, and errors say where.

The framework's own decoding would make binary floats of numbers and let `"1"` pass for 1.
"""

from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.dto import AbstractDTO
from litestar.response.base import ASGIResponse
from litestar.serialization import get_serializer
from litestar.typing import FieldDefinition

from tallybook.api.generations import as_spoken, question_of, taken
from tallybook.core.decimals import DECIMAL_TEXT
from tallybook.core.errors import Invalid

T = TypeVar("T")

UNSUPPORTED_CODE = "UNSUPPORTED"
_AS_SENT = msgspec.json.Decoder(float_hook=Decimal)
_NUL = b"\\u0000"  # raw control characters are no JSON, so only the escape can bring one in


def decode_exactly(body: bytes, kind: type[T]) -> T:
    """Decode a JSON body. Raises `Invalid`, naming the path: `attributes[1].name: …`."""
    if _NUL in body:
        raise Invalid("the character U+0000 (\\u0000) is not allowed")
    try:
        decoded = msgspec.json.decode(body, type=kind)
        _check_decimals(decoded, _AS_SENT.decode(body), "")
    except msgspec.ValidationError as error:
        raise Invalid(located(error)) from None
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not valid UTF-8 at byte {error.start}", code="MALFORMED_JSON") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply", code="MALFORMED_JSON") from None
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is not JSON: {error}", code="MALFORMED_JSON") from None
    return decoded


def _check_decimals(decoded: object, sent: object, place: str) -> None:
    """Refuse texts that spell a decimal in Python and nowhere else, such as "1_0", "NaN" and " 1"; numbers are fine.

    `decoded` and `sent` are the same JSON, with and without its types. Raises `Invalid`.
    """
    match decoded, sent:
        case Decimal(), str():
            if not DECIMAL_TEXT.fullmatch(sent):
                raise Invalid(f"{place}: {sent[:60]!r} is not decimal text such as 12.50")
        case msgspec.Struct(), dict():
            for field in msgspec.structs.fields(decoded):
                if field.encode_name in sent:
                    inner = f"{place}.{field.encode_name}" if place else field.encode_name
                    _check_decimals(getattr(decoded, field.name), sent[field.encode_name], inner)
        case dict(), dict():
            for name, value in decoded.items():
                if name in sent:  # else the name is no text, and what it was sent as is not known
                    _check_decimals(value, sent[name], f"{place}.{name}")
        case list() | tuple(), list():
            for index, (value, value_sent) in enumerate(zip(decoded, sent, strict=True)):
                _check_decimals(value, value_sent, f"{place}[{index}]")
        case _:
            pass


def located(error: msgspec.ValidationError) -> str:
    """Turn msgspec's `… - at `$.a[0].b`` into `a[0].b: …`."""
    text, _, path = str(error).partition(" - at `$")
    where = path.rstrip("`").lstrip(".")
    return f"{where}: {text}" if where else text


def refuse_unsupported(shape: msgspec.Struct, *names: str) -> None:
    """Refuse what the interface knows and Tallybook does not do yet, unless it is empty. Raises `Invalid`.

    `names` are attributes of `shape`.
    """
    wire_names = {field.name: field.encode_name for field in msgspec.structs.fields(shape)}
    for name in names:
        if not _asks_for_nothing(getattr(shape, name)):
            raise Invalid(f"{wire_names[name]}: not supported; leave it out", code=UNSUPPORTED_CODE)


def _asks_for_nothing(value: object) -> bool:
    """Say whether it is absent, false or empty; some clients send the empty lists of an object that they do not use."""
    return not value or (isinstance(value, dict) and not any(value.values()))


_FRAMEWORKS_OWN = get_serializer()


class ExactResponse(Response[Any]):
    """Answers with decimals as JSON numbers, to the last digit, in the shapes of the request's generation."""

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **options: Any) -> ASGIResponse:
        self.content = as_spoken(request, self.content)
        return super().to_asgi_response(app, request, **options)

    def render(self, content: Any, media_type: str, enc_hook: Any = _FRAMEWORKS_OWN) -> bytes:
        if isinstance(content, bytes | str):
            return super().render(content, media_type, enc_hook)
        return msgspec.json.Encoder(decimal_format="number", enc_hook=enc_hook).encode(content)


class ExactBody(AbstractDTO[msgspec.Struct]):
    """How the framework decodes the `data` of a handler: as `decode_exactly` does, into the handler's own type."""

    model_type = msgspec.Struct

    def decode_bytes(self, value: bytes) -> Any:
        kind = taken(self.asgi_connection.route_handler)
        question = question_of(self.asgi_connection, kind)
        if question is None:
            return decode_exactly(value, kind)
        return question.meant(decode_exactly(value, question.shape))

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """Nothing to prepare: the types of the wire are the types of the handlers."""

    @classmethod
    def create_openapi_schema(cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any) -> Any:
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        raise AssertionError("fields are never copied")

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False
