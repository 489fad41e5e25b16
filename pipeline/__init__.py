"""From a url table to trainable shards: a file a step, in the order of a pair's way.

plan                 a table of any size is cut into shards of planned pairs
table_files          which files a table is made of, here or elsewhere; table_digests: whether it changed
table_readers        how each kind of table is read: arrow_batches by Arrow, csv_tables, json_tables whole .json files
url_tables, joins    which columns are url, caption and the rest; further tables beside them; sql: how names are quoted
blocklists           lists of urls and hosts that are never asked for
buckets              rows spread over files, so that those that belong together meet in memory
captions             a caption as all that comes after sees it, beside the table's own
columns, check       what a pair has, step by step; what is wrong with a config before anything runs
rule_columns         which columns rules may use; column_facts: what a run holds in them
download             urls become images, or reasons
adopt                or else: shards and pictures that exist already
score                every image and caption gets its numbers
dedup, dedup_parts   which pairs are copies of which, over all shards, part by part; dedup_records: what it spreads
frequencies          how often a picture, a caption and a host stand in the run
select, policies     rules over the numbers: kept or not, and why; published sets of rules
lists                hashes, urls, hosts and texts that are never kept; picture_hashes: a list out of pictures
decisions            what rules cost, and what others would do, out of what is stored
embed                the text encoder's embeds of every kept caption
index                one row a shard: what training reads first
export               what was kept, repacked for any trainer

step, runner         what a step is; shares, skips and the ledger of all steps
attempts             every shard tried, and again where it fails
ray_engine           the workers of a Ray cluster in the place of processes here
blocks               shards that are read together by steps that see all rows
phases               a table step's work on a pool of processes, which goes on after a kill
config               a section a step
losses, verdict      loud words on a step that lost all, or almost all for one reason; what all shares came to
mirror               what W&B is told of a run, and the process beside that tells it
ranks                which share of the shards is ours, as typed or as the environment says
workers, watch       the processes of shard steps, which tell how far they are; what a person sees of that
devices              which GPU is whose
progress             the one progress bar, or lines in a log
status, why, funnel  where the steps stand; one pair's story; what each reason took
throughput           who is at work on a step, how fast, what it loses pairs for
forecast             what an edited config would make anew, and how long that takes
hosts                what hosts asked for, and which served other images than the table says
recheck              who objects by now to what is stored
takedown             pairs that must go, out of all files of a run

Which steps there are stands in configs.steps; what files are called and hold, in storage. Nothing here computes a score
(filters), runs a net (cascade) or knows of a training. Imports cascade, filters, storage and configs.
"""
