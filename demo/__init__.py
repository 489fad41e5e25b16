"""The page where visitors click words of prepared sentences, see the picture change, and can type nothing.

    vocabulary -> lint -> compile -> review -> bundle -> verify, serve

vocabulary   sentences, groups of words, their product      policy       thresholds, lists, text rules
persons      words that speak of a person, disguised too    lint         all words, all sentences
draw         pictures: seeds, bytes, screening              compile      the shard step, and what it is made from
review       what people said of pictures                   review_page  where they say it, on loopback
bundle       the signed static site                         serve        its web server

page/ holds the page itself, and persons.txt the list of words. Nothing here trains or scores: stages draw, filters
judge, and what is written is known to storage/. May import every folder below the quickstart.
"""
