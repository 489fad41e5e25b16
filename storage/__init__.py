"""The floor of the house: every file format once, its reader and its writer together.

atomic       files that are whole or absent, JSON, digests        tables       parquet with a mark of what made it
shard        where the files of a shard lie                       run          what lies at the top of a run
footers      what files say of themselves, read quickly
pairs        planned pairs, tar, stats, what became of each       tar          members and images by offset
tar_members  what is in a stranger's tar                          exports      what an export is cut into
staging      how a shard's files change together                  takedown     what must not come back, by its digest
scores       columns of the scorers                               keep_list    kept or not, and which rules failed
plan         where shards begin, what was dropped                 duplicates   which pairs are copies of which
frequent     what stands under many pairs
text_embeds  vectors of the kept captions                         index        one row a shard, for training
checkpoint   safetensors that commit; marks: of their bytes       ledger       what happened, line by line
samples      generated images of a run                            grids        what a training drew over time
spread       scratch records of all rows, part by part            processes, lease   one writer; no orphans
pictures     PNGs that say how they were drawn                 machine      what a machine is, in a few words
typed        commands for errors, to be pasted                 hub          models that are fetched by name
demo         pictures of sentences, and their reviews             signed       a folder whose files a manifest signs
fates        what became of a shard's pairs, summed up in a footer

Names of files, columns and metadata stand here and nowhere else. Nothing here decides anything about a pair, computes a
score or knows a config: that belongs above. Imports configs only.
"""
