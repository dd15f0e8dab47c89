r"""Neural processes: distributions over functions, learned from many functions."""
