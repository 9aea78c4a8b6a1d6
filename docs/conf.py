"""How the documentation is built: offline, and with everything that the code knows taken from the code."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "ext"))

import hutong

project = "Hutong"
author = "The Hutong maintainers"
copyright = f"2026, {author}"
release = hutong.__version__

extensions = ["myst_parser", "generate"]
exclude_patterns = ["_build", "_generated"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Hutong"
html_static_path = ["static"]
html_css_files = ["hutong.css"]
html_favicon = "static/icon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6b3a", "color-brand-content": "#0b6b3a"},
    "dark_css_variables": {"color-brand-primary": "#5fd08d", "color-brand-content": "#5fd08d"},
}
