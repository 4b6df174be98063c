//! What the stub driver, the stub NVML and the testbed's host program have in common: the machine
//! the two stubs pretend to be, and what the driver tells the host program about a kernel launch.
//!
//! Layouts are C's, for the three are separate objects. No dependencies, no code beyond accessors.

pub mod launch;
pub mod machine;
