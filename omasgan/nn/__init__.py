"""Networks, divergences and boundary losses."""
