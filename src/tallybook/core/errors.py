"""What can go wrong, by what the caller should do next.

TallybookError
├── Invalid          fix the request, then resend
│   └── TooLarge     the same, and what is wrong is a size or a count
├── Unauthenticated  send a valid credential
├── Forbidden        use a credential that has the scope
├── Conflict         it already exists with different content; do not resend
├── NotFound         check the name
├── Busy             wait `retry_after_s`, then resend the same ids
│   └── Throttled    the same, and the caller alone is the reason
└── Corrupt          stored bytes fail their check; stop this process

Every error has a `message` for people, at most 500 characters, and a `code` for programs,
which never changes once released.
"""

MESSAGE_CHARACTERS_MAX = 500  # the interface's `ErrorResponse.message` allows no more


class TallybookError(Exception):
    """The root: a message that says what to do next, and a stable code."""

    code = "ERROR"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        if len(message) > MESSAGE_CHARACTERS_MAX:
            message = message[: MESSAGE_CHARACTERS_MAX - 1] + "…"
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class Invalid(TallybookError):
    """The request cannot be right as it is; fix it, then resend."""

    code = "INVALID_REQUEST"


class TooLarge(Invalid):
    """A size or a count is over its limit; make it smaller, then resend."""

    code = "TOO_LARGE"


class Unauthenticated(TallybookError):
    """Nobody we know: the credential is missing, malformed, unknown, revoked or expired."""

    code = "UNAUTHENTICATED"


class Forbidden(TallybookError):
    """The credential is good, but not for this; use one with the scope that the message names."""

    code = "FORBIDDEN"


class Conflict(TallybookError):
    """It exists already, with other content, or its state forbids this; resending will not help."""

    code = "CONFLICT"


class NotFound(TallybookError):
    """No such thing in this organisation; check the name."""

    code = "NOT_FOUND"


class Busy(TallybookError):
    """Not now: wait `retry_after_s` seconds, then resend with the same event ids."""

    code = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after_s: int = 1, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Throttled(Busy):
    """Too many requests from one organisation; wait, then resend."""

    code = "THROTTLED"


class Corrupt(TallybookError):
    """Stored bytes fail their check; stop this process rather than go on."""

    code = "CORRUPT"
