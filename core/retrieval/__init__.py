"""Pages by the same hand: descriptors, rankings and their scores, likelihood ratios, an index."""
