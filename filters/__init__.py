"""Is this pair fit? Scorers compute columns, rules decide over them: arrays in, columns out.

base         Batch, and what a scorer is           scorers      the registry of scorers, and which of them run
size, caption, language, hate, sexual, privacy, noise, nsfw, pdq, toxic, clip    a scorer each
aesthetic, watermark, unsafe     scorers on the embeddings of clip    head         what these have in common
alphabet     which script a caption is written in
words        lists of bad words, and a caption's words  speech      who is meant in ordinary words, and what is said
attack       what both together speak for an attack
sonar        a classifier of hateful English
own          scorers of somebody's own, from a file or an installed package
named_model  models that transformers runs, from a folder or by name
model_file   where a scorer's model lies, its digest, a session on one thread
rules        named SQL expressions that must hold  expression   what an expression may say
devices      what a model runs on
thresholds   the numbers that rules compare columns with
near_list    which hashes are near one of a list
duplicates   which pairs are copies of which       hamming      near hashes, found without comparing all

No files and no folders of a run: what is read and written is a matter of the pipeline. Imports storage and configs.
"""
