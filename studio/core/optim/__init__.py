"""Fitting a scene to photos: steppable `Fit`, background `Worker`, losses, presets."""
