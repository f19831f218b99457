"""The command line's own answers, where no server is needed."""

import sys
from pathlib import Path

import pytest

from tallybook.cli import main


def test_a_proof_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every error: on standard error, with exit status 1; a folder is no file either."""
    for path, reason in ((tmp_path / "none.json", "No such file or directory"), (tmp_path, "Is a directory")):
        monkeypatch.setattr(sys, "argv", ["tallybook", "verify", "invoice", str(path)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 1
        assert capsys.readouterr().err == f"tallybook: {path}: {reason}\n"
