"""What programs written against nvdiffrast create before they rasterize; nothing is kept in it."""

from __future__ import annotations

import logging

from studio.core.errors import InputError

MODES = ("automatic", "manual")

# 0 to 3 of the documented log levels: info, warning, error, fatal.
_LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_logger = logging.getLogger("studio.core.ops")
_logger.setLevel(_LEVELS[1])


class RasterizeCudaContext:
    """Accepted by `rasterize`, which runs where its tensors are.

    Args:
        device: kept as given and otherwise ignored.
    """

    output_db = True

    def __init__(self, device: object = None) -> None:
        self.device = device


class RasterizeGLContext(RasterizeCudaContext):
    """Accepted like RasterizeCudaContext; no OpenGL is involved.

    Args:
        output_db: False makes the second result of `rasterize` an empty [N, H, W, 0].
        mode: "automatic" or "manual".
        device: kept as given and otherwise ignored.
    Raises:
        InputError: a mode that does not exist.
    """

    def __init__(self, output_db: bool = True, mode: str = "automatic", device: object = None) -> None:
        super().__init__(device)
        if mode not in MODES:
            raise InputError(f"RasterizeGLContext: mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.output_db = bool(output_db)
        self.mode = mode

    def set_context(self) -> None:
        """Nothing to activate."""

    def release_context(self) -> None:
        """Nothing to let go."""


def get_log_level() -> int:
    """0 info, 1 warning (the default), 2 error, 3 fatal."""
    return _LEVELS.index(_logger.level) if _logger.level in _LEVELS else 1


def set_log_level(level: int) -> None:
    """Least severe messages of studio.core.ops that are shown.

    Args:
        level: 0 info, 1 warning, 2 error, 3 fatal.
    Raises:
        InputError: any other level.
    """
    if isinstance(level, bool) or level not in range(len(_LEVELS)):
        raise InputError(f"set_log_level: level must be 0 (info), 1, 2 or 3 (fatal), got {level!r}")
    _logger.setLevel(_LEVELS[level])
