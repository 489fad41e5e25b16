"""From a url table to trainable shards: plan, download, score, dedup, select, embed, index, report."""
