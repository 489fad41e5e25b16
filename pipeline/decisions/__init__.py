"""What rules decide, before and after a change: counts and examples out of what is stored; nothing is scored anew.

what_if    another rule or policy beside today's        overlaps   what each rule takes alone, uniquely, in order
sweep      how much stays over the thresholds of a column   diff   what another run keeps and loses

over_shards   the same question to every shard, on a pool of processes
pairs_at      pairs to look at, as a person needs them

Only keep-lists, scores and pairs are read, and of those only the columns that are asked for.
"""
