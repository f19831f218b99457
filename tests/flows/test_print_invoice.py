"""Printed invoices, as somebody reads them: the text of the pages, in any script, whatever names are like."""

import importlib.metadata
import io
import subprocess
import sys
from decimal import Decimal
from threading import Event, Thread

import msgspec
import pypdf
import pytest
from composite_samples import DAY, GROUP, ISSUED_AT, due
from paper_samples import billed, draft, issued, logo, to, two_slabs, used
from price_plan_samples import SlabSample, usage_card

from tallybook import telemetry
from tallybook.core.composite_invoice import composite_of
from tallybook.core.errors import Busy
from tallybook.core.invoice import Invoice, InvoiceStatus, finalised
from tallybook.core.invoice_paper import invoice_paper
from tallybook.core.letterhead import Letterhead, logo_png
from tallybook.flows.print_invoice import WAITING_MAX, Press

ACME = Letterhead(
    lines=("Acme Metering Ltd", "1 High Street, London"), footer=("Pay to IBAN 1",), logo=logo_png(logo())
)
HOSTILE = '#panic("x") $x^2$ [*b*] `raw` \\ "quoted" <b> &amp; #import "/etc/passwd": * // = {{x}} %s \\u{41} \'); @ref'


@pytest.fixture(scope="module")
def press() -> Press:
    return Press()


def printed(press: Press, invoice: Invoice, *, working: bool = False) -> bytes:
    return press.pdf(invoice_paper(invoice, ACME, working=working), ACME.logo, dated=invoice.computed_at)


def pages(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]


def words(pdf: bytes) -> str:
    """All text, without the breaks of lines and of long words."""
    return " ".join(" ".join(pages(pdf)).replace("\u200b", "").split())


def many_lines(cards: int = 50) -> Invoice:
    return issued(
        draft(
            *(
                usage_card(
                    SlabSample("0", "2"), SlabSample("10", "1"), meter_id=f"um.{n}", display_name=f"Calls of region {n}"
                )
                for n in range(cards)
            ),
            usage=[used(f"region {n}", "25", meter_id=f"um.{n}") for n in range(cards)],
        )
    )


def lacking_letters() -> float:
    return next(iter(telemetry.invoices_lacking_letters.collect())).samples[0].value


def test_a_short_invoice_is_one_page(press: Press):
    """With everything that a bookkeeper looks for."""
    (page,) = pages(printed(press, two_slabs()))
    for text in (
        "Acme Metering Ltd",
        "1 High Street, London",
        "A Sample Customer, Lisbon",
        "1100-053 Lisboa",
        two_slabs().invoice_id,
        "1 March 2024 to 31 March 2024",
        "3 May 2024",
        "USD 250.00",
        "Compute hours",
        "Total USD",
        "Pay to IBAN 1",
        "Page 1 of 1",
    ):
        assert text in page
    assert "Up to 100" not in page


def test_slabs_are_printed_where_asked_for(press: Press):
    """100 × 2.00 = 200.00 and 50 × 1.00 = 50.00."""
    text = words(printed(press, two_slabs(), working=True))
    assert "Up to 100 100 2.00 200.00" in text
    assert "Over 100 50 1.00 50.00" in text
    assert "hours 150 3 events" in text


def test_a_long_invoice_has_numbered_pages(press: Press):
    """Each page says whose invoice it is, which page of how many, and what the columns are."""
    found = pages(printed(press, many_lines(), working=True))
    assert len(found) > 2
    for number, page in enumerate(found, start=1):
        assert f"Page {number} of {len(found)}" in page
        assert many_lines().invoice_id in page
        assert "Pay to IBAN 1" in page
    assert "Amount USD" in found[1]
    assert "Total USD" in "".join(found[1:])


def test_a_draft_is_marked_on_each_page(press: Press):
    """Nobody shall take a page of it for an invoice."""
    draft_of_many = msgspec.structs.replace(many_lines(), status=draft().status, issued_at=None)
    found = pages(printed(press, draft_of_many, working=True))
    assert len(found) > 2
    assert all("DRAFT" in page for page in found)
    assert not any("DRAFT" in page for page in pages(printed(press, two_slabs())))


def test_the_same_invoice_makes_the_same_bytes(press: Press):
    """Again, by another press, and in another process."""
    once = printed(press, two_slabs())
    assert printed(press, two_slabs(), working=True) != once
    assert printed(press, two_slabs()) == printed(Press(), two_slabs()) == once
    program = (
        "import sys; from paper_samples import two_slabs; from test_print_invoice import Press, printed; "
        "sys.stdout.buffer.write(printed(Press(), two_slabs()))"
    )
    again = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=True
    )
    assert again.stdout == once


def test_the_file_is_dated_by_the_invoice_and_can_be_archived(press: Press):
    """Not by the clock; and it says that it is PDF/A."""
    reader = pypdf.PdfReader(io.BytesIO(printed(press, two_slabs())))
    assert reader.metadata is not None
    assert reader.metadata.creation_date_raw == "D:20240403000000Z"
    assert reader.metadata.title == f"Invoice {two_slabs().invoice_id}"
    assert b"pdfaid:part" in reader.trailer["/Root"]["/Metadata"].get_data()


def test_sums_of_many_accounts_go_on_to_the_next_page(press: Press):
    """A composite of 100 invoices: each is there twice, above with its lines and below with its sum, then the total."""
    members = [due(f"A{number}", "10.25") for number in range(100)]
    made = composite_of(GROUP, members, organisation_id="org", day=DAY, computed_at=ISSUED_AT)
    text = words(printed(press, finalised(made, issued_at=ISSUED_AT)))
    assert text.count("1 January 2024 to 31 January 2024") == 200
    assert "Total USD 1,025.00" in text


def test_what_is_left_to_pay_stands_below_the_total(press: Press):
    """250 of which 100 are paid."""
    changes = {"status": InvoiceStatus.PARTIALLY_PAID, "paid_amount": Decimal(100)}
    text = words(printed(press, msgspec.structs.replace(two_slabs(), **changes)))
    assert "Total USD 250.00 Paid 100.00 To be paid 150.00" in text


def test_text_is_never_code(press: Press):
    """What means something to the typesetter stands on the paper as it was written."""
    account = msgspec.structs.replace(billed(name=HOSTILE), account_id=HOSTILE[:50], email=HOSTILE)
    invoice = issued(
        draft(
            usage_card(SlabSample("0", "2"), tag=HOSTILE, display_name=HOSTILE),
            usage=[used(HOSTILE, "3")],
            name=HOSTILE,
        )
    )
    paper = invoice_paper(to(invoice, account), Letterhead(lines=(HOSTILE, HOSTILE), footer=(HOSTILE,)), working=True)
    text = words(press.pdf(paper, None, dated=invoice.computed_at))
    # The account, its email, the plan, a tag, a card, a meter, two lines of the head, the foot. Lines break anywhere.
    assert text.replace(" ", "").count('#import"/etc/passwd":*//={{x}}') == 9


def test_texts_cannot_reach_beyond_their_place(press: Press):
    """Marks that turn the direction of writing, ends of lines and control characters leave the figures alone."""
    name = "\u202eevil\u2067\n\n\n\0\x0c= Heading\u2029" + "W" * 200
    card = usage_card(SlabSample("0", "2"), display_name=name)
    text = words(printed(press, issued(draft(card, usage=[used("u", "21")]))))
    assert "evil = Heading" in text
    assert "21 2.00 42.00" in text


def test_absurd_numbers_are_printed_whole(press: Press):
    """Hundreds of digits, broken over lines, and none of them lost."""
    digits = "123456789" * 20
    invoice = issued(draft(usage_card(SlabSample("0", "1")), usage=[used("u", digits)]))
    assert f"{digits}.00" in words(printed(press, invoice)).replace(" ", "").replace(",", "")


@pytest.mark.parametrize(
    "name",
    ["Ελληνική Εταιρεία", "ООО «Пример»", "Société Générale d’Été", "Łódź Żółć Ünïcödé", "Türkiye Şirketi"],
)
def test_names_in_european_scripts_are_printed_everywhere(press: Press, name: str):
    """The typesetter's own fonts have Latin, Greek and Cyrillic, so these need nothing on the machine."""
    before = lacking_letters()
    assert name in words(printed(press, to(two_slabs(), billed(name=name))))
    assert lacking_letters() == before


@pytest.mark.parametrize(
    ("name", "fonts"),
    [
        ("شركة الاختبار", ("DejaVu Sans", "Noto Sans Arabic", "Noto Naskh Arabic", "Amiri")),
        ("株式会社サンプル", ("Droid Sans Fallback", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei")),
        ("中文公司", ("Droid Sans Fallback", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei")),
    ],
)
def test_names_in_other_scripts_are_printed_where_a_font_has_them(press: Press, name: str, fonts: tuple[str, ...]):
    """Arabic, Japanese and Chinese, with fonts of the machine."""
    typst = pytest.importorskip("typst")
    if not set(fonts) & set(typst.Fonts().families()):
        pytest.skip(f"none of the fonts {', '.join(fonts)} is installed here")
    before = lacking_letters()
    printed(press, to(two_slabs(), billed(name=name)))
    assert lacking_letters() == before


def test_letters_that_no_font_has_are_counted(press: Press):
    """The invoice is printed all the same, and the operator can see that a font is missing."""
    before = lacking_letters()
    nobodys = "\U000f1234"  # for private use: no font should have it
    assert "USD 250.00" in words(printed(press, to(two_slabs(), billed(name=f"Name {nobodys}"))))
    assert lacking_letters() == before + 1


def test_few_may_wait(press: Press):
    """Printing must not take all threads of a process; whoever comes then is asked to come again."""
    paper = invoice_paper(many_lines(), ACME, working=True)
    go = Event()

    def wait_and_print() -> None:
        go.wait()
        press.pdf(paper, None, dated=two_slabs().computed_at)

    press._one_at_a_time.acquire()
    threads = [Thread(target=wait_and_print) for _ in range(WAITING_MAX)]
    try:
        for thread in threads:
            thread.start()
        go.set()
        while press._places._value:  # until each of them waits
            pass
        with pytest.raises(Busy) as caught:
            printed(press, two_slabs())
        assert caught.value.code == "PRINTING_BUSY"
    finally:
        press._one_at_a_time.release()
        for thread in threads:
            thread.join()
    assert printed(press, two_slabs())


def test_the_typesetter_is_loaded_where_something_is_printed():
    """Not by importing what may print: the other processes start without it."""
    program = "import sys, tallybook.assembly, tallybook.api.application; sys.exit('typst' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert importlib.metadata.version("typst")
