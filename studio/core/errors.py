"""The errors the studio raises. Each carries one line that a user can act on.

The command line turns InputError into exit status 2 and WorkError into 1; the window
turns both into a notice. Anything else that escapes is a defect.
"""


class StudioError(Exception):
    """Base of every error the studio raises on purpose."""

    exit_status = 1


class InputError(StudioError):
    """What the user gave is wrong: names the file or option and what was expected."""

    exit_status = 2


class ShapeError(InputError):
    """A tensor has the wrong shape, type or device."""


class WorkError(StudioError):
    """The input was fine, the work failed (disk full, out of memory, diverged)."""


class Cancelled(StudioError):
    """The user stopped the work."""


def describe(error: BaseException) -> str:
    """One line for an exception that is not ours, e.g. from a library or the system."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
