"""Are the filters right, and whom do they remove? Figures of a run after `select`, each with a 95 % interval.

intervals   Wilson's for a share, Newcombe's for the difference of two
removal     who is removed more often than others: by language, identity term, skin-tone emoji, host
hate        share of hateful captions before and after, over thresholds
drift       what differs from another run: shares that rules take, and how scores lie
sample      pairs to be looked at by a person, and what their labels say of each rule
audit       all of it, as a table and as RUN/audit/filters.json
"""
