"""Invoices as files: with a key, by links without one, and never another organisation's."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pypdf
import pytest
from api_caller import Caller
from billing_samples import add_catalogue, use
from litestar import Litestar
from litestar.testing import TestClient
from paper_samples import logo
from togai_client.models.invoice_summary import InvoiceSummary

from tallybook.api.application import create_application
from tallybook.api.handling import Dependencies
from tallybook.config import Settings, read_settings
from tallybook.core.credential import Scope
from tallybook.core.errors import Invalid
from tallybook.core.invoice_file import DownloadLink, file_id_of, sealed
from tallybook.flows.authenticate import Authenticator
from tallybook.flows.bill import Billing
from tallybook.storage.database import Database, migrate, open_database

FEBRUARY = datetime(2024, 2, 10, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
    use(opened, "A", "2024-01-20", "150.5")  # 100 × 2 + 50.5 × 1 = 250.5
    Billing(opened).close_due_cycles(as_of=FEBRUARY, metered_through=FEBRUARY)
    yield opened
    opened.close()


@pytest.fixture
def authenticator(database: Database) -> Authenticator:
    return Authenticator(database)


def application(database: Database, authenticator: Authenticator, **settings: Any) -> Litestar:
    dependencies = Dependencies(
        settings=Settings(**settings),
        database=database,
        authenticator=authenticator,
        events=None,  # type: ignore[arg-type]  # no route here reads events
    )
    return create_application(dependencies)


@pytest.fixture
def client(database: Database, authenticator: Authenticator) -> Iterator[Caller]:
    with TestClient(application(database, authenticator)) as opened:
        yield Caller(opened, authenticator, "org", Scope.ADMIN)


def invoices(client: Caller, status: str = "DUE") -> list[Any]:
    found: list[Any] = client.send("GET", "/invoices", 200, params={"owner_id": "A", "status": status})["data"]
    return found


@pytest.fixture
def invoice(client: Caller) -> Any:
    return invoices(client)[0]


@pytest.fixture
def file_id(invoice: Any) -> str:
    return file_id_of(invoice["id"])


def raw(client: Caller, path: str, *, key: bool = True, **parameters: Any) -> Any:
    headers = {"Authorization": f"Bearer {client.key}"} if key else {}
    return client.client.get(path, params=parameters, headers=headers, follow_redirects=False)


def by_link(client: Caller, url: str) -> Any:
    """What somebody gets who has nothing but the link."""
    parts = urlsplit(url)
    return client.client.get(f"{parts.path}?{parts.query}")


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/pdf"
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(answer.content)).pages)


def test_an_invoice_is_read_as_pdf(client: Caller, invoice: Any) -> None:
    """150.5 hours for 250.50, headed by the organisation's name, named like the invoice."""
    answer = raw(client, f"/invoices/{invoice['id']}/pdf")
    text = text_of(answer)
    assert "Org" in text
    assert "USD 250.50" in text
    assert "Over 100" not in text
    assert answer.headers["Content-Disposition"] == f'inline; filename="{invoice["id"]}.pdf"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_working_is_printed_on_request(client: Caller, invoice: Any) -> None:
    """With each slab."""
    assert "Over 100" in text_of(raw(client, f"/invoices/{invoice['id']}/pdf", working="true"))
    assert client.get(f"/invoices/{invoice['id']}/pdf", 400, working="perhaps")["message"].startswith("working: ")
    assert "known: working" in client.get(f"/invoices/{invoice['id']}/pdf", 400, slabs="true")["message"]


def test_a_draft_is_read_as_pdf_and_has_no_file(client: Caller) -> None:
    """It is marked, and no link leads to it: it would show something else tomorrow."""
    draft = invoices(client, "DRAFT")[0]
    assert "DRAFT" in text_of(raw(client, f"/invoices/{draft['id']}/pdf"))
    assert "pdfUrl" not in draft
    assert client.get(f"/files/{file_id_of(draft['id'])}", 404)["code"] == "NOT_FOUND"
    assert client.get(f"/files/{file_id_of(draft['id'])}/download_url", 404)["code"] == "NOT_FOUND"


def test_an_invoice_has_a_link_to_its_file(client: Caller, invoice: Any) -> None:
    """In lists and by itself; whoever has it needs no key, and gets the same bytes as with one."""
    url = client.get(f"/invoices/{invoice['id']}")["pdfUrl"]
    assert invoice["pdfUrl"].startswith("http://testserver.local/files/file.")
    answer = by_link(client, url)
    assert "USD 250.50" in text_of(answer)
    assert answer.content == raw(client, f"/invoices/{invoice['id']}/pdf").content
    assert InvoiceSummary.from_dict(invoice).pdf_url == invoice["pdfUrl"]


def test_the_older_generation_has_no_links(client: Caller, invoice: Any) -> None:
    """Its invoices have no such field, and its clients refuse fields that they do not know."""
    older = {"X-Tallybook-Profile": "togai-2023-05"}
    assert "pdfUrl" not in client.send("GET", f"/invoices/{invoice['id']}", 200, headers=older)


def test_a_file_leads_to_its_content(client: Caller, file_id: str) -> None:
    """302 with an address that needs no key, as the interface has it."""
    answer = raw(client, f"/files/{file_id}")
    assert answer.status_code == 302
    assert not answer.content
    assert "USD 250.50" in text_of(by_link(client, answer.headers["Location"]))


def test_a_download_url_lives_as_long_as_asked(client: Caller, file_id: str) -> None:
    """An hour without `expiry`; what is named in it is in seconds."""
    url = client.get(f"/files/{file_id}/download_url", expiry=300)["downloadUrl"]
    assert "USD 250.50" in text_of(by_link(client, url))
    assert list(client.get(f"/files/{file_id}/download_url")) == ["downloadUrl"]
    for wrong in (0, -1, 604_801, "x", "1.5"):
        assert client.get(f"/files/{file_id}/download_url", 400, expiry=wrong)["message"].startswith("expiry: ")


def test_an_expired_link_opens_nothing(client: Caller, authenticator: Authenticator, file_id: str) -> None:
    """It says that it has expired, and to whom to turn."""
    link = DownloadLink(organisation_id="org", expires=int(datetime.now(UTC).timestamp()) - 1)
    token = sealed(link, file_id=file_id, secret=authenticator.signing_secret())
    answer = raw(client, f"/files/{file_id}/content", key=False, token=token)
    assert (answer.status_code, answer.json()["code"]) == (403, "LINK_EXPIRED")


def test_a_forged_link_opens_nothing(client: Caller, invoice: Any, file_id: str) -> None:
    """Changed, made with another secret, for another file, or missing; a key in its place does not help."""
    (token,) = parse_qs(urlsplit(invoice["pdfUrl"]).query)["token"]
    other = file_id[:-1] + ("A" if file_id[-1] != "A" else "B")
    forged = sealed(DownloadLink(organisation_id="org", expires=4_000_000_000), file_id=file_id, secret=b"mine")
    for path, given in (
        (f"/files/{file_id}/content", token[:-1] + ("A" if token[-1] != "A" else "B")),
        (f"/files/{file_id}/content", forged),
        (f"/files/{other}/content", token),
        (f"/files/{file_id}/content", client.key),
    ):
        answer = raw(client, path, token=given)
        assert (answer.status_code, answer.json()["code"]) == (403, "BAD_LINK")
    assert raw(client, f"/files/{file_id}/content").status_code == 400
    assert raw(client, f"/files/{file_id}/content", token="x" * 501).status_code == 400


def test_a_link_is_no_credential(client: Caller, invoice: Any) -> None:
    """What opens one file opens nothing else."""
    (token,) = parse_qs(urlsplit(invoice["pdfUrl"]).query)["token"]
    answer = client.client.get(f"/invoices/{invoice['id']}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_files_of_others_are_not_there(
    client: Caller, authenticator: Authenticator, invoice: Any, file_id: str
) -> None:
    """Not with a key of another organisation, nor by a link sealed for it."""
    stranger = client.of("umbrella")
    stranger.get(f"/invoices/{invoice['id']}/pdf", 404)
    stranger.get(f"/files/{file_id}", 404)
    stranger.get(f"/files/{file_id}/download_url", 404)
    link = DownloadLink(organisation_id="umbrella", expires=4_000_000_000)
    token = sealed(link, file_id=file_id, secret=authenticator.signing_secret())
    assert raw(client, f"/files/{file_id}/content", token=token).status_code == 404


def test_a_key_is_needed_for_everything_but_the_content(client: Caller, invoice: Any, file_id: str) -> None:
    """And the scope `read`."""
    sender = client.of("org", Scope.INGEST)
    for path in (f"/invoices/{invoice['id']}/pdf", f"/files/{file_id}", f"/files/{file_id}/download_url"):
        assert raw(client, path, key=False).status_code == 401
        sender.get(path, 403)


@pytest.mark.parametrize(
    "file_id", ["file", "inv.00000000000.00000", "file.00000000000.00000", "file.x", "..", "file.\N{SNOWMAN}"]
)
def test_what_is_no_file_is_not_there(client: Caller, file_id: str) -> None:
    """Whatever its id looks like."""
    assert raw(client, f"/files/{file_id}/download_url").status_code == 404


def test_the_paper_is_the_organisations_own(client: Caller, invoice: Any) -> None:
    """Letterhead, foot and logo are settings of the organisation; an image in the file is the logo."""
    for setting_id, text in (
        ("invoice_letterhead", "Org Metering Ltd\n1 High Street"),
        ("invoice_footer", "Pay to IBAN 1"),
        ("invoice_logo", logo()),
    ):
        place = {"namespace": "TOGAI", "entityType": "ORGANIZATION", "entityId": "org"}
        client.post("/settings", {"id": setting_id, "name": setting_id, "value": text, "dataType": "STRING", **place})
    answer = raw(client, f"/invoices/{invoice['id']}/pdf")
    text = text_of(answer)
    assert "Org Metering Ltd\n1 High Street" in text
    assert "Pay to IBAN 1" in text
    assert len(pypdf.PdfReader(io.BytesIO(answer.content)).pages[0].images) == 1


def test_links_lead_where_the_operator_says(database: Database, authenticator: Authenticator) -> None:
    """Behind a proxy the request does not name the address that customers know."""
    opened = application(database, authenticator, public_url="https://billing.example.com/api/")
    with TestClient(opened) as test_client:
        (invoice,) = invoices(Caller(test_client, authenticator, "org", Scope.READ))
    assert invoice["pdfUrl"].startswith("https://billing.example.com/api/files/file.")


@pytest.mark.parametrize("host", ["evil.example/path?", "a b", "x@y", "", "[::1"])
def test_a_host_that_is_none_makes_no_link(client: Caller, file_id: str, host: str) -> None:
    """The header is the caller's, and goes into an address."""
    answer = client.send("GET", f"/files/{file_id}/download_url", 400, headers={"Host": host})
    assert "host" in answer["message"].lower()


@pytest.mark.parametrize(
    "wrong", ["billing.example.com", "ftp://x", "https://", "https://a/?b", "https://u@h", "https://a b"]
)
def test_a_public_address_that_is_none_is_refused(wrong: str) -> None:
    """When the server starts, not when a customer follows a link."""
    with pytest.raises(Invalid, match="TALLYBOOK_PUBLIC_URL"):
        read_settings({"TALLYBOOK_PUBLIC_URL": wrong})
