"""download: planned urls become pictures of a bounded size, and a row for every pair that did not.

00042.urls.parquet -> 00042.tar + 00042_stats.json + 00042.parquet (committed last: the done-mark)

config    what may be fetched, how politely, how long, and what is stored
reasons   every reason a pair can be lost for, and the one order in which they are met
guard     urls and addresses that may be asked; resolver: names to checked addresses
pace      turns per host; robots, optout: what the host wishes
header    format and size from the first bytes; picture: decode, turn, shrink, encode
fetch     one url through all of the above
guarded   a shard with our own fetcher
img2dataset_engine, _child, _words: a shard with the library
record    the files both engines write; stats: what it took
step      the shard step, `pipeline.download.step.Download`
"""

from .config import DownloadConfig

__all__ = ["DownloadConfig"]
