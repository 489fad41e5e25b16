"""Is this pair fit? Scorers compute columns, rules decide over them. No files, no folders: arrays in, columns out.

base.py        Batch, and what a scorer is
scorers.py     which scorers run, and with what
size.py caption.py language.py hate.py nsfw.py pdq.py       a scorer each
rules.py       named SQL expressions that must hold         expression.py   what an expression may say
duplicates.py  which pairs are copies of which              hamming.py      near hashes, found without comparing all
"""
