//! Lets the programs' own `getrandom` be found by every crate, also by those that look it up by its
//! name while they run.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol=getrandom");
}
