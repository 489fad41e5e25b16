"""`corgi browse RUN`: a run's pairs on a local page, pictures read from the tars by offset, labels by keyboard.

pairs   which pairs are shown, and what of them     page    what the page asks, and where labels go

page/ holds the page itself. Words of strangers travel as JSON and are set as text; sensitive pairs stay veiled, words
and picture, until they are asked for one by one.
"""
