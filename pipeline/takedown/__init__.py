"""takedown: pairs that must go, by a list, and everything in a run that was made from them.

lists      what a line of the list may say, and which rows of a table it means
find       the pairs that a list means, and all that they touch
shards     the files of one shard rewritten without their bytes
apply      the whole run, alone, so that a kill at any moment and the same command end alike

Finding changes nothing. What stays of a pair is its key, in the tables of planned pairs, and its digest among the
tombstones (storage.takedown), by which plan, download and adopt know it again.
"""
