"""The page of a run: report/index.html, one file that opens offline; whole pictures lie in a folder beside it.

page      what stands on it, in order               render     templates, and the gate that all text passes
about     when, where, by what it was made          album      thumbnails within their room, and whole pictures
samples   generated images beside real ones         grids      what a training drew over time
training  curves from the stages' own ledgers       chart      axes, ticks and names of a line chart
funnel    reasons with cards of lost pairs          scores     histograms with the rules' thresholds
web       what all servers of pages have in common  local_page  a page that only its reader can ask
rate      how much one client may ask               connections how long it may take to ask
browse    pairs of a run, on such a page
decisions what other rules would do, for a terminal
timings   where the time went                       sensitive  what is hidden until it is asked for

templates/*.html.j2 hold the words and the markup, report.css, report.js and corgi.svg go into the page as they are. The
modules read and compute what a template prints. Nothing is measured, decided or written here but the page and its
funnel.json, and no text reaches the page past `render`. May import training, evaluation and all that is below them.
"""
