"""Differentiable primitives on torch tensors, in nvdiffrast's published interface.

A program written for nvdiffrast runs here with `import studio.core.ops as dr`; docs/examples has
one. On a CPU call `studio.core.device.configure_threads()` first, or torch's own threads take the
cores from the kernels'.
"""

from studio.core.ops.antialias import antialias, antialias_construct_topology_hash
from studio.core.ops.context import (
    RasterizeCudaContext,
    RasterizeGLContext,
    get_log_level,
    set_log_level,
)
from studio.core.ops.fused import draw, rasterize_interpolate
from studio.core.ops.grid import Grid, Occupancy, camera_rays
from studio.core.ops.interpolate import interpolate
from studio.core.ops.march import march
from studio.core.ops.nmr import nmr
from studio.core.ops.peel import DepthPeeler
from studio.core.ops.rasterize import rasterize
from studio.core.ops.softras import softras
from studio.core.ops.splat import Splats, pinholes, project_gaussians, splat
from studio.core.ops.texture import texture
from studio.core.ops.texture_mip import texture_construct_mip
from studio.core.ops.topology import Topology

__all__ = [
    "DepthPeeler",
    "Grid",
    "Occupancy",
    "RasterizeCudaContext",
    "RasterizeGLContext",
    "Splats",
    "Topology",
    "antialias",
    "antialias_construct_topology_hash",
    "camera_rays",
    "draw",
    "get_log_level",
    "interpolate",
    "march",
    "nmr",
    "pinholes",
    "project_gaussians",
    "rasterize",
    "rasterize_interpolate",
    "set_log_level",
    "softras",
    "splat",
    "texture",
    "texture_construct_mip",
]
