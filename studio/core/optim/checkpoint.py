"""Checkpoints of a fit: everything it needs to go on, bit for bit, in one safetensors file.

A state is a tree of numbers, strings, lists, tensors and a few known classes. Tensors go into the
file as they are, the tree that refers to them into its header as JSON. Nothing in the file is code:
a name that is not in `_CLASSES` is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from studio.core.errors import InputError
from studio.core.gbuffer import LightTensors
from studio.core.io.files import atomic_path, check_readable
from studio.core.optim.atlas import Atlas
from studio.core.optim.field import FieldMaterial, FieldVariables
from studio.core.optim.largesteps import LargeSteps
from studio.core.optim.materials import TextureMaterial, VertexMaterial
from studio.core.optim.variables import Variables
from studio.core.optim.views import ViewVariables
from studio.core.scene import Light, Lighting, Material, Mesh, Photo

VERSION = 1
"""Grows when a state of an earlier version can no longer be read."""

SUFFIX = ".safetensors"

_WHAT = "a checkpoint that `fit` left"
_CLASSES = {
    cls.__name__: cls
    for cls in (
        *(Atlas, Light, Lighting, LightTensors, Material, Mesh),
        *(FieldMaterial, FieldVariables, TextureMaterial, Variables, VertexMaterial, ViewVariables),
    )
}


def save_checkpoint(path: Path | str, state: dict[str, Any]) -> None:
    """Write a state; an earlier file of that name is replaced only when the new one is complete.

    Raises:
        InputError: the place cannot be written.
        WorkError: the disk filled up; the earlier file is unchanged.
    """
    tree, tensors = packed(state)
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, {"studio_fit": json.dumps({"version": VERSION, "state": tree})})
        except SafetensorError as error:  # an I/O error that it has wrapped
            raise OSError(*_errno_of(error)) from None


def load_checkpoint(path: Path | str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state in a checkpoint, its tensors on `device`.

    Raises:
        InputError: not a checkpoint, a damaged one, or one of a newer version.
    """
    path = Path(path)
    check_readable(path, _WHAT)
    try:
        with safe_open(path, "pt") as file:
            tree = json.loads((file.metadata() or {})["studio_fit"])
            if tree["version"] != VERSION:
                raise InputError(f"{path}: is of version {tree['version']}, expected {VERSION}")
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
            state = unpacked(tree["state"], tensors, device)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path}: is damaged or not a checkpoint ({error}), expected {_WHAT}") from None
    if not isinstance(state, dict):
        raise InputError(f"{path}: holds no state, expected {_WHAT}")
    return state


def packed(state: dict[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    """(tree of plain values, the tensors that it names), copies of their own on the CPU."""
    tensors: dict[str, Tensor] = {}
    return _pack(state, tensors), tensors


def unpacked(tree: Any, tensors: dict[str, Tensor], device: torch.device | str = "cpu") -> Any:
    """The state that `packed` took apart, its tensors on `device`."""
    return _unpack(tree, tensors, torch.device(device))


def _errno_of(error: Exception) -> tuple[int, str]:
    """(number, text) of the system error that a library reports by its text only."""
    import errno
    import os

    text = str(error)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
        if os.strerror(number) in text or f"os error {number}" in text:
            return number, text
    return errno.EIO, text


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The JSON node of a value; its tensors are added to `tensors`."""

    def keep(tensor: Tensor) -> str:
        name = str(len(tensors))
        # A copy of its own: the file format knows no views.
        tensors[name] = tensor.detach().cpu().contiguous().clone()
        return name

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return {"tensor": keep(value), "leaf": value.requires_grad}
    if isinstance(value, np.ndarray):
        return {"array": keep(torch.from_numpy(np.ascontiguousarray(value)))}
    if isinstance(value, list):
        return [_pack(entry, tensors) for entry in value]
    if isinstance(value, tuple):
        return {"tuple": [_pack(entry, tensors) for entry in value]}
    if isinstance(value, dict):
        return {"dict": [[_pack(k, tensors), _pack(v, tensors)] for k, v in value.items()]}
    if isinstance(value, LargeSteps):
        rest = (value.faces, value.vertex_count, value.smoothness)
        return {"large_steps": _pack(list(rest), tensors)}
    name = type(value).__name__
    if _CLASSES.get(name) is not type(value):
        raise TypeError(f"checkpoint: {name} is not among the classes it can keep")
    fields = {f.name: _pack(getattr(value, f.name), tensors) for f in dataclasses.fields(value)}
    return {"class": name, "fields": fields}


def _unpack(node: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    """The value of a JSON node."""
    if isinstance(node, list):
        return [_unpack(entry, tensors, device) for entry in node]
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return tensors[node["tensor"]].to(device).requires_grad_(bool(node["leaf"]))
    if "array" in node:
        return tensors[node["array"]].numpy()
    if "tuple" in node:
        return tuple(_unpack(entry, tensors, device) for entry in node["tuple"])
    if "dict" in node:
        return {_unpack(k, tensors, device): _unpack(v, tensors, device) for k, v in node["dict"]}
    if "large_steps" in node:
        faces, count, smoothness = _unpack(node["large_steps"], tensors, device)
        return LargeSteps(faces, count, smoothness, device)
    fields = {name: _unpack(entry, tensors, device) for name, entry in node["fields"].items()}
    return _CLASSES[node["class"]](**fields)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps belongs."""
    return folder / f"step_{step:07d}{SUFFIX}"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first; none if there is no such folder."""
    return sorted(folder.glob(f"step_*{SUFFIX}"))


def prune(folder: Path, keep: int) -> None:
    """Remove all but the `keep` newest checkpoints."""
    for path in checkpoints_in(folder)[:-keep]:
        path.unlink(missing_ok=True)


def prune_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of more than `step` steps: what is begun anew leaves others."""
    for path in checkpoints_in(folder):
        if path > checkpoint_path(folder, step):
            path.unlink(missing_ok=True)


def fingerprint(photos: list[Photo]) -> str:
    """Names, sizes and a sample of the pixels of the photos in one number."""
    total = hashlib.sha256()
    for photo in photos:
        total.update(f"{photo.name} {photo.image.shape}".encode())
        total.update(np.ascontiguousarray(photo.image[::7, ::7]).tobytes())
    return total.hexdigest()
