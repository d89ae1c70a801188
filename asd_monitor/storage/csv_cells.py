"""Text in CSV tables that a spreadsheet must not take for a formula."""

_FORMULA_STARTS = tuple("=+-@\t\r")


def plain_cell(value: object) -> object:
    """Return a cell of a table: text that begins like a formula gets an apostrophe before it.

    Numbers, and text that is a number, are unchanged.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
