"""Self-contained HTML pages: document, SVG charts and embedded images."""
