"""From a url table to trainable shards: a file a step, in the order of a pair's way.

plan, url_tables     a table of any size is cut into shards of planned pairs
columns, check       what a pair has, step by step; what is wrong with a config before anything runs
download             urls become images, or reasons
score                every image and caption gets its numbers
dedup                which pairs are copies of which, over all shards
select               rules over the numbers: kept or not, and why
embed                the text encoder's embeds of every kept caption
index                one row a shard: what training reads first

step, runner         what a step is; shares, skips, retries and the ledger of all steps
config               a section a step
progress             the one progress bar
status, why, funnel  where the steps stand; one pair's story; what each reason took
takedown             pairs that must go, out of all files of a run

Which steps there are stands in configs.steps; what files are called and hold, in storage. Nothing here computes a score
(filters), runs a net (cascade) or knows of a training. Imports cascade, filters, storage and configs.
"""
