//! What crates/rind/build.rs tells the program, which is the target `arguments`.

fn main() {
    println!("cargo::rustc-env=RIND_COMMIT=fuzzed");
    println!("cargo::rustc-env=RIND_DATE=");
}
