"""The report on a store's runs, comparisons and sweeps, and the same tables for a terminal.

``write`` writes ``<out>/report/`` and is what the commands call. ``content`` says which tables and
figures the section of a benchmark has, ``captions`` what they say. ``inputs`` reads benchmarks and
studies, ``runs`` turns result rows into one frame with an entry for each run, and ``averages``
takes means over seeds and folds. From these, ``answer`` says in sentences what a reader wants to
know first, ``tables`` computes the tables of results and studies, ``ranking`` ranks and tests,
``optimism`` the optimism ledger, ``published`` the comparison with the literature, ``failures``
the causes of failures and ``provenance`` notes on mixed runs; ``defaults`` knows the detectors'
defaults, ``commands`` writes down what produces each number. ``figures`` draws comparisons and
searches, ``score_figures`` single scores and samples, for the runs that ``scores`` selects.
"""
