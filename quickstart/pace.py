"""How many training steps fit into the minutes asked for, measured on this machine once, at the start."""

STAGES = ("base16", "sr64", "sr256")
