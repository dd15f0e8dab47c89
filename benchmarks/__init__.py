r"""The same training step here and in other frameworks, timed side by side. Start at README.md."""
