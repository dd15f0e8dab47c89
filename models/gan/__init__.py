r"""Pairs of networks: one makes pictures, the other one learns to tell them from real ones."""
