"""What policies do to a call. `gateway.policies` says what YAML may ask for, and builds these."""
