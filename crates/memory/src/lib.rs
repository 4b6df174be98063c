//! What outlives a run: rules with their provenance.
