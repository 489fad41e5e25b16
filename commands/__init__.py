"""The command line: one function a command, in the order in which a pair meets them.

A command takes what was typed, calls the folder that does the work, and prints what it came to. Heavy imports stand
inside the command that needs them, so that `--help` is quick. What a command does may not live here, and nothing
imports from here but `corgi.py`.

    app      the application, the arguments that several commands take, and how an outcome is told
    start    where a newcomer begins
    data     the pipeline's steps, and what is made of a run's pairs
    filters  what rules cost, and what others would do
    models   what is done with the stages of a cascade
    demo     the page where visitors click words, from its vocabulary to its server
    seeing   where a run stands, its logs, and how to end its jobs
    sync     what trackers are told of a run
    runs     one pair's story, and the cluster that a run may run on
    config   what can be said in configs and in rules
"""
