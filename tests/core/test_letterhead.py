"""The organisation's paper: its lines, and a logo that can hold nothing but an image."""

import base64
import zlib

import pytest
from paper_samples import SIGNATURE, chunk, header, logo, pixels, png

from tallybook.core.errors import Invalid
from tallybook.core.letterhead import footer_lines, letterhead_lines, logo_png
from tallybook.core.setting import (
    EntityType,
    Namespace,
    Setting,
    SettingPlace,
    SettingType,
    SettingValue,
    check_setting,
    letterhead,
)


def choice(setting_id: str, text: str) -> Setting:
    place = SettingPlace(
        namespace=Namespace.TOGAI, setting_id=setting_id, entity_type=EntityType.ORGANIZATION, entity_id="acme"
    )
    return Setting(place=place, name="Name", value=SettingValue(data_type=SettingType.STRING, text=text))


def test_without_a_choice_the_paper_has_the_name():
    """An organisation that has chosen nothing is still named."""
    assert letterhead([], name="Acme").lines == ("Acme",)


def test_what_is_chosen_stands_on_the_paper():
    """The lines, the foot and the logo, each by its setting."""
    chosen = [
        choice("invoice_letterhead", "Acme Ltd\n\n 1 High Street \nVAT 1"),
        choice("invoice_footer", "Pay within 30 days."),
        choice("invoice_logo", logo()),
    ]
    for each in chosen:
        check_setting(each)
    paper = letterhead(chosen, name="acme")
    assert paper.lines == ("Acme Ltd", "1 High Street", "VAT 1")
    assert paper.footer == ("Pay within 30 days.",)
    assert paper.logo == base64.b64decode(logo())


@pytest.mark.parametrize(
    ("setting_id", "text"),
    [
        ("invoice_letterhead", "\n".join("123456789")),
        ("invoice_letterhead", "x" * 101),
        ("invoice_footer", "1\n2\n3\n4\n5"),
        ("invoice_logo", "not base64!"),
        ("invoice_logo", base64.b64encode(b"<svg/>").decode()),
    ],
)
def test_what_does_not_fit_the_paper_is_refused(setting_id: str, text: str):
    """8 lines of 100 characters at the head, 4 at the foot, and no other image than PNG."""
    with pytest.raises(Invalid, match=f"value: {setting_id} is "):
        check_setting(choice(setting_id, text))


def test_eight_lines_fit():
    """The limits are what is allowed."""
    assert len(letterhead_lines("\n".join("12345678"))) == 8
    assert footer_lines("\n".join(["x" * 100] * 4)) == ("x" * 100,) * 4


@pytest.mark.parametrize(
    "image",
    [
        png(header(colours=0), pixels(channels=1)),
        png(header(colours=6), pixels(channels=4)),
        png(header(colours=3), chunk(b"PLTE", b"\xff\0\0" * 97), pixels(channels=1)),
        png(header(bits=1, colours=3), chunk(b"PLTE", b"\0\0\0\xff\xff\xff"), pixels(width=1, channels=1)),
        png(header(1000, 1000), pixels(1000, 1000)),
        f"data:image/png;base64,{logo()}",
    ],
)
def test_usual_images_are_taken(image: str):
    """Grey, colour, with transparency, with a palette, up to 1,000 × 1,000, and as a data address."""
    assert logo_png(image).startswith(SIGNATURE)


def test_what_an_image_says_beside_its_pixels_is_left_out():
    """Comments, colour profiles and the like never reach the decoder."""
    noted = png(
        header(), chunk(b"tEXt", b"Comment\0secret"), chunk(b"iCCP", b"x"), pixels(), chunk(b"tIME", b"1234567")
    )
    assert logo_png(noted) == base64.b64decode(logo())


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(png(header(1001, 1), pixels(1001, 1)), id="too wide"),
        pytest.param(png(header(0, 2), pixels(0, 2)), id="no width"),
        pytest.param(png(header(bits=16), pixels()), id="16 bits"),
        pytest.param(png(header(interlaced=1), pixels()), id="interlaced"),
        pytest.param(png(header(), pixels(height=3)), id="more pixels than announced"),
        pytest.param(png(header(), pixels(height=1)), id="fewer pixels"),
        pytest.param(png(header(), chunk(b"IDAT", zlib.compress(bytes(10_000_000)))), id="a bomb"),
        pytest.param(png(header(), chunk(b"IDAT", b"no zlib")), id="not compressed"),
        pytest.param(png(header(), chunk(b"IDAT", zlib.compress(b"\x05" + bytes(25)))), id="no such filter"),
        pytest.param(png(pixels(), header()), id="pixels first"),
        pytest.param(png(header(), header(), pixels()), id="two headers"),
        pytest.param(png(header()), id="no pixels"),
        pytest.param(png(header(), chunk(b"ABCD"), pixels()), id="unknown and needed"),
        pytest.param(png(header(colours=3), pixels(channels=1)), id="palette missing"),
        pytest.param(png(header(colours=3), chunk(b"PLTE", b"1234"), pixels(channels=1)), id="palette cut"),
        pytest.param(png(header(), chunk(b"tRNS", b"1"), pixels()), id="transparency cut"),
        pytest.param(base64.b64encode(base64.b64decode(logo())[:-4]).decode(), id="cut off"),
        pytest.param(base64.b64encode(base64.b64decode(logo()) + b"GIF89a").decode(), id="something behind"),
        pytest.param(logo().replace("IEND", "IENE")[:-8] + "AAAAAAAA", id="wrong checksum"),
        pytest.param("iVBORw0KGgo=", id="signature alone"),
    ],
)
def test_other_images_are_refused(image: str):
    """What the typesetter's decoder might stumble over, or blow up on, is found before."""
    with pytest.raises(ValueError, match=r"\w"):
        logo_png(image)
