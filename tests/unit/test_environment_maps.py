"""Directions of environment maps, their spherical harmonics, and lights as arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studio.core.gbuffer import LightTensors
from studio.core.scene import Light, Lighting
from studio.core.scene.environment import (
    equirect_directions,
    octahedral_directions,
    octahedral_uv,
    project_sh,
    sh_basis,
    to_octahedral,
)
from tests.lanes import evaluate


def test_octahedral_directions_and_places_are_inverse() -> None:
    middle = (np.arange(16) + 0.5) / 16
    expected = np.stack(np.meshgrid(middle, middle), axis=-1)
    np.testing.assert_allclose(octahedral_uv(octahedral_directions(16)), expected, atol=1e-12)
    assert octahedral_directions(3)[1, 1] == pytest.approx((0, 1, 0))


def test_the_middle_of_an_equirectangular_map_looks_along_minus_z() -> None:
    directions = equirect_directions(3, 4)
    assert directions[0, 0, 1] < -0.8  # row 0 is the bottom
    assert equirect_directions(1, 2)[0] == pytest.approx(np.array([(-1, 0, 0), (1, 0, 0)]), abs=1e-12)
    assert directions[1, 2, 2] < -0.7


def test_the_basis_is_the_kernels() -> None:
    d = octahedral_directions(4).reshape(-1, 3)
    theirs = evaluate("Harmonics::basis({in[0], in[1], in[2]}, out);", 25, d)
    np.testing.assert_allclose(sh_basis(d), theirs, atol=1e-6)


def test_projection_recovers_coefficients() -> None:
    coefficients = np.random.default_rng(0).normal(size=(25, 3))
    image = sh_basis(equirect_directions(128, 256)) @ coefficients
    np.testing.assert_allclose(project_sh(image), coefficients, atol=2e-3)


def test_an_octahedral_map_holds_the_mean_of_its_pixels() -> None:
    image = (0.5 + 0.5 * equirect_directions(64, 128)).astype(np.float32)
    made = to_octahedral(image, 32)
    expected = 0.5 + 0.5 * octahedral_directions(32)
    assert np.abs(made - expected).max() <= 0.04  # a pixel of either map is 0.05 radians wide
    assert np.abs(made - expected).mean() <= 0.01
    assert to_octahedral(image, 32) is made
    assert to_octahedral(image.copy(), 32) is not made


def test_lighting_takes_its_harmonics_from_the_map() -> None:
    light = Lighting().with_environment(np.ones((16, 32, 3), np.float32))
    assert light.sh[0] == pytest.approx(np.full(3, 2 * np.sqrt(np.pi)), rel=1e-5)
    assert np.abs(light.sh[1:]).max() <= 2e-2
    tensors = LightTensors.from_lighting(light)
    assert tensors.environment is not None
    assert tensors.environment.shape == (256, 256, 3)
    assert torch.allclose(tensors.environment, torch.ones(()))


def test_lights_as_tensors() -> None:
    spot = Light("spot", direction=(0, 2, 0), position=(1, 2, 3), right=(0, 1, 0), shadow=False)
    panel = Light("area", direction=(0, 0, 1), width=0.5, height=3.0, right=(2, 0, 1))
    tensors = LightTensors.from_lighting(Lighting([spot, panel, Light()]))
    assert tensors.kind.tolist() == [2, 3, 0]
    assert tensors.vector[0].tolist() == [1, 2, 3]
    assert tensors.axis[:2].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert (tensors.axis * tensors.right).sum(1).abs().max() < 1e-6
    assert tensors.right.norm(dim=1) == pytest.approx(1.0)
    assert tensors.right[1].tolist() == [1, 0, 0]
    assert tensors.shape[0].tolist() == pytest.approx([np.cos(np.pi / 6), np.cos(np.pi / 9), 0, 0])
    assert tensors.shape[1].tolist() == [0, 0, 0.25, 1.5]
    outer, inner, *_ = Light("spot", inner_angle=50.0, outer_angle=30.0).shape()
    assert outer < inner
    assert tensors.casts == (False, True, True)
