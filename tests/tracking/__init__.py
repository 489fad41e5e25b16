"""Trackers: told each line once, whatever was killed; nothing that is secret, and nobody waits for them."""
