"""The door to the disk: safe paths, whole-file reads, atomic writes, errors in one line."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.core.errors import InputError, WorkError, describe

MAX_JSON_BYTES = 64 * 2**20
"""A capture of 10,000 frames is 8 MB of JSON; more than this is not a camera file."""

# What the user can mend by choosing another place. Everything else (disk full, quota, I/O
# error, file size limit) happened while working.
_PLACE_ERRORS = {
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the disk is read-only",
    errno.ENOENT: "there is no such folder",
    errno.ENOTDIR: "a part of its path is a file",
    errno.EEXIST: "a part of its path is a file",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EINVAL: "the name is not possible here",
}


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts `r_2` before `r_10`."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p.lower()) for p in parts if p]


def write_error(path: Path, error: BaseException) -> InputError | WorkError:
    """The studio's error for a failed write to `path`, to be raised from None."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _PLACE_ERRORS:
        return InputError(f"{path}: cannot be written, {_PLACE_ERRORS[number]}; expected a writable place")
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return WorkError(f"{path}: the disk is full; an earlier file of this name is unchanged")
    return WorkError(f"{path}: could not be written ({describe(error)}); an earlier file is unchanged")


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place only when the block succeeds.

    Missing parent folders are made. Whatever goes wrong, an earlier `path` stays as it was and
    no half-written file is left.

    Raises:
        InputError: the place cannot be written (read-only folder, a folder of that name).
        WorkError: writing failed on the way (disk full).
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        # The suffix stays: libraries choose the format by it.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:64]}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # a full disk may only show here
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private
        os.replace(temporary, path)
        temporary = None
    except (OSError, RuntimeError) as error:  # RuntimeError: OpenEXR
        raise write_error(path, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path | str, data: bytes) -> None:
    """`data` in `path`, atomically; raises as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def check_readable(path: Path, what: str) -> None:
    """InputError unless `path` is an existing, non-empty file; `what` says what it should be."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, expected {what}")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty, expected {what}")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, expected {what}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({describe(error)}), expected {what}") from None


def read_bytes(path: Path, what: str) -> bytes:
    """The whole file; raises as `check_readable`."""
    check_readable(path, what)
    try:
        return path.read_bytes()
    except MemoryError:
        raise InputError(f"{path}: too large for this machine's memory") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({describe(error)})") from None


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The object in a JSON file; InputError names the file and what is wrong with it."""
    check_readable(path, what)
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise InputError(f"{path}: {size / 2**20:.0f} MB of JSON, expected {what} below 64 MB")
    return parse_json(read_bytes(path, what), str(path), what)


def parse_json(data: bytes, where: str, what: str) -> dict[str, Any]:
    """The JSON object in `data`; InputError starts with `where`."""
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also bad UTF-8
        raise InputError(f"{where}: not valid JSON ({describe(error)}), expected {what}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: holds a JSON {type(value).__name__}, expected an object ({what})")
    return value


def inside(folder: Path, text: Any, where: str) -> Path:
    """The file that `text` names, relative to `folder`; InputError if it leaves the folder.

    Backslashes count as slashes. Links are followed before the check.
    """
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InputError(f"{where}: {text!r} is not a file name")
    name = text.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]+:/", name):
        raise InputError(f"{where}: {text!r} is absolute, expected a path inside {folder}")
    path = folder / name
    try:
        contained = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop of links
        contained = False
    if not contained:
        raise InputError(f"{where}: {text!r} leads out of {folder}, expected a path inside it")
    return path
