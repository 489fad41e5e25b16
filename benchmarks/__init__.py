"""Corgi side by side with its peers, on the same input, in alternating runs: `make bench NAME=train_step`.

train_step   a U-Net's step at 64 px, as a share of a plain matrix product's speed   imagen-pytorch, diffusers
loader       64 px samples from tars                                                 webdataset with two decoders
download     urls a second of a core, from a server on loopback                      img2dataset
embed        captions to per-token vectors                                           sentence-transformers, transformers
filters      what each scorer costs a pair                                           data-juicer
common       contenders, alternating runs, the last line
data         the images, captions and runs that all of them chew on

Peers live in an environment of their own (peers.txt, `make bench-setup`). Nothing here is imported by Corgi, and no
test waits for a timing. Imports anything.
"""
