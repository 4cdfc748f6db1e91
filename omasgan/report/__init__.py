"""What is said of results: pages, tables and figures; nothing here trains.

``page`` is the toolkit: it turns blocks of content into HTML, Markdown, LaTeX and pictures.
``results`` reports on runs, comparisons and sweeps, ``sensitivity`` on sensitivity studies and
``paper`` on the paper's suites; each is named after the experiment whose rows it reads. The
numbers that they share are computed in ``statistics``; ``meanings`` reads what params mean.
"""
