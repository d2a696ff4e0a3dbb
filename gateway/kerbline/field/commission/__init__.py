"""`kerbline commission`: from a bare board to a proven, bound and claimed node, step by step."""
