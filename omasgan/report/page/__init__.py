"""The toolkit of all reports: content as blocks, and what turns it into files.

``blocks`` defines pages, sections, tables and figures. ``html`` renders the page (with
``page.html.j2``, ``page.css`` and ``page.js``), ``plain`` renders Markdown and terminal tables,
``latex`` LaTeX tables, and ``files`` collects everything that a report's folder holds.
``drawing`` turns a matplotlib figure into SVG, PNG and PDF, ``plots`` has plots that several
reports share, ``palette`` the colours and sizes of figures, and ``formats`` the way in which
numbers, intervals and params are written.
"""
