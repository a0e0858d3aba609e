//! routerpack
fn main() {}
