"""Keep, discard, or cannot tell: a candidate's runs against a baseline's, for any loop of "edit, train, decide"."""
