"""Files in and out: meshes, photos and cameras, environment maps."""
