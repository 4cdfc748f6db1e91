"""The page of a sensitivity study, and the page on what finished sweeps say about their params.

``content`` is the page of a study: its blocks and its doubts; ``captions`` has its words.
``effects`` computes how much a param moves a metric, ``tables`` lists it and ``figures`` draws it.
``sweeps`` does the same for the trials of sweeps, without training anything.
"""
