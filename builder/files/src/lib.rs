//! File ops over trees.
