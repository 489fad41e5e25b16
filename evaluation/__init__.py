"""Looking at what a run came to: images drawn by its stages, and figures measured on them, by `corgi evaluate`.

config.py       how a run is evaluated               evaluate.py     the command: cascade, figures.json
eval_set.py     which pairs, and their real images   measure.py      every figure, with its bar
sample_sets.py  sets of samples, stage by stage      mobilenet.py    features of images
draw.py         `corgi sample`: captions to PNGs     start_pictures.py  what it enlarges without a base
nearest.py      training pictures that are most like an image
caption_gap.py  do captions lower the loss?          groups.py       is the nearest real image of the caption's group?
enlarging.py    is a stage better than bilinear, and does it keep colours?
filter_audit    are the filters right, and whom do they remove?

No training loop lives here (its own validation is training's), no page (that is the report's), and nothing that only
the quickstart knows: columns, counts and bars come from a run's evaluate.yaml. Imports pipeline, cascade, filters,
storage, configs.
"""
