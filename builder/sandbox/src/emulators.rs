//! Which platforms this machine runs, by itself or through qemu-user.

use std::path::{Path, PathBuf};

use routerpack_graph::platform::Platform;
use serde::{Deserialize, Serialize};

use crate::elf::{self, Elf};
use crate::probe::Facts;
use crate::step::Emulation;

/// Binaries of one machine and the CPU that they get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `e_machine`.
    pub machine: u16,
    /// 64-bit ELF class.
    pub is_64_bit: bool,
    /// qemu's name of the CPU model.
    pub cpu: String,
}

/// A qemu-user program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulator {
    /// Where it is.
    pub path: PathBuf,
    /// GOARCH of what it runs: `arm`, `arm64`, `amd64`, `386`, `riscv64`.
    pub architecture: &'static str,
    /// Without a dynamic loader; only such a one works in a foreign root filesystem.
    pub is_static: bool,
}

impl Emulator {
    /// The platforms that it runs: one for each CPU model.
    pub fn platforms(&self) -> Vec<Platform> {
        MODELS
            .iter()
            .filter(|m| m.architecture == self.architecture)
            .map(|m| Platform::new("linux", m.architecture, m.variant))
            .collect()
    }
}

struct Model {
    architecture: &'static str,
    variant: &'static str,
    qemu: &'static str,
    machine: u16,
    is_64_bit: bool,
    cpu: &'static str,
}

const fn model(
    architecture: &'static str,
    variant: &'static str,
    qemu: &'static str,
    machine: u16,
    is_64_bit: bool,
    cpu: &'static str,
) -> Model {
    Model { architecture, variant, qemu, machine, is_64_bit, cpu }
}

/// The emulated CPU is the target's: code that would die on the device dies in the build. `arm926` alone lets VFP
/// instructions through. `amd64` without a variant gets what all x86-64 machines of the last fifteen years have.
const MODELS: [Model; 9] = [
    model("arm", "v5", "arm", elf::EM_ARM, false, "arm926,vfp=off"),
    model("arm", "v6", "arm", elf::EM_ARM, false, "arm1176"),
    model("arm", "v7", "arm", elf::EM_ARM, false, "cortex-a7"),
    model("arm64", "", "aarch64", elf::EM_AARCH64, true, "cortex-a53"),
    model("amd64", "", "x86_64", elf::EM_X86_64, true, "Nehalem"),
    model("amd64", "v2", "x86_64", elf::EM_X86_64, true, "Nehalem"),
    model("amd64", "v3", "x86_64", elf::EM_X86_64, true, "Haswell"),
    model("386", "", "i386", elf::EM_386, false, "n270"),
    model("riscv64", "", "riscv64", elf::EM_RISCV, true, "rv64"),
];

fn model_of(platform: &Platform) -> Option<&'static Model> {
    MODELS.iter().find(|m| m.architecture == platform.architecture && m.variant == platform.variant)
}

/// Why a platform can't be run here. Said before the step starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmulationError {
    /// There is no qemu for it.
    #[error("no emulator for {platform} was found (searched {searched}); {mend}")]
    NoEmulator {
        /// Which platform.
        platform: String,
        /// The directories.
        searched: String,
        /// The command that helps.
        mend: String,
    },
    /// A dynamically linked one does not work inside another root filesystem.
    #[error("the emulator {path} for {platform} is dynamically linked, which does not work inside an image; {mend}")]
    NotStatic {
        /// Which platform.
        platform: String,
        /// What was found.
        path: String,
        /// The command that helps.
        mend: String,
    },
    /// The kernel is too old for a registration of the step's own and the host has none.
    #[error(
        "{platform} can't be emulated: {reason}, and the machine has no registration of its own (binfmt_misc, flag F); {mend}"
    )]
    NotRegistered {
        /// Which platform.
        platform: String,
        /// Why it takes one.
        reason: String,
        /// The command that helps.
        mend: String,
    },
    /// Nobody emulates it.
    #[error("{0} is a platform that can neither be run nor emulated here")]
    Unknown(String),
}

/// Lists the qemu-user programs in `dirs`, `qemu-ARCH-static` before `qemu-ARCH`, best first for each architecture.
pub fn find(dirs: &[PathBuf]) -> Vec<Emulator> {
    let mut found = Vec::new();
    let mut names: Vec<(&str, &'static str)> = MODELS.iter().map(|m| (m.qemu, m.architecture)).collect();
    names.dedup();
    for (qemu, architecture) in names {
        for dir in dirs {
            for name in [format!("qemu-{qemu}-static"), format!("qemu-{qemu}")] {
                let path = dir.join(name);
                if let Ok(elf) = Elf::read(&path)
                    && elf.machine == elf::HOST
                {
                    found.push(Emulator { path, architecture, is_static: elf.is_static() });
                }
            }
        }
    }
    found.sort_by_key(|e| !e.is_static);
    found
}

/// Where distributions put them.
pub fn usual_dirs() -> Vec<PathBuf> {
    ["/usr/bin", "/usr/local/bin", "/bin", "/opt/qemu/bin"].map(PathBuf::from).into()
}

/// This machine's own platform.
pub fn host_platform() -> Platform {
    Platform::new("linux", if elf::HOST == elf::EM_AARCH64 { "arm64" } else { "amd64" }, "")
}

/// Whether the CPU itself runs a platform's programs. An old 32-bit ARM one on a 64-bit machine counts as foreign:
/// the CPU would let newer code through.
pub fn is_native(platform: &Platform, facts: &Facts) -> bool {
    let host = host_platform();
    match (host.architecture.as_str(), platform.architecture.as_str(), platform.variant.as_str()) {
        ("amd64", "amd64", variant) => has_x86_level(variant),
        ("arm64", "arm64", _) => true,
        ("amd64", "386", _) => facts.runs_32_bit,
        ("arm64", "arm", "v7" | "v8") => facts.runs_32_bit,
        _ => false,
    }
}

#[cfg(target_arch = "x86_64")]
fn has_x86_level(variant: &str) -> bool {
    let v2 = || is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("popcnt");
    let v3 = || v2() && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2");
    match variant {
        "" => true,
        "v2" => v2(),
        "v3" => v3(),
        "v4" => v3() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl"),
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has_x86_level(_: &str) -> bool {
    false
}

/// How a step of `platform` is to be run here: `emulators` as [`find`] gave them from `dirs`.
pub fn choose(
    platform: &Platform,
    facts: &Facts,
    emulators: &[Emulator],
    dirs: &[PathBuf],
) -> Result<Emulation, EmulationError> {
    if is_native(platform, facts) {
        return Ok(Emulation::None);
    }
    let shown = platform.to_string();
    let Some(model) = model_of(platform) else { return Err(EmulationError::Unknown(shown)) };
    let candidates: Vec<_> = emulators.iter().filter(|e| e.architecture == model.architecture).collect();
    if let Err(reason) = &facts.private_binfmt {
        return if host_registration(model.machine, Path::new("/proc/sys/fs/binfmt_misc")).is_some() {
            Ok(Emulation::Registered)
        } else {
            Err(EmulationError::NotRegistered { platform: shown, reason: reason.clone(), mend: mend(true) })
        };
    }
    match candidates.first() {
        None => Err(EmulationError::NoEmulator {
            platform: shown,
            searched: dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", "),
            mend: mend(false),
        }),
        Some(e) if !e.is_static => {
            Err(EmulationError::NotStatic { platform: shown, path: e.path.display().to_string(), mend: mend(false) })
        }
        Some(e) => Ok(Emulation::Private { qemu: e.path.clone(), target: model.target() }),
    }
}

fn mend(register: bool) -> String {
    let also = if register { " binfmt-support" } else { "" };
    format!(
        "install it: `sudo apt-get install qemu-user-static{also}` (Debian, Ubuntu), `sudo dnf install qemu-user-static` (Fedora)"
    )
}

impl Model {
    fn target(&self) -> Target {
        Target { machine: self.machine, is_64_bit: self.is_64_bit, cpu: self.cpu.into() }
    }
}

impl Target {
    /// The line for `binfmt_misc/register` (kernel, `admin-guide/binfmt-misc.rst`). Magic and mask cover class,
    /// byte order, executable or shared object, and machine; the ABI byte is left open.
    pub(crate) fn registration(&self, interpreter: &str) -> Vec<u8> {
        let mut magic = *b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\0\0";
        magic[4] = if self.is_64_bit { 2 } else { 1 };
        magic[18..].copy_from_slice(&self.machine.to_le_bytes());
        let mut mask = [0xff; 20];
        mask[7] = 0;
        mask[16] = 0xfe;
        let escaped = |bytes: &[u8]| bytes.iter().map(|b| format!("\\x{b:02x}")).collect::<String>();
        format!(":step:M::{}:{}:{interpreter}:FP", escaped(&magic), escaped(&mask)).into_bytes()
    }
}

/// The name of the host's enabled registration for a machine that also works inside a root filesystem (flag F).
pub fn host_registration(machine: u16, binfmt: &Path) -> Option<String> {
    let machine = machine.to_le_bytes().map(|b| format!("{b:02x}")).concat();
    std::fs::read_dir(binfmt).ok()?.filter_map(Result::ok).find_map(|entry| {
        let text = std::fs::read_to_string(entry.path()).ok()?;
        let field = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(str::trim);
        let magic = field("magic ")?;
        let fits = magic.starts_with("7f454c46") && magic.get(36..40) == Some(&machine);
        (text.starts_with("enabled") && fits && field("flags:")?.contains('F'))
            .then(|| entry.file_name().to_string_lossy().into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Isolation;

    fn facts(private_binfmt: Result<(), String>) -> Facts {
        Facts {
            kernel: "6.1.0".into(),
            isolation: Isolation::UserNamespace,
            isolation_reason: None,
            overlay: Ok(()),
            private_binfmt,
            own_proc: true,
            seccomp: true,
            runs_32_bit: true,
        }
    }

    #[test]
    fn registrations_are_for_one_machine() {
        let target = |variant| model_of(&Platform::new("linux", "arm", variant)).unwrap().target();
        assert_eq!(
            String::from_utf8(target("v5").registration("/i")).unwrap(),
            ":step:M::\\x7f\\x45\\x4c\\x46\\x01\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x28\\x00:\
             \\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:/i:FP"
        );
        assert_eq!(target("v5").cpu, "arm926,vfp=off");
        assert_ne!(target("v6").cpu, target("v7").cpu);
    }

    #[test]
    fn the_machines_registration_counts_if_it_works_in_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let file = |state: &str, flags: &str, machine: &str| {
            let text = format!(
                "{state}\ninterpreter /usr/libexec/qemu-binfmt/arm-binfmt-P\nflags: {flags}\noffset 0\n\
                 magic 7f454c4601010100000000000000000002{machine}\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
            );
            std::fs::write(dir.path().join("qemu-arm"), text).unwrap();
            host_registration(elf::EM_ARM, dir.path())
        };
        std::fs::write(dir.path().join("status"), "enabled\n").unwrap();
        assert_eq!(file("enabled", "POCF", "002800"), Some("qemu-arm".into()));
        assert_eq!(file("disabled", "POCF", "002800"), None);
        assert_eq!(file("enabled", "POC", "002800"), None);
        assert_eq!(file("enabled", "POCF", "00b700"), None);
        assert_eq!(host_registration(elf::EM_ARM, Path::new("/no/such")), None);
    }

    #[test]
    fn a_choice_or_the_command_that_mends() {
        let emulator = |is_static| Emulator { path: "/q".into(), architecture: "riscv64", is_static };
        let riscv = Platform::new("linux", "riscv64", "");
        let good = facts(Ok(()));
        assert_eq!(choose(&host_platform(), &good, &[], &[]), Ok(Emulation::None));
        assert!(matches!(choose(&riscv, &good, &[emulator(true)], &[]), Ok(Emulation::Private { .. })));
        for error in
            [choose(&riscv, &good, &[emulator(false)], &[]).unwrap_err(), choose(&riscv, &good, &[], &[]).unwrap_err()]
        {
            assert!(error.to_string().contains("apt-get install qemu-user-static"), "{error}");
        }
        // Before 6.7 it is the machine that has to have it; riscv64 is hardly registered where this is tested.
        let old = facts(Err("the kernel is old".into()));
        match choose(&riscv, &old, &[emulator(true)], &[]) {
            Ok(emulation) => assert_eq!(emulation, Emulation::Registered),
            Err(error) => assert!(error.to_string().contains("binfmt-support"), "{error}"),
        }
    }
}
