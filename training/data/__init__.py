"""From positions to batches: a pure function of (config, index, positions), whoever asks and in whatever order.

index       which shards there are, and how many samples each has
order       which sample comes at which position
positions   which positions a step sees, and which none does
rng         random numbers that belong to a sample
dataset     place to sample: image and text embeds of a pair; with the captions of others for a control run
shard_rows  the rows of a shard, with its files held open
bad_images  what stands in for an image that cannot be used
crops       the same place in an image and in its low-res twin
loader      positions to a Batch, every random number drawn
prefetch    batches made ahead by threads, handed out in order

No file format stands here (storage has them), and nothing that knows of a net, a step or a rank but prefetch, which
deals micro-batches to ranks. Imports cascade, storage, configs, and of training config and distributed.
"""
