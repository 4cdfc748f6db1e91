"""The studies of OMASGAN's paper as suites: data that say what is trained, drawn and quoted.

A suite (``benchmarks/paper/<name>.toml``) names benchmarks, arms (a detector at its settings),
budgets and drawings. ``suites`` reads it, ``planning`` says what it trains at a budget, and
``training`` trains that on a backend into a store. ``omasgan.report.paper`` makes the page.
"""
