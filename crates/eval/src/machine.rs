//! The machine that numbers were measured on, as its operating system describes it.
//!
//! Reads `/proc` and `/etc/os-release` where there are any; elsewhere it says less, and never fails.

use serde::{Deserialize, Serialize};
use std::fs::read_to_string;

/// The facts of a machine that speed depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name, or `unknown`.
    pub cpu: String,
    /// How many threads can run at once, as far as this process may use them.
    pub cores: usize,
    /// For example `x86_64`.
    pub architecture: String,
    /// The instruction sets that kernels choose by, for example `avx2` and `avx512vnni`.
    pub features: Vec<String>,
    /// Operating system and kernel.
    pub os: String,
    /// Main memory in bytes, where the system tells.
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// Describes this machine.
    #[must_use]
    pub fn detect() -> Self {
        let cpu = read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_name(&text));
        let memory = read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
        Self {
            cpu: cpu.unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            architecture: std::env::consts::ARCH.into(),
            features: features().into_iter().map(String::from).collect(),
            os: system(),
            memory_bytes: memory,
        }
    }
}

/// The most memory that this process has held so far, in bytes; `None` where the system does not tell.
#[must_use]
pub fn peak_rss() -> Option<u64> {
    kilobytes(&read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    ["model name", "Model", "cpu model", "uarch"].iter().find_map(|wanted| {
        let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let (_, name) = fields.find(|(key, _)| key.trim() == *wanted)?;
        Some(name.split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

/// The bytes of a line such as `VmHWM:   1234 kB`.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn system() -> String {
    let named = read_to_string("/etc/os-release").ok().and_then(|text| pretty_name(&text));
    let kernel = read_to_string("/proc/sys/kernel/osrelease").ok();
    let name = named.unwrap_or_else(|| std::env::consts::OS.into());
    match kernel {
        Some(kernel) => format!("{name}, {} {}", std::env::consts::OS, kernel.trim()),
        None => name,
    }
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

macro_rules! detected {
    ($detect:ident: $($name:tt)*) => {
        [$(($name, std::arch::$detect!($name))),*].into_iter().filter(|f| f.1).map(|f| f.0).collect()
    };
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    detected!(is_x86_feature_detected: "sse4.2" "avx" "avx2" "fma" "f16c" "avxvnni" "avx512f" "avx512bw"
        "avx512vl" "avx512vnni" "avx512bf16")
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    detected!(is_aarch64_feature_detected: "neon" "fp16" "dotprod" "i8mm" "bf16" "sve" "sve2")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_core_and_an_architecture() {
        let m = Machine::detect();
        assert!(m.cores >= 1 && !m.cpu.is_empty() && !m.os.is_empty());
        assert_eq!(m.architecture, std::env::consts::ARCH);
        let text = serde_json::to_string(&m).unwrap();
        assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), m);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_memory() {
        let peak = peak_rss().unwrap();
        let total = Machine::detect().memory_bytes.unwrap();
        assert!(peak > 100 * 1024 && peak < total, "{peak} of {total}");
    }

    #[test]
    fn reads_what_systems_write_and_nothing_else() {
        let intel = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R)  Xeon(R) CPU\n";
        assert_eq!(cpu_name(intel).unwrap(), "Intel(R) Xeon(R) CPU");
        assert_eq!(cpu_name("processor : 0\n\nModel : Raspberry Pi 5\n").unwrap(), "Raspberry Pi 5");
        assert_eq!(cpu_name("nothing"), None);
        assert_eq!(kilobytes("VmPeak: 9 kB\nVmHWM:\t  12 kB\n", "VmHWM:"), Some(12 * 1024));
        assert_eq!(kilobytes("VmHWM: many kB", "VmHWM:"), None);
        assert_eq!(kilobytes("VmHWM: 18446744073709551615 kB", "VmHWM:"), None);
        assert_eq!(pretty_name("A=1\nPRETTY_NAME=\"Debian 13\"\n").unwrap(), "Debian 13");
    }
}
