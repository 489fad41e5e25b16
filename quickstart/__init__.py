"""The whole way once on real pairs, by the commands that a person types.

names.py      the 4,009 drawings, their captions and splits    planted.py    what is planted beside them, and its end
captions.py   captions that a filter must stop                 draw.py       SVG to images in the formats of the web
table.py      images, url table and the truth about each row   web.py        the small web that serves them
demo.py       the page to click through, at its end
run.py        its configs, then the commands of `corgi run` with that web beside them

Nothing lives here that another run would need: only the input. How the quickstart is filtered, trained and judged
stands in configs/quickstart/. May import every folder of code but the commands and slurm.
"""
