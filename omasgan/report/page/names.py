"""The names of a page's files, for those who only look for them."""

PAGE, SUMMARY = "index.html", "summary.md"
