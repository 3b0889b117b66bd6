"""Section 4.2: a globe's texture from pictures taken at 1.5 to 50 radii, with mip maps and without.

The reference pictures are band-limited on their own terms: many plain bilinear samples a pixel and
a windowed-sinc filter, no mip maps. The globe is always in the middle of the picture, so only the
square around it is drawn; what is left out is black in both pictures.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.ops import Topology, antialias, interpolate, rasterize, rasterize_interpolate, texture
from studio.core.optim.plots import INK, LINES, dark_figure, dress
from studio.core.optim.sheet import sheet
from studio.core.params import Param
from studio.core.scene.shapes import icosphere
from studio.experiments.experiment import Experiment, Job, Outcome, Row
from studio.experiments.globe import globe, unfolded
from studio.experiments.views import geometric, matrices, random_rotations, to_clip

SLOPE = 0.4
NEAREST, FARTHEST = 1.5, 50.0
TILE = 1024
"""References are drawn in tiles of at most this many samples each way."""
FILTERS = ("gaussian", "lanczos", "box")
GAUSSIAN_PIXELS = 0.5
"""Standard deviation: that of a pixel's box (1/12) and a linear interpolation (1/6) together."""
PAPER = {"with mips": 32.9, "without mips": 25.6}

PARAMS = (
    Param("faces", 256, "int", 8, 2048, help="Texels along each cube face; the paper's are 512."),
    Param("resolution", 256, "int", 16, 2048, help="Pixels each way; the paper's 512."),
    Param("steps", 20_000, "int", 1, 1_000_000, help="Steps of Adam; the paper's 20000."),
    Param("mips", "both", "choice", choices=("both", "with", "without"), help="Which lookups to learn with."),
    Param("filter", "gaussian", "choice", choices=FILTERS, help="Of the references' samples."),
    Param("paper", False, "bool", help="The paper's conditions: 512 texels, 512 pixels, 20000 steps."),
)


class Renderer:
    """Draws the globe's cube map in the middle of a square picture."""

    def __init__(self, resolution: int, device: torch.device, kind: str = "gaussian") -> None:
        self.kind = kind
        ball = icosphere(4)
        self.resolution = resolution
        self.points = torch.from_numpy(ball.vertices).to(device)
        self.tri = torch.from_numpy(ball.faces).to(device)
        self.topology = Topology.build(self.tri)

    def window(self, distance: float) -> tuple[int, float]:
        """(pixels, slope) of the square around the globe, two pixels of air each side."""
        radius = self.resolution / 2 / (SLOPE * math.sqrt(distance * distance - 1))
        pixels = min(self.resolution, 2 * math.ceil(radius) + 4)
        return pixels, SLOPE * pixels / self.resolution

    def __call__(self, cube: Tensor, rotation: Tensor, distance: float, mips: bool) -> Tensor:
        """[1, P, P, 3] the picture as it is learned from, with or without mip maps."""
        pixels, slope = self.window(distance)
        clip = to_clip(self.points, rotation, distance, slope)
        rast, rast_db = rasterize(None, clip, self.tri, (pixels, pixels))
        direction, direction_da = interpolate(self.points[None], rast, self.tri, rast_db, "all")
        color = texture(
            cube,
            direction,
            direction_da if mips else None,
            filter_mode="linear-mipmap-linear" if mips else "linear",
            boundary_mode="cube",
        )
        return antialias(color * (rast[..., 3:] > 0), rast, clip, self.tri, self.topology)

    @torch.no_grad()
    def reference(self, cube: Tensor, rotation: Tensor, distance: float) -> Tensor:
        """[1, P, P, 3] the same picture from many bilinear samples a pixel."""
        pixels, slope = self.window(distance)
        factor = self.samples_each_way(cube.shape[2], distance)
        tiles = math.ceil(pixels * factor / TILE)
        # Tiles of whole pixels after averaging to four samples a pixel.
        side = math.ceil(pixels / tiles)
        clip = to_clip(self.points, rotation, distance, slope * side * tiles / pixels)
        rows = []
        for row in range(tiles):
            parts = [self._tile(cube, clip, tiles, row, column, side, factor) for column in range(tiles)]
            rows.append(torch.cat(parts, dim=2))
        fine = torch.cat(rows, dim=1)
        excess = 4 * (side * tiles - pixels)
        if excess:
            fine = fine[:, excess // 2 : -excess // 2, excess // 2 : -excess // 2]
        return _quarter(fine, self.kind)

    def _tile(
        self, cube: Tensor, clip: Tensor, tiles: int, row: int, column: int, side: int, factor: int
    ) -> Tensor:
        """[1, 4 side, 4 side, 3] one tile of the picture, averaged to four samples a pixel."""
        x, y, z, w = clip.unbind(-1)
        part = torch.stack(
            [tiles * x - (2 * column + 1 - tiles) * w, tiles * y - (2 * row + 1 - tiles) * w, z, w], dim=-1
        )
        direction, rast = rasterize_interpolate(
            part, self.tri, self.points[None], (side * factor, side * factor), cull_backfaces=True
        )
        color = texture(cube, direction, filter_mode="linear", boundary_mode="cube") * (rast[..., 3:] > 0)
        return _average(color, factor // 4)

    def samples_each_way(self, faces: int, distance: float) -> int:
        """Samples across a pixel: at least four, and 1.5 for each texel across it where it is nearest."""
        texels = SLOPE * (distance - 1) * faces / self.resolution
        return 4 * max(1, math.ceil(1.5 * texels / 4))


def _average(image: Tensor, block: int) -> Tensor:
    """Means of block x block pixels."""
    n, height, width, channels = image.shape
    if block == 1:
        return image
    return image.reshape(n, height // block, block, width // block, block, channels).mean(dim=(2, 4))


def _quarter(image: Tensor, kind: str) -> Tensor:
    """A quarter of the size, by one of FILTERS."""
    if kind == "box":
        return _average(image, 4)
    offset = (torch.arange(16) - 7.5) / 4
    if kind == "gaussian":
        weight = torch.exp(-offset.square() / (2 * GAUSSIAN_PIXELS**2))
    else:  # windowed sinc with two lobes (Duchon 1979)
        weight = torch.sinc(offset) * torch.sinc(offset / 2)
    weight = (weight / weight.sum()).to(image.device)
    out = image.permute(0, 3, 1, 2)
    channels = out.shape[1]
    kernel = weight.expand(channels, 1, 16)
    out = torch.nn.functional.pad(out, (6, 6, 6, 6))
    out = torch.nn.functional.conv2d(out, kernel[:, :, None], stride=(1, 4), groups=channels)
    out = torch.nn.functional.conv2d(out, kernel[..., None], stride=(4, 1), groups=channels)
    return out.permute(0, 2, 3, 1).contiguous()


@dataclass
class Learner:
    """A texture that is being learned.

    Attributes:
        cube: [1, 6, S, S, 3].
        psnr: of the texture, at each logged step.
        seconds: spent on its own steps, without the references.
    """

    mips: bool
    cube: Tensor
    optimizer: torch.optim.Adam
    psnr: list[float] = field(default_factory=list)
    seconds: float = 0.0


def texture_psnr(cube: Tensor, truth: Tensor) -> float:
    """dB over all texels."""
    return -10 * math.log10(max(1e-10, float((cube.detach().clamp(0, 1) - truth).square().mean())))


def learn(
    truth: Tensor, start: Tensor, resolution: int, steps: int, modes: tuple[bool, ...], job: Job
) -> tuple[list[Learner], list[int], float]:
    """Learn the globe's texture, in every mode from the same pictures.

    Args:
        truth, start: [1, 6, S, S, 3] the texture to be learned, and the one to start from.
        modes: for each texture to learn, whether its lookups use mip maps.
    Returns:
        The learners; the steps at which they were logged; seconds spent on references.
    """
    draw = Renderer(resolution, job.device, job.settings["filter"])
    generator = job.generator()
    learners = []
    for mips in modes:
        cube = start.clone().requires_grad_()
        adam = torch.optim.Adam([cube], lr=1e-2, betas=(0.9, 0.99), fused=True)
        learners.append(Learner(mips, cube, adam))
    marks, spent = [], 0.0
    every = max(1, steps // 100)
    for step in range(steps):
        rotation = matrices(random_rotations(1, generator)).to(job.device)
        distance = NEAREST + (FARTHEST - NEAREST) * float(torch.rand(1, generator=generator))
        began = time.perf_counter()
        target = draw.reference(truth, rotation, distance)
        spent += time.perf_counter() - began
        for learner in learners:
            began = time.perf_counter()
            image = draw(learner.cube, rotation, distance, learner.mips)
            # The mean over the whole picture; outside the window there is no difference.
            loss = (image - target).square().sum() / (3 * resolution * resolution)
            learner.optimizer.param_groups[0]["lr"] = geometric(1e-2, 1e-3, step / max(1, steps - 1))
            learner.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            learner.optimizer.step()
            learner.seconds += time.perf_counter() - began
        if (step + 1) % every == 0 or step + 1 == steps:
            marks.append(step + 1)
            for learner in learners:
                learner.psnr.append(texture_psnr(learner.cube, truth))
            job.progress((step + 1) / steps, f"{step + 1} of {steps} pictures")
    return learners, marks, spent


def _picture(truth: Tensor, learners: list[Learner], resolution: int) -> np.ndarray:
    """References at some distances; then the textures: all of it, and a close view."""
    side = 240
    draw = Renderer(side, truth.device)
    near = Renderer(side, truth.device)
    turn = matrices(torch.nn.functional.normalize(torch.tensor([[0.8, 0.1, 0.6, 0.0]]), dim=-1)).to(
        truth.device
    )

    def framed(image: Tensor) -> np.ndarray:
        gap = (side - image.shape[1]) // 2
        padded = torch.nn.functional.pad(image[0].permute(2, 0, 1), (gap, side - image.shape[1] - gap) * 2)
        return padded.permute(1, 2, 0).clamp(0, 1).cpu().numpy()

    references = [framed(draw.reference(truth, turn, d)) for d in (1.5, 3.0, 8.0, 30.0)]
    rows, names = [references], ["references at\n1.5, 3, 8, 30\nradii"]
    for name, cube in [("reference", truth), *((_name(x.mips), x.cube.detach()) for x in learners)]:
        whole = unfolded(cube, side).clamp(0, 1).cpu().numpy()
        views = [framed(near.reference(cube, turn, d)) for d in (3.0, 1.5)]
        # The map is two tiles wide: it takes the place of the first two.
        rows.append([whole[:, :side], whole[:, side:], *views])
        names.append(name if cube is truth else f"{name}\n{texture_psnr(cube, truth):.1f} dB")
    return sheet(rows, ["", "", "", ""], names)


def _name(mips: bool) -> str:
    return "with mips" if mips else "without mips"


def _curve(learners: list[Learner], marks: list[int]) -> Any:
    figure = dark_figure(8, 4.2)
    axes = figure.subplots()
    for learner, color in zip(learners, LINES):
        axes.plot(marks, learner.psnr, color=color, lw=1.5, label=_name(learner.mips))
        axes.axhline(PAPER[_name(learner.mips)], color=color, lw=0.8, ls=":")
    axes.set_xlabel("step")
    axes.set_ylabel("PSNR of the texture, dB (dotted: paper's end)")
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    dress(axes)
    return figure


def run(job: Job) -> Outcome:
    """Learn with mips, without, or both."""
    chosen = job.settings
    keys = ("faces", "resolution", "steps")
    faces, resolution, steps = (512, 512, 20_000) if chosen["paper"] else (chosen[key] for key in keys)
    modes = {"both": (True, False), "with": (True,), "without": (False,)}[chosen["mips"]]
    truth = globe(faces).to(job.device)
    learners, marks, spent = learn(truth, torch.full_like(truth, 0.5), resolution, steps, modes, job)
    rows = [Row(_name(x.mips), f"{PAPER[_name(x.mips)]:.1f} dB", f"{x.psnr[-1]:.2f} dB") for x in learners]
    numbers = {
        "faces": faces,
        "resolution": resolution,
        "steps": steps,
        "logged_steps": marks,
        "ms_per_reference": round(1e3 * spent / steps, 2),
        **{
            _name(x.mips).replace(" ", "_"): {
                "psnr": x.psnr[-1],
                "paper_psnr": PAPER[_name(x.mips)],
                "ms_per_step": round(1e3 * x.seconds / steps, 2),
                "curve": [round(v, 3) for v in x.psnr],
            }
            for x in learners
        },
    }
    most = Renderer(resolution, job.device).samples_each_way(faces, FARTHEST)
    kind = (
        "the paper's conditions"
        if (faces, resolution, steps) == (512, 512, 20_000)
        else "reduced (paper: 512, 512, 20000)"
    )
    notes = [
        f"{faces} x {faces} texels a face, {resolution} x {resolution} pixels, {steps} steps: {kind}",
        f"procedural globe at {NEAREST:g} to {FARTHEST:g} radii; references of 4 to {most} bilinear samples "
        f"across a pixel, {chosen['filter']} filter",
    ]
    return Outcome(_picture(truth, learners, resolution), _curve(learners, marks), numbers, rows, notes)


EXPERIMENT = Experiment(
    "earth", "A globe's texture from near and far pictures, with mip maps and without (4.2).", PARAMS, run
)
