"""Photos of several sizes as training targets: one batch for each size, all in the same steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from studio.core.io.resample import fitted_size
from studio.core.optim.targets import Targets
from studio.core.scene import Photo

_ALIKE = 0.75
"""Photos whose long sides differ by less are brought to one size: that costs less than a batch more."""


@dataclass(frozen=True, eq=False)
class Part:
    """Photos of one size among those of a step.

    Attributes:
        targets: all photos of that size.
        index: the part's photos in `targets`.
        views: the same photos among all of training.
        places: the same photos in the step.
    """

    targets: Targets
    index: list[int]
    views: list[int]
    places: list[int]

    def own(self, places: Sequence[int]) -> Part:
        """Those of the photos that stand at certain places of the step."""
        kept = [n for n, place in enumerate(self.places) if place in places]
        index, views, own = ([values[n] for n in kept] for values in (self.index, self.views, self.places))
        return Part(self.targets, index, views, own)


class TargetGroups:
    """All training photos, large ones about as large as they are, but not larger than a stage's resolution.

    Photos of about one size lie in one group; most sets are one group. A step takes photos of all groups:
    they are rendered group by group, and their losses are added up, so that every photo counts as in one
    batch: by the mean over its pixels, whatever their number.

    Attributes:
        groups: largest photos first.
        names: of all photos.
    """

    def __init__(self, groups: list[Targets], members: list[list[int]]) -> None:
        self.groups = groups
        self._members = members
        places = {view: (g, n) for g, views in enumerate(members) for n, view in enumerate(views)}
        self._place = [places[view] for view in range(len(places))]
        self.names = [groups[g].names[n] for g, n in self._place]

    @classmethod
    def build(
        cls, photos: list[Photo], resolution: int, device: torch.device | str = "cpu", crop: bool = False
    ) -> TargetGroups:
        """See Targets.build, for photos of one format in any sizes."""
        if not all(photo.mask is not None for photo in photos):
            photos = [replace(photo, mask=None) for photo in photos]
        members = _alike(photos, resolution)
        groups = [Targets.build([photos[n] for n in own], resolution, device, crop) for own in members]
        # Cropping must not change what a pixel of the object weighs: a narrow window has fewer others.
        shares = [group.size[0] * group.size[1] / group.pixels for group in groups]
        mean = sum(share * len(own) for share, own in zip(shares, members)) / len(photos)
        for group, share in zip(groups, shares):
            group.scale = share / mean if len(groups) > 1 else 1.0
        return cls(groups, members)

    def __len__(self) -> int:
        return len(self._place)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the photos that take most memory."""
        return max((group.size for group in self.groups), key=lambda size: size[0] * size[1])

    def parts(self, views: list[int]) -> list[Part]:
        """The groups of a step's photos, in their order."""
        found = []
        for number, group in enumerate(self.groups):
            places = [n for n, view in enumerate(views) if self._place[view][0] == number]
            own = [views[n] for n in places]
            if own:
                found.append(Part(group, [self._place[view][1] for view in own], own, places))
        return found

    def some(self, count: int) -> Part:
        """Photos spread evenly over the largest group, as many as that if there are."""
        group = max(range(len(self.groups)), key=lambda number: len(self._members[number]))
        last, count = len(self._members[group]) - 1, min(count, len(self._members[group]))
        index = torch.linspace(0, last, count).round().long().tolist()
        return Part(self.groups[group], index, [self._members[group][n] for n in index], list(range(count)))

    def spread(self, order: list[int]) -> list[int]:
        """An order of all photos in which those of each group come evenly.

        So steps have about the same share of each size, cost the same, and come again as recorded.
        """
        if len(self.groups) == 1:
            return order
        seen, when = [0] * len(self.groups), {}
        for view in order:
            group = self._place[view][0]
            when[view] = (seen[group] + 0.5) / len(self._members[group])
            seen[group] += 1
        return sorted(order, key=lambda view: when[view])


def _alike(photos: list[Photo], resolution: int) -> list[list[int]]:
    """Numbers of the photos of each group, in their order; largest photos first."""
    shapes = [photo.image.shape for photo in photos]
    longest = [max(fitted_size(shape[0], shape[1], resolution)) for shape in shapes]
    middle = sorted(longest)[len(longest) // 2]
    longest = [max(long, middle) for long in longest]  # a few small ones are enlarged: that fits better
    groups: list[list[int]] = []
    left = list(range(len(photos)))
    while left:
        least = _ALIKE * max(longest[n] for n in left)
        groups.append([n for n in left if longest[n] >= least])
        left = [n for n in left if longest[n] < least]
    return groups
