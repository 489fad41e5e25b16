"""What trackers are told of a run: `corgi sync RUN`, from the ledgers to W&B and to TensorBoard, again and again.

sync         all ledgers of a run at once, once or for as long as somebody works on it
sources      what becomes a run there: each step of a pipeline's run, and each training; under which id
told         which lines are told, and as which numbers: each step once, whatever was taken again
alerts       which lines somebody should hear of
examples     a table of kept and lost pairs, sensitive ones behind the veil
pictures     what a training drew, as far as it may be shown
artifacts    what each step made of what, by reference and digest
wandb_run    to W&B, online or into files
tensorboard  into a file of events

The ledger is the truth. A tracker is told what it does not know yet, by the number of a ledger's line, so that a sync
may be killed, repeated, and run beside the work. No other folder knows a tracker, and nobody waits for this one.
Imports report, for its veil, and what is below it.
"""
