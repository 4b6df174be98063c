//! The few functions of the CUDA driver this program needs, looked up in `libcuda.so.1`: NVIDIA's
//! or the stub. With the stub there are three functions more.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::time::Duration;

use ccl_stub::launch::{Advance, Quiesce, SetOnLaunch};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use thiserror::Error;

/// Why the driver cannot be used.
#[derive(Debug, Error)]
pub enum DriverError {
    /// No driver, or one without a function that every driver has.
    #[error("cannot use the CUDA driver libcuda.so.1: {0}")]
    Load(#[from] libloading::Error),
    /// Only the stub simulates.
    #[error("a real driver does not take simulated work")]
    NotSimulated,
    /// A function answered an error.
    #[error("{function} answered {code} ({text})")]
    Call {
        /// The function.
        function: &'static str,
        /// Its `CUresult`.
        code: c_int,
        /// What the driver says about it.
        text: String,
    },
}

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*);)*) => {
        struct Functions { $($field: unsafe extern "C" fn($($argument),*) -> c_int,)* }

        impl Functions {
            fn of(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the signatures are those of the CUDA driver interface.
                    $($field: *unsafe { library.get($symbol) }?,)*
                })
            }
        }
    };
}

functions! {
    init = b"cuInit": fn(c_uint);
    device_count = b"cuDeviceGetCount": fn(*mut c_int);
    device_name = b"cuDeviceGetName": fn(*mut c_char, c_int, c_int);
    retain_context = b"cuDevicePrimaryCtxRetain": fn(*mut Handle, c_int);
    set_context = b"cuCtxSetCurrent": fn(Handle);
    allocate = b"cuMemAlloc_v2": fn(*mut u64, usize);
    free = b"cuMemFree_v2": fn(u64);
    upload = b"cuMemcpyHtoDAsync_v2": fn(u64, *const c_void, usize, Handle);
    download = b"cuMemcpyDtoHAsync_v2": fn(*mut c_void, u64, usize, Handle);
    fill = b"cuMemsetD8Async": fn(u64, u8, usize, Handle);
    version = b"cuDriverGetVersion": fn(*mut c_int);
    create_stream = b"cuStreamCreate": fn(*mut Handle, c_uint);
    destroy_stream = b"cuStreamDestroy_v2": fn(Handle);
    synchronize_stream = b"cuStreamSynchronize": fn(Handle);
    create_event = b"cuEventCreate": fn(*mut Handle, c_uint);
    destroy_event = b"cuEventDestroy_v2": fn(Handle);
    record_event = b"cuEventRecord": fn(Handle, Handle);
    elapsed_ms = b"cuEventElapsedTime": fn(*mut f32, Handle, Handle);
    error_text = b"cuGetErrorString": fn(c_int, *mut *const c_char);
}

/// What the driver calls a context, a stream or an event.
pub type Handle = *mut c_void;

/// A driver.
pub struct Driver {
    functions: Functions,
    stub: Option<Stub>,
}

struct Stub {
    on_launch: SetOnLaunch,
    quiesce: Quiesce,
    advance: Advance,
}

/// A stream of the device that was current when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stream(pub(crate) Handle);

/// A moment on a stream.
#[derive(Clone, Copy, Debug)]
pub struct Event(Handle);

/// Memory of a device.
#[derive(Clone, Copy, Debug)]
pub struct Buffer(pub(crate) u64);

/// `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: c_uint = 1;

impl Driver {
    /// Loads the driver the loader finds and initialises it. It stays loaded.
    ///
    /// # Errors
    /// When there is none, or it cannot be initialised.
    pub fn load() -> Result<Self, DriverError> {
        // SAFETY: a CUDA driver; its initialisers are made for any process.
        let library = unsafe { Library::open(Some("libcuda.so.1"), RTLD_NOW | RTLD_GLOBAL) }?;
        let functions = Functions::of(&library)?;
        // SAFETY: the stub exports them with these types.
        let stub = unsafe {
            let on_launch = library.get::<SetOnLaunch>(b"ccl_stub_on_launch");
            let quiesce = library.get::<Quiesce>(b"ccl_stub_quiesce");
            let advance = library.get::<Advance>(b"ccl_stub_advance");
            match (on_launch, quiesce, advance) {
                (Ok(on_launch), Ok(quiesce), Ok(advance)) => Some(Stub {
                    on_launch: *on_launch,
                    quiesce: *quiesce,
                    advance: *advance,
                }),
                _ => None,
            }
        };
        // Threads of NCCL run in there until the process ends.
        std::mem::forget(library);
        let driver = Self { functions, stub };
        // SAFETY: the first call there has to be.
        driver.check("cuInit", unsafe { (driver.functions.init)(0) })?;
        Ok(driver)
    }

    /// Whether it is the stub: no data moves, times are simulated.
    pub fn is_stub(&self) -> bool {
        self.stub.is_some()
    }

    pub(crate) fn on_launch(&self, callback: ccl_stub::launch::OnLaunch) {
        if let Some(stub) = &self.stub {
            // SAFETY: the callback ignores its context and may be called from any thread.
            unsafe { (stub.on_launch)(Some(callback), std::ptr::null_mut()) };
        }
    }

    /// Queues simulated work on a stream.
    ///
    /// # Errors
    /// That a real driver does not simulate.
    pub fn advance(&self, stream: Stream, duration: Duration) -> Result<(), DriverError> {
        let stub = self.stub.as_ref().ok_or(DriverError::NotSimulated)?;
        let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: a stream of this driver.
        self.check("ccl_stub_advance", unsafe {
            (stub.advance)(stream.0, duration_ns)
        })
    }

    /// With the stub: waits until network proxies stand still. Communicators over several nodes must
    /// not be destroyed before.
    pub fn quiesce(&self, quiet: Duration) {
        if let Some(stub) = &self.stub {
            let quiet_ms = u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX);
            // SAFETY: it takes a number and waits.
            unsafe { (stub.quiesce)(quiet_ms) };
        }
    }

    fn check(&self, function: &'static str, code: c_int) -> Result<(), DriverError> {
        if code == 0 {
            return Ok(());
        }
        let mut text = std::ptr::null();
        // SAFETY: a place for one pointer.
        let known = unsafe { (self.functions.error_text)(code, &raw mut text) } == 0;
        let text = if known && !text.is_null() {
            // SAFETY: the driver answers a C string that lives as long as it does.
            unsafe { CStr::from_ptr(text) }
                .to_string_lossy()
                .into_owned()
        } else {
            "unknown".to_owned()
        };
        Err(DriverError::Call {
            function,
            code,
            text,
        })
    }

    /// Devices of this machine.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn devices(&self) -> Result<u32, DriverError> {
        let mut count = 0;
        // SAFETY: a place for one number.
        let code = unsafe { (self.functions.device_count)(&raw mut count) };
        self.check("cuDeviceGetCount", code)?;
        Ok(count.unsigned_abs())
    }

    /// A device's name.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn device_name(&self, device: u32) -> Result<String, DriverError> {
        let mut name: [c_char; 128] = [0; 128];
        // SAFETY: room for 128 bytes, and the driver writes no more.
        let code =
            unsafe { (self.functions.device_name)(name.as_mut_ptr(), 128, device.cast_signed()) };
        self.check("cuDeviceGetName", code)?;
        // SAFETY: the driver ends the text with zero, and the array was all zeros.
        let text = unsafe { CStr::from_ptr(name.as_ptr()) };
        Ok(text.to_string_lossy().into_owned())
    }

    /// Makes a device the calling thread's own.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn use_device(&self, device: u32) -> Result<(), DriverError> {
        let mut context = std::ptr::null_mut();
        // SAFETY: a place for one handle.
        let code =
            unsafe { (self.functions.retain_context)(&raw mut context, device.cast_signed()) };
        self.check("cuDevicePrimaryCtxRetain", code)?;
        // SAFETY: the context was just answered.
        self.check("cuCtxSetCurrent", unsafe {
            (self.functions.set_context)(context)
        })
    }

    /// Allocates memory on the current device.
    ///
    /// # Errors
    /// When there is not enough.
    pub fn allocate(&self, bytes: usize) -> Result<Buffer, DriverError> {
        let mut address = 0;
        // SAFETY: a place for one address.
        let code = unsafe { (self.functions.allocate)(&raw mut address, bytes) };
        self.check("cuMemAlloc", code)?;
        Ok(Buffer(address))
    }

    /// Frees memory that nothing queued uses any more.
    ///
    /// # Errors
    /// When the driver does not know it.
    pub fn free(&self, buffer: Buffer) -> Result<(), DriverError> {
        // SAFETY: an address the driver answered; it checks that it is still one.
        self.check("cuMemFree", unsafe { (self.functions.free)(buffer.0) })
    }

    /// Queues a copy to the start of a buffer; the bytes may change when the stream has been waited for.
    ///
    /// # Errors
    /// When the driver refuses, as where the buffer is too small.
    pub fn upload(&self, from: &[u8], to: Buffer, stream: Stream) -> Result<(), DriverError> {
        // SAFETY: as many bytes as are there; the driver checks the buffer.
        self.check("cuMemcpyHtoDAsync", unsafe {
            (self.functions.upload)(to.0, from.as_ptr().cast(), from.len(), stream.0)
        })
    }

    /// Copies from the start of a buffer, when all that is queued before is done.
    ///
    /// # Errors
    /// When the driver refuses, or what went wrong on the device.
    pub fn download(&self, from: Buffer, to: &mut [u8], stream: Stream) -> Result<(), DriverError> {
        // SAFETY: room for as many bytes, which stays until the stream was waited for.
        self.check("cuMemcpyDtoHAsync", unsafe {
            (self.functions.download)(to.as_mut_ptr().cast(), from.0, to.len(), stream.0)
        })?;
        self.synchronize(stream)
    }

    /// Queues the filling of the first bytes of a buffer.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn fill(
        &self,
        buffer: Buffer,
        value: u8,
        bytes: usize,
        stream: Stream,
    ) -> Result<(), DriverError> {
        // SAFETY: the driver checks the buffer.
        self.check("cuMemsetD8Async", unsafe {
            (self.functions.fill)(buffer.0, value, bytes, stream.0)
        })
    }

    /// The CUDA release the driver is for, as `major.minor`.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn cuda_version(&self) -> Result<String, DriverError> {
        let mut version = 0;
        // SAFETY: a place for one number.
        let code = unsafe { (self.functions.version)(&raw mut version) };
        self.check("cuDriverGetVersion", code)?;
        Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    /// Makes a stream on the current device.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn stream(&self) -> Result<Stream, DriverError> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: a place for one handle.
        let code = unsafe { (self.functions.create_stream)(&raw mut stream, NON_BLOCKING) };
        self.check("cuStreamCreate", code)?;
        Ok(Stream(stream))
    }

    /// Waits for all that is queued; with the stub there is nothing to wait for.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub fn synchronize(&self, stream: Stream) -> Result<(), DriverError> {
        // SAFETY: a stream of this driver.
        self.check("cuStreamSynchronize", unsafe {
            (self.functions.synchronize_stream)(stream.0)
        })
    }

    /// Ends a stream.
    ///
    /// # Errors
    /// When the driver does not know it.
    pub fn destroy_stream(&self, stream: Stream) -> Result<(), DriverError> {
        // SAFETY: a stream of this driver.
        self.check("cuStreamDestroy", unsafe {
            (self.functions.destroy_stream)(stream.0)
        })
    }

    /// Marks a moment on a stream.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn record(&self, stream: Stream) -> Result<Event, DriverError> {
        let mut event = std::ptr::null_mut();
        // SAFETY: a place for one handle.
        let code = unsafe { (self.functions.create_event)(&raw mut event, 0) };
        self.check("cuEventCreate", code)?;
        // SAFETY: an event and a stream of this driver.
        let code = unsafe { (self.functions.record_event)(event, stream.0) };
        self.check("cuEventRecord", code)?;
        Ok(Event(event))
    }

    /// Time between two moments that have passed, microseconds; ends both events.
    ///
    /// # Errors
    /// When one has not passed yet.
    pub fn elapsed_us(&self, start: Event, end: Event) -> Result<f64, DriverError> {
        let mut milliseconds = 0f32;
        // SAFETY: a place for one number, and two events of this driver.
        let code = unsafe { (self.functions.elapsed_ms)(&raw mut milliseconds, start.0, end.0) };
        self.check("cuEventElapsedTime", code)?;
        for event in [start, end] {
            // SAFETY: an event of this driver that is not used again.
            let code = unsafe { (self.functions.destroy_event)(event.0) };
            self.check("cuEventDestroy", code)?;
        }
        Ok(f64::from(milliseconds) * 1e3)
    }
}
