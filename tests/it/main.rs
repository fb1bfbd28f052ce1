//! The one integration binary.

mod publish;
