//! Links the shared object so that it stays mapped for as long as the process lives: NCCL closes
//! plugins while their functions may still be on some thread's stack.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,relro,-z,now");
    println!("cargo:rerun-if-changed=build.rs");
}
