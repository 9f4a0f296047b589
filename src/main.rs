//! The `hallpass` program.

fn main() {}
