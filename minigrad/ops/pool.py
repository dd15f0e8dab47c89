r"""Placeholder, replaced by its author."""

__all__: list[str] = []
