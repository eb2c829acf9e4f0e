"""Proxies written for comparison: what each of them would be without this gateway."""
