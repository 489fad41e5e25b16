"""One stage, many processes: from an index of shards to a trained net.

config      TrainConfig, the batch arithmetic, the learning rate     order      which sample comes at which position
loader      positions to batches (samples, text, cache, ahead)       keyed      randomness that belongs to a sample
engine      accelerate and DeepSpeed from one config                 ema        moving averages, shared over the ranks
trainer     the loop                                                 validate   loss by noise level, caption gap
checkpoint  saved by name, committed, checked                        ledger     what happened; track mirrors it
launch      one process or many, stop and continue                   status, why, explain   for people
"""

import os

# Threads of torch's operators wait for each other by spinning, 0.3 M rounds by default; where another process wants the
# cores too, a step of a small net then takes ten times as long. Read when torch is loaded, so it stands here.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
