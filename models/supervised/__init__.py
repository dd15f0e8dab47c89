r"""Networks that learn from labels."""
