r"""Tutorials: percent-format scripts, and the notebooks rendered from them by ``__main__.py``."""
