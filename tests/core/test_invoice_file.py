"""Ids of files, and links that open one of them for a while."""

from datetime import UTC, datetime

import pytest

from tallybook.core.errors import Forbidden
from tallybook.core.invoice_file import DownloadLink, file_id_of, invoice_id_of, opened, sealed

NOW = datetime(2024, 4, 1, tzinfo=UTC)
IN_A_MINUTE = int(NOW.timestamp()) + 60
LINK = DownloadLink(organisation_id="acme", expires=IN_A_MINUTE)
SECRET = b"a secret of this installation"
FILE = "file.DdWY6mPx4RQ.036EU"


def token(link: DownloadLink = LINK, *, file_id: str = FILE, secret: bytes = SECRET) -> str:
    return sealed(link, file_id=file_id, secret=secret)


def test_a_file_is_named_like_its_invoice():
    """The ids have the form of the interface's example, `file.20aUyEZSuYq.SoGbS`."""
    assert file_id_of("inv.DdWY6mPx4RQ.036EU") == FILE
    assert invoice_id_of(FILE) == "inv.DdWY6mPx4RQ.036EU"
    assert invoice_id_of("inv.DdWY6mPx4RQ.036EU") is None


def test_a_link_opens_its_file_until_it_expires():
    """To the second."""
    assert opened(token(), file_id=FILE, secret=SECRET, now=datetime.fromtimestamp(IN_A_MINUTE - 1, UTC)) == LINK
    with pytest.raises(Forbidden) as caught:
        opened(token(), file_id=FILE, secret=SECRET, now=datetime.fromtimestamp(IN_A_MINUTE, UTC))
    assert caught.value.code == "LINK_EXPIRED"


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(token(file_id="file.DdWY6mPx4RQ.036EV"), id="another file's"),
        pytest.param(token(secret=b"another"), id="another installation's"),
        pytest.param(token()[:-2], id="cut"),
        pytest.param(token() + "AAAA", id="longer"),
        pytest.param("A" + token()[1:] if token()[0] != "A" else "B" + token()[1:], id="changed seal"),
        pytest.param(token()[:60] + "x" + token()[61:], id="changed contents"),
        pytest.param("", id="nothing"),
        pytest.param("é", id="no base64"),
        pytest.param("?" * 40, id="no base64 either"),
    ],
)
def test_other_links_are_refused(forged: str):
    """Whatever was not sealed here, for this file, opens nothing."""
    with pytest.raises(Forbidden) as caught:
        opened(forged, file_id=FILE, secret=SECRET, now=NOW)
    assert caught.value.code == "BAD_LINK"
