"""The experiments of Laine et al. 2020 (sections 4.1 to 4.5), with this project's primitives.

One file per experiment; `experiment.py` runs one and saves what it made.
"""

NAMES = ("cube", "earth", "envphong", "pose", "depth")
