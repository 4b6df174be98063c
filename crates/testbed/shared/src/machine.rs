//! The machine the stubs pretend to be: GPUs like an H100's, all behind one NVSwitch plane.
//!
//! Only what NCCL reads. The names say that it is simulated; nothing here was measured.

/// GPUs of the machine, unless [`DEVICES_VARIABLE`] says otherwise.
pub const DEVICES: u32 = 8;
/// The variable that holds another count of GPUs, 1 to 16.
pub const DEVICES_VARIABLE: &str = "CCL_STUB_DEVICES";
/// Compute capability, major and minor.
pub const COMPUTE_CAPABILITY: (i32, i32) = (9, 0);
/// Streaming multiprocessors.
pub const SMS: i32 = 132;
/// Memory of one GPU, bytes. Address space only: pages that nobody writes cost nothing.
pub const MEMORY_BYTES: usize = 80 << 30;
/// NVLinks of one GPU, all to NVSwitches.
pub const NVLINKS: u32 = 18;
/// NVSwitches.
pub const NVSWITCHES: u32 = 4;

/// The first bus of the GPUs; GPU `n` is on bus `FIRST_BUS + n`.
const FIRST_BUS: u32 = 0x10;
/// The first bus of the NVSwitches.
const FIRST_SWITCH_BUS: u32 = 0xc0;

/// How many GPUs there are.
pub fn devices() -> u32 {
    std::env::var(DEVICES_VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|count| (1..=16).contains(count))
        .unwrap_or(DEVICES)
}

/// The PCI bus of a GPU.
pub fn bus_of(device: u32) -> u32 {
    FIRST_BUS + device
}

/// The PCI bus of the NVSwitch that a GPU's link leads to.
pub fn switch_bus_of(link: u32) -> u32 {
    FIRST_SWITCH_BUS + link % NVSWITCHES
}

/// A bus as PCI writes it, domain 0, device 0, function 0.
pub fn pci_id(bus: u32) -> String {
    format!("0000:{bus:02x}:00.0")
}

/// The GPU with a PCI id; `None` when it is none of this machine's.
pub fn device_of_pci_id(id: &str) -> Option<u32> {
    let bus = u32::from_str_radix(id.split(':').nth(1)?, 16).ok()?;
    let device = bus.checked_sub(FIRST_BUS)?;
    (device < devices()).then_some(device)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_id_leads_back_to_its_gpu() {
        for device in 0..devices() {
            assert_eq!(device_of_pci_id(&pci_id(bus_of(device))), Some(device));
        }
        for foreign in ["0000:0f:00.0", "0000:c0:00.0", "", "0000"] {
            assert_eq!(device_of_pci_id(foreign), None, "{foreign:?}");
        }
    }
}
