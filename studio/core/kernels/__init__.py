"""Warp kernels, one module per primitive, and the one launcher that runs them."""
