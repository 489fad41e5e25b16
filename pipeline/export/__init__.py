"""export: only what was kept, repacked into even shards, train and held out apart, for any trainer.

export     the whole of it: cuts, runs, counts          shards    rows of a run that make up one exported shard
tars       WebDataset with everything beside it         tables    parquet, and parquet as Hugging Face reads it
options    what can be asked for                        readme    what stands in the folder for people

    export/README.md
           index.parquet                        of webdataset with text embeds: `data.index` of a training
           train/plan.parquet                   which rows of which shards make up each exported shard
           train/000/00000.tar  00000.parquet  00000.keep.parquet  00000.minilm.arrow
           held_out/...
           data/train-00000-of-00002.parquet    of parquet and hf

An export is made from keep-lists; a changed rule makes those of its shards stale that it touches, and the same command
makes them anew.
"""
