r"""Normalising flows: invertible networks with exact densities, alone and as posteriors."""
