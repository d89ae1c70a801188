"""Self-contained HTML pages: the document, SVG charts and PNG images."""
