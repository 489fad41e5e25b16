"""How names and texts are written in SQL."""


def quoted(name: str, mark: str = '"') -> str:
    """Return a name, or with mark "'" a text, as SQL writes it."""
    return mark + name.replace(mark, 2 * mark) + mark
