//! Which engine computes: chosen by cargo feature, opened at run time as one burn device.
//!
//! Every `cfg` over backends in the workspace is in this module; all other code takes a device.

#[cfg(any(feature = "ndarray", feature = "flex", feature = "wgpu"))]
pub mod host;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An engine that tensors can live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// burn's `ndarray` backend on the CPU: the default.
    Ndarray,
    /// burn's `flex` backend on the CPU, the successor of `ndarray`.
    Flex,
    /// burn's `wgpu` backend on a GPU (or a software Vulkan driver).
    Wgpu,
}

/// A backend cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The name is not a backend's.
    #[error("unknown backend {0:?}: expected ndarray, flex or wgpu")]
    Unknown(String),
    /// The backend is not in this build.
    #[error("backend {0} is not compiled in (this build has: {1}); build again with `--features {0}`")]
    NotCompiled(BackendKind, String),
    /// No graphics adapter answers.
    #[error(
        "backend wgpu found no graphics adapter; install a Vulkan driver (on Debian without a GPU: \
         `apt-get install mesa-vulkan-drivers libvulkan1`) or use `--backend ndarray`"
    )]
    NoAdapter,
}

impl BackendKind {
    /// Every backend that nlpress knows.
    pub const ALL: [Self; 3] = [Self::Ndarray, Self::Flex, Self::Wgpu];

    /// Its name, as in cargo features and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndarray => "ndarray",
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
        }
    }

    /// Whether this build can use it.
    pub fn is_compiled(self) -> bool {
        match self {
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Flex => cfg!(feature = "flex"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }

    /// The backends of this build, the preferred first.
    pub fn compiled() -> Vec<Self> {
        Self::ALL.into_iter().filter(|b| b.is_compiled()).collect()
    }

    /// Whether it computes in the memory of this process, so that plain slices reach its tensors cheaply.
    pub fn is_cpu(self) -> bool {
        !matches!(self, Self::Wgpu)
    }

    /// The backend of a device.
    #[cfg(any(feature = "ndarray", feature = "flex", feature = "wgpu"))]
    pub fn of(device: &burn::tensor::Device) -> Self {
        let device = device.clone().inner();
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // as in `open`
        if device == burn::tensor::Device::ndarray() {
            return Self::Ndarray;
        }
        #[cfg(feature = "flex")]
        if device == burn::tensor::Device::flex() {
            return Self::Flex;
        }
        let _ = device;
        Self::Wgpu
    }

    /// Opens the backend.
    ///
    /// # Errors
    /// [`BackendError::NotCompiled`], or [`BackendError::NoAdapter`] when wgpu finds nothing to run on.
    #[cfg(any(feature = "ndarray", feature = "flex", feature = "wgpu"))]
    pub fn open(self) -> Result<Backend, BackendError> {
        let device = match self {
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)]
            // burn prefers flex; nlpress keeps ndarray for as long as burn ships it
            Self::Ndarray => burn::tensor::Device::ndarray(),
            #[cfg(feature = "flex")]
            Self::Flex => burn::tensor::Device::flex(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => {
                use burn::tensor::{Device, DeviceKind, DeviceType};
                if Device::enumerate(DeviceType::Wgpu).into_vec().is_empty() {
                    return Err(BackendError::NoAdapter);
                }
                Device::wgpu(DeviceKind::DefaultDevice)
            }
            #[allow(unreachable_patterns)] // reachable only when a backend is left out of the build
            other => return Err(other.not_compiled()),
        };
        Ok(Backend { kind: self, device })
    }

    /// The error of asking for a backend that this build lacks.
    pub fn not_compiled(self) -> BackendError {
        let have = Self::compiled().iter().map(|b| b.name()).collect::<Vec<_>>().join(", ");
        BackendError::NotCompiled(self, if have.is_empty() { "none".into() } else { have })
    }
}

/// An opened backend: its kind and the burn device that tensors are made on.
#[cfg(any(feature = "ndarray", feature = "flex", feature = "wgpu"))]
#[derive(Clone, Debug)]
pub struct Backend {
    kind: BackendKind,
    device: burn::tensor::Device,
}

#[cfg(any(feature = "ndarray", feature = "flex", feature = "wgpu"))]
impl Backend {
    /// Which backend it is.
    pub fn kind(&self) -> BackendKind {
        self.kind
    }

    /// Its device, without gradients.
    pub fn device(&self) -> &burn::tensor::Device {
        &self.device
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendKind {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        Self::ALL.into_iter().find(|b| b.name() == text).ok_or_else(|| BackendError::Unknown(text.into()))
    }
}
