r"""Latent-variable models that learn by a bound on the likelihood."""
