"""A web that means harm, as data: what is served, and what must come of it.

case       what a case is, and the answers it is made of
server     plays all hosts of all cases on loopback
urls       S3, S4: where a table of urls must not lead, by itself, by redirects, by name servers
answers    S5, S9: answers that do not end, floods, packed bombs; content that is not the indexed one
pictures   S6, S12: bombs and what is no picture; metadata that must not be stored
further    S6: bombs in the formats that are taken on demand
wishes     S11: opt-outs, protocol by protocol
downloaders   who runs the gauntlet
"""
