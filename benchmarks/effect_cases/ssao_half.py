"""Ambient occlusion at half resolution, spread back to full size."""

from __future__ import annotations

from benchmarks.effect_cases import Call, ssao


def case() -> tuple[Call, Call, Call]:
    """As the full one, of a quarter of the pixels."""
    return ssao.case(half=True)
