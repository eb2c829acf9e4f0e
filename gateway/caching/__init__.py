"""What a shared HTTP cache is made of: freshness (RFC 9111), stored answers, fetching, single flight."""
