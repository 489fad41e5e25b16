"""A person's folder of configs: written once, checked as a whole, and taken from its beginning to its pictures.

files      which YAML files there are and what each is        check      everything that is wrong with them, a line each
run        the commands of the whole way, one by one          init       `corgi init`: a look, then the files
look       what a table, shards or a folder of pictures hold  guess      which columns are urls and captions
policy     rules that keep most of it
presets    stages that suit the machine                       yaml_text  a config as people write it, with its reasons
reasons    why each key is there                          hours    how long a chain's jobs would take
calibrate  how many steps fit into the minutes         work     what is left to do of a chain
overview   where a run stands; overview_text: as a screen, and as JSON
doctor     is this machine well? accelerators: its GPUs, and the processes on them; all_reduce: what those run

Nothing is computed here: the commands do that, and each can be typed by itself. May import training and all that is
below it, and of slurm what it asks for and what it is told.
"""
