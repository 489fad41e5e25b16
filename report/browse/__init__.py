"""`corgi browse FOLDER`: pairs on a local page, pictures read from tars by offset, labels by keyboard.

parts   what there is: a run, an export, or tars, tables and pictures of anybody
pairs   which pairs are shown, and what of them     page    what the page asks, and where labels go

page/ holds the page itself. Words of strangers travel as JSON and are set as text; sensitive pairs stay veiled, words
and picture, until they are asked for one by one.
"""
