"""Differentiable primitives on torch tensors, in nvdiffrast's published interface."""

from studio.core.ops.antialias import antialias, antialias_construct_topology_hash
from studio.core.ops.fused import rasterize_interpolate
from studio.core.ops.interpolate import interpolate
from studio.core.ops.rasterize import RasterizeCudaContext, RasterizeGLContext, rasterize
from studio.core.ops.texture import texture
from studio.core.ops.topology import Topology

__all__ = [
    "RasterizeCudaContext",
    "RasterizeGLContext",
    "Topology",
    "antialias",
    "antialias_construct_topology_hash",
    "interpolate",
    "rasterize",
    "rasterize_interpolate",
    "texture",
]
