"""One stage, many processes: from an index of shards to a trained net.

config           TrainConfig, the batch arithmetic, the learning rate
check            what is wrong, before its folder is touched            beginning        first lines
launcher         `corgi train`: one process or many, exit codes         run_folder       what was asked for stands first
supervisor       the ranks of one machine, looked after                 nodes            where machines meet, and end
vital_signs      what a rank shows its launcher                         attempts         starts that lead nowhere
trainer          the loop                                               preemption       asked to save and leave
state            where it stands                                        looks            fixed sets, now and then
engine           accelerate and DeepSpeed from one config               distributed      ranks, and what they tell
loss             a batch to the loss of each sample                     ema              moving averages, shared out
checkpoint       what is saved of a training, and loaded                optimizer_state  Adam by name, under any ZeRO
validation       loss by noise level, caption gap                       grid             what it draws by now
metrics          ledger, terminal                                       recent           steps of late; stragglers
changes          settings that differ, from which step on               ending           last lines, and what comes next
status, why      what people ask of trainings; standing: in numbers     takedown         pairs that go, and who saw them

data/            positions to batches: order of samples, images, text, random numbers

A stage is data: no net, schedule or sampler is defined here, but in cascade; no file format, but in storage; nothing is
judged here but by its loss: figures are evaluation's. Imports evaluation, pipeline, cascade, storage, configs.
"""

import os

# Threads of torch's operators wait for each other by spinning, 0.3 M rounds by default; where another process wants the
# cores too, a step of a small net then takes ten times as long. Read when torch is loaded, so it stands here.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
