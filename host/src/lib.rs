//! Pliant.
