"""Everything here runs headless: no window, no OpenGL."""
