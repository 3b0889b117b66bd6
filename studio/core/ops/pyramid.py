"""A picture at halving sizes."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad


def halved(image: Tensor) -> Tensor:
    """The mean of every 2 x 2 pixels; an odd last row or column counts twice.

    Args:
        image: [N, H, W, C].
    Returns:
        [N, ceil(H / 2), ceil(W / 2), C]
    Gradients:
        To: image.
    """
    planes = image.permute(0, 3, 1, 2)
    height, width = image.shape[1:3]
    if height % 2 or width % 2:
        planes = pad(planes, (0, width % 2, 0, height % 2), mode="replicate")
    return avg_pool2d(planes, 2).permute(0, 2, 3, 1)


def doubled(image: Tensor, height: int, width: int) -> Tensor:
    """A picture at twice its size, bilinearly; the way back from `halved`.

    Args:
        image: [N, h, w, C]; pixel (i, j) stands for the four from (2i, 2j) on.
        height, width: of the result, 2h and 2w or one less.
    Returns:
        [N, height, width, C]
    Gradients:
        To: image.
    """
    planes = image.permute(0, 3, 1, 2)
    big = interpolate(planes, scale_factor=2.0, mode="bilinear", align_corners=False)
    return big[:, :, :height, :width].permute(0, 2, 3, 1)


def pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """The picture and its halvings, finest first.

    Give it colour times coverage with coverage beside it, and the ratio of the two at any level
    is the mean of what is covered.

    Args:
        image: [N, H, W, C]; levels: how many, at least 1.
    Returns:
        `levels` tensors, the i-th of ceil(H / 2^i) x ceil(W / 2^i) pixels.
    Gradients:
        To: image.
    """
    out = [image]
    for _ in range(levels - 1):
        out.append(halved(out[-1]))
    return out
