"""Where the project's own files are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
DOCS = ROOT / "docs"
