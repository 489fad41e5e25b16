"""download: planned urls become images of a bounded size, and a row for every pair that did not.

00042.urls.parquet -> 00042.tar + 00042_stats.json + 00042.parquet (committed last: the done-mark)

config               what may be fetched, how politely, how long, and what is stored
reasons              every reason a pair can be lost for, and the one order in which they are met
guard, resolver      urls and addresses that may be asked; names to checked addresses
host_limits          turns per host, waits between attempts
silent_hosts, uplink hosts that do not answer are given up; if nobody does, the step ends
wishes               what the host wishes, each of its files asked once
robots, opt_outs     robots.txt and its groups; what the protocols say of training, in headers, lines and files
session              connections, what is sent, and answers that are not quite HTTP
packed, body         a body as it was before it was packed; as it arrives
header               format and size from the first bytes
network_errors       what goes wrong between two machines, as reasons
image, resize, color decode, shrink, to sRGB, turn, encode    jpeg_segments   scans, what may be mended
further_formats      headers of gif, bmp, tiff and avif       metadata        turn and profile, all that is read of it
originals            which JPEGs stay as they are             decoders        processes that decode, and may die
block_lists          what must not be stored, by hash
fetch, guarded       one url through all of the above; a shard with our own fetcher
img2dataset_engine   a shard with the library, which runs in img2dataset_child
step                 the shard step
retry, some          finished shards, of which some pairs are asked for again
loosened             of which those are that a changed config lets through
advice               what each reason means to a person, and the key that would change it

What the files of a shard are called and hold is a matter of storage.pairs. Imports pipeline.step, storage and configs.
"""
