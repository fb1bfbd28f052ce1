//! The one integration binary.
mod emulator;
