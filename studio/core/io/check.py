"""What is wrong with a set of photos, in words: what, which photos, what to do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from studio.core.color import linear_to_srgb
from studio.core.io.consensus import agreed_points, shares_covered, shares_taken_alone, shown, strangers
from studio.core.io.frames import Frame
from studio.core.io.resample import fitted_size, resized_mask, shrink
from studio.core.scene.camera import Camera
from studio.core.scene.photo import Photo, PhotoSet

_SIZE = 160
"""Long side at which photos are compared."""

FEW = 12
"""Views below which a hull keeps large false corners: 30 degrees between them on a ring."""

_TAKEN = 0.06
"""Share of the body that one mask may take away against all others. On the four real sets the most
is .04; a camera turned by 20 degrees about the object takes .06 of lego, a swapped photo .2 and more."""

_LEFT = 0.8
"""Share of the object that must be left where all masks agree. Clean sets keep .94; poses that are off
by a degree keep .86 of a head and .5 of a thin figure."""

_LEAST_OVERLAP = 0.5
_VOXELS = 40
_ALIKE = 1.5 / 255
"""Mean difference in sRGB of two photos that are the same one: JPEG at another quality stays below."""

_STOPS = 2.0
"""How much brighter or darker than the others a photo is called. Sides in the shade of the real sets
reach 1.5."""

_BLUR = 0.35
"""Share of the usual sharpness below which a photo is called blurred."""

_WINDOW = 200
"""Half the side of the part in which sharpness is measured, pixels."""

_NOTHING = 1e-3
"""Share of the frame below which a mask is called empty."""

_CUT = 0.02
"""Share of the outline that may lie on the frame."""

_UPRIGHT = 0.3
"""Least height of all other cameras' up at which one the other way is odd, and not of a rolled set."""

_PIXELS = 3.0
"""Median reprojection error, pixels, above which a camera is doubted: good models stay below 1."""


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        what: the fault.
        photos: names of the photos that have it; empty means the set.
        advice: what to do.
    """

    what: str
    photos: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        named = ", ".join(self.photos[:5]) + (f" and {len(self.photos) - 5} more" if self.photos[5:] else "")
        return f"{self.what}{': ' + named if named else ''}; {self.advice}"


def check_photos(photos: PhotoSet, frames: list[Frame] | None = None) -> list[Finding]:
    """All findings about a loaded set; an empty list is a clean bill.

    Args:
        frames: of the same photos, for what their files tell of cameras.
    """
    views = [_View.of(photo) for photo in photos.photos]
    out = _too_few(views) + _cameras(views) + _reprojection(frames or [])
    out += _pictures(views) + _masks(views, np.array(photos.object_center), photos.object_radius)
    return out


@dataclass(eq=False)
class _View:
    """A photo at the size at which it is checked: sRGB colour, mask, what says something."""

    name: str
    camera: Camera
    color: np.ndarray
    mask: np.ndarray | None
    says: np.ndarray
    sharpness: float

    @classmethod
    def of(cls, photo: Photo) -> _View:
        full_height, full_width = photo.image.shape[:2]
        height, width = fitted_size(full_height, full_width, _SIZE)
        color = linear_to_srgb(shrink(photo.image, height, width)).clip(0, 1)
        mask = None if photo.mask is None else resized_mask(photo.mask > 0.5, height, width) > 0.5
        says = np.ones((height, width), bool)
        if photo.ignore is not None:
            says = ~(shrink(photo.ignore[..., None].astype(np.float32), height, width)[..., 0] > 0)
        camera = photo.camera.resized(width, height)
        return cls(photo.name, camera, color, mask, says, _sharpness(photo))

    @property
    def object(self) -> np.ndarray:
        """[h, w] bool: pixels of the object, or all that say something."""
        return self.says if self.mask is None or not self.mask.any() else self.mask & self.says


def _sharpness(photo: Photo) -> float:
    """Strength of the finest details against coarser ones, in the middle of the object."""
    height, width = photo.image.shape[:2]
    row, column = height // 2, width // 2
    if photo.mask is not None and (photo.mask[::8, ::8] > 0.5).any():
        row, column = (int(v) for v in np.argwhere(photo.mask[::8, ::8] > 0.5).mean(axis=0) * 8)
    around = tuple(slice(max(c - _WINDOW, 0), c + _WINDOW) for c in (row, column))
    grey = photo.image[around].mean(axis=2)
    coded = linear_to_srgb(grey[..., None])[..., 0]
    fine = np.abs(ndimage.gaussian_laplace(coded, 0.8))
    coarse = np.abs(ndimage.gaussian_laplace(coded, 3.0)) * (3.0 / 0.8) ** 2
    where = np.ones(grey.shape, bool) if photo.mask is None else photo.mask[around] > 0.5
    if where.sum() < 100:
        return np.nan
    return float(np.percentile(fine[where], 90) / max(np.percentile(coarse[where], 90), 1e-6))


def _too_few(views: list[_View]) -> list[Finding]:
    if len(views) >= FEW:
        return []
    return [
        Finding(
            f"only {len(views)} photos",
            (),
            f"take {FEW} or more from all round: what no photo shows from the side stays a guess",
        )
    ]


def _cameras(views: list[_View]) -> list[Finding]:
    """Cameras that look away from what the others look at, or stand on their head."""
    cameras = [view.camera for view in views]
    away = [c.view_to_world[:3, 2] @ c.position < 0 for c in cameras]  # the origin lies behind
    out = []
    if np.mean(away) > 0.5:
        out.append(
            Finding(
                "the cameras look away from their common point",
                (),
                "flip the y and z axes of the poses: they are likely OpenCV's, OpenGL's were expected",
            )
        )
    elif any(away):
        out.append(
            Finding(
                "cameras look away from the object",
                _named(views, away),
                "leave these photos out, or mend their poses",
            )
        )
    ups = np.array([c.view_to_world[1, 1] for c in cameras])
    down = ups < -0.3
    if down.any() and down.mean() < 0.5 and ups[~down].min() > _UPRIGHT:
        out.append(
            Finding("cameras stand on their head", _named(views, down), "check the axes of their poses")
        )
    places = np.array([c.position for c in cameras])
    spread = np.linalg.norm(places - places.mean(axis=0), axis=1).max() if len(places) else 0.0
    if len(views) > 2 and spread < 0.15:  # of a distance of 3: three degrees
        out.append(
            Finding(
                "all photos are taken from one place",
                (),
                "walk round the object; if it turned on a table, give masks and have the cameras found again",
            )
        )
    return out


def _reprojection(frames: list[Frame]) -> list[Finding]:
    bad = [
        (f.name, f.reprojection) for f in frames if f.reprojection is not None and f.reprojection > _PIXELS
    ]
    if not bad:
        return []
    worst = max(value for _, value in bad)
    return [
        Finding(
            f"the model's points miss their features by up to {worst:.1f} pixels",
            tuple(name for name, _ in bad),
            "adjust the bundle again, or leave these photos out",
        )
    ]


def _named(views: list[_View], which: np.ndarray | list[bool]) -> tuple[str, ...]:
    return tuple(view.name for view, chosen in zip(views, which, strict=True) if chosen)


def _pictures(views: list[_View]) -> list[Finding]:
    """Photos that are there twice, much brighter or darker, or blurred."""
    out = []
    twice = _duplicates(views)
    if twice:
        out.append(Finding("the same picture twice", twice, "keep one of each pair"))
    bright = np.array(
        [np.median(v.color[v.object].mean(axis=1)) if v.object.any() else np.nan for v in views]
    )
    bright = np.maximum(bright, 1 / 255)
    stops = 2.2 * np.log2(bright / _usual(bright))  # sRGB is near enough to light to the power 1 / 2.2
    odd = np.nan_to_num(np.abs(stops)) > _STOPS
    if odd.any() and odd.mean() < 0.5:
        most = float(np.nan_to_num(np.abs(stops)).max())
        out.append(
            Finding(
                f"exposures differ by up to {most:.1f} stops",
                _named(views, odd),
                "let the fit find exposures (--exposure), or take photos with fixed exposure",
            )
        )
    sharp = np.array([view.sharpness for view in views])
    blurred = sharp < _BLUR * _usual(sharp)
    if blurred.any():
        out.append(Finding("blurred", _named(views, blurred), "leave these photos out"))
    return out


def _usual(values: np.ndarray) -> float:
    """The median of what is known, 1 where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 1.0


def _duplicates(views: list[_View]) -> tuple[str, ...]:
    """Names of photos that show what an earlier one shows, each after a first look at 16 pixels."""
    tiny = [shrink(view.color, 16, 16).ravel() for view in views]
    out = []
    for j, view in enumerate(views):
        for i in range(j):
            other = views[i]
            if np.abs(tiny[i] - tiny[j]).mean() > _ALIKE or other.color.shape != view.color.shape:
                continue
            where = view.object | other.object
            if np.abs(other.color - view.color)[where].mean() < _ALIKE and view.color[where].std() > 0.01:
                out.append(f"{view.name} = {other.name}")
                break
    return tuple(out)


def _masks(views: list[_View], center: np.ndarray, radius: float) -> list[Finding]:
    """Masks that are empty, cut by the frame, or that do not fit those of the other photos."""
    if any(view.mask is None for view in views):
        missing = [view.mask is None for view in views]
        advice = "draw masks, or use --masks grabcut: a hull needs them"
        return [
            Finding("no masks" if all(missing) else "some photos have no mask", _some(views, missing), advice)
        ]
    out = []
    empty = np.array([view.mask is None or view.mask.mean() < _NOTHING for view in views])
    if empty.any():
        out.append(Finding("nothing of the object is seen", _named(views, empty), "leave these photos out"))
    cut = np.array([_on_frame(view) > _CUT for view in views])
    if cut.any():
        out.append(
            Finding(
                "the object reaches beyond the frame",
                _named(views, cut),
                "what lies outside is never carved; step back for some photos",
            )
        )
    if len(views) >= 3 and not empty.all():
        out += _disagreement([v for v, gone in zip(views, empty, strict=True) if not gone], center, radius)
    return out


def _some(views: list[_View], which: list[bool]) -> tuple[str, ...]:
    return () if all(which) else _named(views, which)


def _on_frame(view: _View) -> float:
    """Share of the mask's outline that lies on the border of the frame."""
    assert view.mask is not None
    inside = np.pad(view.mask & view.says, 1)
    outline = inside & ~ndimage.binary_erosion(inside)
    rim = np.zeros_like(inside)
    rim[[1, -2]] = True
    rim[:, [1, -2]] = True
    return float((outline & rim).sum() / max(outline.sum(), 1))


def _disagreement(views: list[_View], center: np.ndarray, radius: float) -> list[Finding]:
    """Photos whose mask alone takes away what all others take for the object.

    Small errors of a pose stay unseen: silhouettes of a round body hardly change on an orbit.
    """
    masks = [view.mask | ~view.says for view in views if view.mask is not None]
    cameras = [view.camera for view in views]
    points, step = agreed_points(masks, cameras, center, 1.1 * radius, 0.2, _VOXELS)
    fits = []
    for view, mask in zip(views, masks, strict=True):
        body, own = shown(points, view.camera, step) & view.says, mask & view.says
        fits.append((body & own).sum() / max((body | own).sum(), 1))
    usual = float(np.median(fits))
    if usual < _LEAST_OVERLAP:
        return [
            Finding(
                f"masks and cameras do not fit each other (they overlap by {100 * usual:.0f} %)",
                (),
                "check the axes and the order of the poses, or the masks",
            )
        ]
    out = []
    taken = shares_taken_alone(masks, cameras, center, 1.1 * radius, _VOXELS)
    odd = taken > max(_TAKEN, 4 * float(np.median(taken)))
    if odd.any():
        what = f"views disagree: alone they take up to {100 * taken.max():.0f} % from the body of all others"
        out.append(Finding(what, _named(views, odd), "check their masks and poses, or leave them out"))
    return out + _strangers(views, center, radius)


def _strangers(views: list[_View], center: np.ndarray, radius: float) -> list[Finding]:
    """Photos that the hull is carved without, and what is left of the object by the others."""
    masks, cameras = [view.mask for view in views if view.mask is not None], [view.camera for view in views]
    silent = [~view.says for view in views]
    strange = strangers(masks, cameras, center, 1.1 * radius, silent)
    if strange.any():
        return [
            Finding(
                "views show the object where the others have none, and the hull is carved without them",
                _named(views, strange),
                "check their masks and poses, or leave them out",
            )
        ]
    left = float(np.median(shares_covered(masks, cameras, center, 1.1 * radius, 0.0, silent)))
    if left > _LEFT:
        return []
    return [
        Finding(
            f"views disagree a little each: their masks leave {100 * left:.0f} % of the object together",
            (),
            "improve the poses or the masks, or raise hull_misses",
        )
    ]
