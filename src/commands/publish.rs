//! (verb not yet written)
