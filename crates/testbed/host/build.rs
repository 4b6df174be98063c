//! The program's own `getenv` and `recv` must be found by the libraries it loads.

fn main() {
    for symbol in ["getenv", "recv"] {
        println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol={symbol}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
