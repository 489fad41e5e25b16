"""The whole way once on real pairs: names, draw, captions, faults, web and table make the input; run runs the chain."""
