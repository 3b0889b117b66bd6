"""An interactive inverse-rendering studio: photos in, mesh, materials and light out."""

__version__ = "0.1.0"
