"""Measurements: gradients against finite differences, speed beside peers."""
