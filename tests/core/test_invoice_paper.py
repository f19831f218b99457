"""What stands on the paper: the rows with and without their working, the sums, the dates, harmless texts."""

from decimal import Decimal

import msgspec
import pytest
from composite_samples import DAY, GROUP, ISSUED_AT, due
from paper_samples import billed, draft, draft_of, issued, to, two_slabs, used
from price_plan_samples import VOLUME, SlabSample, bounds, fixed_fee, price_plan, usage_card
from pricing_rule_samples import rule, var

from tallybook.core.composite_invoice import composite_of
from tallybook.core.errors import TooLarge
from tallybook.core.invoice import Invoice, InvoiceStatus, finalised
from tallybook.core.invoice_paper import InvoicePaper, PaperRow, invoice_paper, printed
from tallybook.core.invoice_text import invoice_text
from tallybook.core.letterhead import Letterhead

ACME = Letterhead(lines=("Acme",))


def paper(invoice: Invoice, *, working: bool = False) -> InvoicePaper:
    return invoice_paper(invoice, ACME, working=working)


def cells(rows: tuple[PaperRow, ...]) -> list[tuple[str, str, str, str]]:
    return [(row.description, row.quantity, row.rate, row.amount) for row in rows]


def facts(invoice: Invoice) -> dict[str, str]:
    return {fact.label: fact.value for fact in paper(invoice).facts}


def test_slabs_are_left_out_unless_asked_for():
    """A card with several rates has its quantity and amount alone; 100 × 2 + 50 × 1 = 250."""
    assert cells(paper(two_slabs()).rows) == [("Compute hours", "150", "", "250.00")]
    assert paper(two_slabs()).usage == ()


def test_slabs_stand_below_their_card_where_asked_for():
    """Each with what its amount is made of, and the usage with the number of events."""
    shown = paper(two_slabs(), working=True)
    assert cells(shown.rows) == [
        ("Compute hours", "150", "", "250.00"),
        ("Up to 100", "100", "2.00", "200.00"),
        ("Over 100", "50", "1.00", "50.00"),
    ]
    assert cells(shown.usage) == [("hours", "150", "", "3 events")]


def test_what_a_rule_changed_is_explained():
    """Half of 150 units for nothing: the slabs stand there without being asked for, beside what the rule did."""
    half = rule({"/": [var("usage.urc.um.1"), 2]}, target="usage.urc.um.1", name="Half price")
    thanks = rule(-7, name="Thank you", rule_id="pp_rule.2")
    plan = price_plan(usage_card(SlabSample("0", "2"), display_name="Compute hours"), fixed_fee("10"))
    plan = msgspec.structs.replace(plan, pricing_rules=(half, thanks))
    assert cells(paper(issued(draft_of(plan, usage=[used("hours", "150")]))).rows) == [
        ("Compute hours", "75", "", "150.00"),
        ("All", "75", "2.00", "150.00"),
        ("Half price", "-75", "", "0.00"),
        ("fee.add_on.1", "1", "10.00", "10.00"),
        ("By pricing rules", "", "", "-7.00"),
        ("Thank you", "", "", "-7.00"),
    ]


def test_one_rate_stands_on_the_card():
    """Quantity × rate = amount on one row: 12,000 × 0.008 = 96; 3 packages × 25 = 75."""
    rows = paper(
        issued(
            draft(
                usage_card(
                    SlabSample("0", "0.01"), SlabSample("10000", "0.008"), model=VOLUME, display_name="Messages"
                ),
                usage_card(SlabSample("0", "25", package="1000"), meter_id="um.2", display_name="Traffic"),
                usage=[used("m", "12000"), used("t", "2345", meter_id="um.2")],
            )
        )
    ).rows
    assert cells(rows) == [
        ("Messages", "12,000", "0.008", "96.00"),
        ("Traffic, 2,345 in packages of 1,000", "3", "25.00", "75.00"),
    ]


def test_a_rate_that_does_not_explain_the_amount_is_left_out():
    """40 × 0.01 is 0.40, raised to 5.00: the row must not say that 40 × 0.01 is 5.00."""
    card = usage_card(SlabSample("0", "0.01", minimum="5"), display_name="Emails")
    assert cells(paper(issued(draft(card, usage=[used("e", "40")]))).rows) == [("Emails", "40", "", "5.00")]


def test_a_card_with_a_maximum_says_so_in_its_working():
    """900 × 0.10 = 90, at most 75."""
    card = usage_card(SlabSample("0", "0.1"), card_bounds=bounds(maximum="75"), display_name="Texts")
    assert cells(paper(issued(draft(card, usage=[used("t", "900")])), working=True).rows) == [
        ("Texts", "900", "", "75.00"),
        ("All", "900", "0.10", "90.00"),
        ("Maximum amount", "", "", "-15.00"),
    ]


def test_cards_of_a_tag_stand_below_it():
    """With or without the working: 1 × 5 + 2 × 10 = 25."""
    invoice = issued(
        draft(
            usage_card(SlabSample("0", "5"), tag="Messaging", display_name="Emails"),
            usage_card(SlabSample("0", "10"), tag="Messaging", meter_id="um.2", display_name="Texts"),
            usage=[used("e", "1"), used("t", "2", meter_id="um.2")],
        )
    )
    assert [(row.depth, *cells((row,))[0]) for row in paper(invoice).rows] == [
        (0, "Messaging", "", "", "25.00"),
        (1, "Emails", "1", "5.00", "5.00"),
        (1, "Texts", "2", "10.00", "20.00"),
    ]


def test_sums_add_up_below_the_table():
    """250 used of 500 committed: the true-up is the difference, and the total what is committed."""
    plan = price_plan(usage_card(SlabSample("0", "2")), commitment="500")
    assert cells(paper(issued(draft_of(plan, [used("u", "125")]))).sums) == [
        ("Usage", "", "", "250.00"),
        ("True-up: Minimum commitment", "", "", "250.00"),
        ("Total USD", "", "", "500.00"),
    ]


def test_a_single_sum_stands_once():
    """No subtotal that says what the total says."""
    assert cells(paper(two_slabs()).sums) == [("Total USD", "", "", "250.00")]


def test_the_period_is_told_by_its_first_and_last_day():
    """The cycle [1 March, 1 April) ends on 31 March; two days of grace, thirty to pay."""
    assert facts(two_slabs()) == {
        "Invoice number": two_slabs().invoice_id,
        "Invoice date": "3 April 2024",
        "Period": "1 March 2024 to 31 March 2024",
        "Payment terms": "30 days",
        "Due date": "3 May 2024",
        "Account": "ACC-17",
        "Plan": "Growth",
    }


def test_who_is_billed_where():
    """The account's name first, its customer's, the address as on an envelope, no empty lines."""
    assert paper(two_slabs()).recipient == (
        "A Sample Customer, Lisbon",
        "A Sample Group",
        "Rua Augusta 1",
        "1100-053 Lisboa",
        "PT",
        "bills@example.com",
    )


def test_a_draft_says_that_it_is_one():
    """With the instant it was computed at, and nothing due."""
    shown = paper(draft(usage_card(SlabSample("0", "2")), usage=[used("u", "3")]))
    assert shown.mark == "DRAFT"
    assert shown.verdict == ("Amount so far", "USD 6.00", "This is a draft; nothing is due yet.")
    assert {fact.label: fact.value for fact in shown.facts}["Draft as of"] == "08:30 UTC, 20 March 2024"


def test_a_void_invoice_is_marked():
    """So that nobody pays it."""
    shown = paper(msgspec.structs.replace(two_slabs(), status=InvoiceStatus.VOID))
    assert shown.mark == "VOID"
    assert shown.verdict[2] == "This invoice is void; nothing is due."


def test_what_is_left_to_pay_stands_on_the_paper():
    """250 less 100 that are paid is 150; a wallet may have paid them before the customer sees the invoice."""
    status = InvoiceStatus.PARTIALLY_PAID
    shown = paper(msgspec.structs.replace(two_slabs(), status=status, paid_amount=Decimal(100)))
    assert shown.verdict == ("Amount due", "USD 150.00", paper(two_slabs()).verdict[2])
    assert [(fact.label, fact.value) for fact in shown.payments] == [("Paid", "100.00"), ("To be paid", "150.00")]
    assert shown.sums == paper(two_slabs()).sums
    assert paper(two_slabs()).payments == ()


def test_what_is_paid_is_not_asked_for_again():
    """Paid, and given back afterwards."""
    paid = msgspec.structs.replace(two_slabs(), status=InvoiceStatus.PAID, paid_amount=Decimal(250))
    assert paper(paid).verdict == ("Amount", "USD 250.00", "Paid; nothing is left to pay.")
    refunded = msgspec.structs.replace(two_slabs(), status=InvoiceStatus.REFUND_COMPLETED)
    assert paper(refunded).verdict == ("Amount", "USD 250.00", "This invoice is refunded; nothing is due.")


def test_a_merged_invoice_says_which_one_is_to_be_paid():
    """Else it would be paid twice."""
    merged = msgspec.structs.replace(two_slabs(), status=InvoiceStatus.MERGED, merged_into="inv.x.y")
    assert paper(merged).verdict == ("Amount", "USD 250.00", "It is part of inv.x.y; pay that invoice.")
    assert "Due date" not in facts(merged)
    assert "Merged into inv.x.y" in invoice_text(merged)


def test_money_back_is_in_the_customers_favour():
    """-12 × 2.50 = -30: nothing to pay, and no due date."""
    invoice = issued(draft(usage_card(SlabSample("0", "2.5")), usage=[used("Items", "-12")]))
    assert paper(invoice).verdict == ("In your favour", "USD 30.00", "Nothing is to be paid.")
    assert cells(paper(invoice).sums) == [("Total USD", "", "", "-30.00")]
    assert "Due date" not in facts(invoice)


@pytest.mark.parametrize(
    ("currency", "amount", "rate"), [("JPY", "617", "0.5"), ("USD", "617.00", "0.50"), ("KWD", "617.000", "0.500")]
)
def test_amounts_have_the_digits_of_their_currency(currency: str, amount: str, rate: str):
    """1,234 × 0.5 = 617, with none, two or three digits after the point."""
    card = usage_card(SlabSample("0", "0.5"), currencies=(currency,), display_name="Requests")
    shown = paper(issued(draft(card, usage=[used("r", "1234")], currency=currency)))
    assert cells(shown.rows) == [("Requests", "1,234", rate, amount)]
    assert shown.verdict[1] == f"{currency} {amount}"


def test_cut_amounts_are_explained():
    """3 × 0.115 = 0.345 is printed as 0.34, which a reader would call wrong; 0.34 × 1 needs no word."""
    cut = issued(draft(usage_card(SlabSample("0", "0.115")), usage=[used("u", "3")]))
    assert cells(paper(cut).sums) == [("Total USD", "", "", "0.34")]
    assert len(paper(cut).notes) == 1
    assert paper(two_slabs()).notes == ()


def test_no_digit_of_a_large_amount_is_lost():
    """More digits than the arithmetic of the language keeps by itself: 28."""
    digits = "123456789" * 10
    shown = paper(issued(draft(usage_card(SlabSample("0", "1")), usage=[used("u", digits)])))
    assert shown.verdict[1].replace("\u200b", "").replace(",", "") == f"USD {digits}.00"
    assert shown.sums[0].amount.replace("\u200b", "").replace(",", "") == f"{digits}.00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo\tthree\r\n", "one two three"),
        ("a\0b\x1b[31mc", "a b [31mc"),
        ("\u202eevil\u202c \u2067x\u2069", "evil x"),
        ("line\u2028paragraph\u2029end", "line paragraph end"),
        ("half \ud800", "half"),
        ("مكالمات", "مكالمات"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_texts_stay_in_their_place(text: str, expected: str):
    """No character ends the line, reverses what follows, or cannot be written; joiners that letters need stay."""
    assert printed(text) == expected


def test_long_words_can_be_broken():
    """A name without spaces must not run off the page, and accents stay with their letters."""
    assert printed("W" * 50).replace("\u200b", "") == "W" * 50
    assert max(map(len, printed("W" * 50).split("\u200b"))) <= 28
    assert not any(part.startswith("\u0301") for part in printed("e\u0301" * 30).split("\u200b"))


def test_fees_stand_with_their_rate():
    """A fee is charged once: 1 × 90."""
    shown = paper(issued(draft(fixed_fee("90", display_name="Platform"))))
    assert cells(shown.rows) == [("Platform", "1", "90.00", "90.00")]
    assert Decimal(shown.sums[-1].amount) == 90


def test_two_parts_have_their_headings():
    """What is charged in advance stands apart from what is charged for the cycle."""
    invoice = issued(
        draft(
            usage_card(SlabSample("0", "2"), display_name="Calls"),
            fixed_fee("49", advance=True, display_name="Console"),
            usage=[used("c", "10")],
        )
    )
    descriptions = [row.description for row in paper(invoice).rows]
    assert descriptions == ["In advance", "Console, 1 March 2024 to 31 March 2024", "Usage", "Calls"]
    assert [row.amount for row in paper(invoice).sums] == ["49.00", "20.00", "69.00"]


def test_a_book_is_not_printed():
    """5,050 lines with the working are refused, the 50 without it are printed."""
    slabs = [SlabSample(str(start), "1") for start in range(100)]
    cards = [usage_card(*slabs, meter_id=f"um.{n}", display_name=f"Card {n}") for n in range(50)]
    invoice = issued(draft(*cards, usage=[used(f"{n}", "200", meter_id=f"um.{n}") for n in range(50)]))
    assert len(paper(invoice).rows) == 50
    with pytest.raises(TooLarge, match="working: this invoice has 5050 lines"):
        paper(invoice, working=True)


def test_one_name_is_not_said_twice():
    """An account that is called like its customer."""
    account = msgspec.structs.replace(billed(), customer_name=billed().account_name)
    assert paper(to(two_slabs(), account)).recipient[1] == "Rua Augusta 1"


def test_composite_shows_each_member_with_its_sum():
    """The members' lines below their names, their totals above the grand one: 10.25 + 2.50 = 12.75."""
    made = composite_of(
        GROUP, [due("A", "10.25"), due("B", "2.5")], organisation_id="org", day=DAY, computed_at=ISSUED_AT
    )
    composite = finalised(made, issued_at=ISSUED_AT)
    shown = paper(composite)
    first, second = (f"Account {name}, 1 January 2024 to 31 January 2024" for name in "AB")
    assert cells(shown.rows) == [
        (first, "", "", ""),
        ("Requests", "", "", "10.25"),
        (second, "", "", ""),
        ("Requests", "", "", "2.50"),
    ]
    assert cells(shown.sums) == [
        (first, "", "", "10.25"),
        (second, "", "", "2.50"),
        ("Total USD", "", "", "12.75"),
    ]
    assert shown.recipient[:2] == ("The whole house", "Customer CUS")
    assert {"Invoice group": "inv_group.1", "Invoices merged": "2"}.items() <= facts(composite).items()
    assert {"Account", "Plan", "Period"}.isdisjoint(facts(composite))
