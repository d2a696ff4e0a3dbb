"""Makes releases: assembles a bundle, keeps a release key, and never uses an index of it twice."""
