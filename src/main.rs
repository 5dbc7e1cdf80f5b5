//! Arguments → settings → environment → run → exit code.

fn main() {}
