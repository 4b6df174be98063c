//! The numeric lane: statistics, screening, coordinate descent, stopping. Pure and seeded.
