"""Its own process: records in; spans, access log and the traces kept for a look, out."""
