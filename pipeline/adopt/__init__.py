"""adopt: shards and pictures that people have already become a run, without the network.

config     what is adopted, and how far it is trusted          sources      which files there are, cut into shards
samples    a sample of any source, and columns of all          tars         WebDataset: img2dataset, open_clip, DataComp
step       the shard step itself                               tables       parquet and Arrow that hold images
advice     why samples are lost, and what to do              pictures     a folder of images with captions beside them
packed     tars packed by gzip, unpacked for a while

A tar whose images can be used as they are is read where it lies: the shard's own tar is a link to it, and a few that
cannot are lost. Everything else is copied into a tar of the shard's own, byte for byte where it can be used, else
encoded anew like a download.

Why a sample is lost, beside the reasons of the download that are about bytes (pipeline/download/reasons.py):

    no_image        nothing that is named like an image, or an empty column
    no_caption      no text, or an empty one
    unreadable      text that is no UTF-8, metadata that is no JSON, or too much of either
    duplicate_key   another sample of the shard has its key already
    needs_copy      one of the few of its tar that cannot be used as they lie there
    cut_short       the tar ends inside it, or is damaged there
"""
