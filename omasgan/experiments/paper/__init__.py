"""The studies of OMASGAN's paper as suites: data that says what is trained, drawn and quoted.

A suite (``benchmarks/paper/<name>.toml``) names benchmarks, arms (a detector at its settings),
budgets and drawings. ``suites`` reads it, ``planning`` says what a budget trains, ``training``
trains it on a backend into a store, ``content`` makes a page of the rows.
"""
