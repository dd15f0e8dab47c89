r"""Networks that squeeze their input through a small code and learn to put it back together."""
