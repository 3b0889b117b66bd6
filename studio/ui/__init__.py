"""The only importer of imgui_bundle and glfw."""
