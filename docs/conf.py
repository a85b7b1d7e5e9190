"""Sphinx: the documentation as a site. Build it with ``make docs``."""

from headctl import __version__

project = "headctl"
author = "the headctl developers"
copyright = author  # noqa: A001 - Sphinx's own name
version = release = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"headctl {version}"
html_show_sourcelink = False
