r"""Models, one file each, by family. ``python -m models`` lists them."""
