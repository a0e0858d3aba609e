//! A device's CPU, memory and flash decide.

use routerpack_targets::{check::Options, devices, rules::Severity};

use crate::{
    Bench,
    elf::{ARM, ARM64, Elf},
    found,
    image::{Image, base},
    layer::Layer,
    named,
};

#[test]
fn a_device_decides() {
    let bench = Bench::new();
    let on = |device: &str, image: &Image| {
        let options = Options { device: Some(devices::find(device).unwrap()), ..bench.options() };
        bench.check(&image.pack(), &options)
    };
    let arm = |variant: &str, elf: Elf| {
        Image::of(Layer::default().dir("bin").file("bin/app", 0o755, elf.bytes()).end()).platform("arm", variant)
    };
    // v5 programs are fine whatever variant the config says, and v7 programs are not
    let report = on("E50UG", &arm("v7", ARM));
    assert_eq!(found(&report, "config-variant").unwrap().severity, Severity::Warning, "{:?}", named(&report));
    assert!(found(&report, "arm-v5").is_none(), "{:?}", named(&report));
    let report = on("E50UG", &arm("v5", Elf { attributes: &[(6, 10)], ..ARM }));
    assert_eq!(found(&report, "arm-v5").unwrap().severity, Severity::Error);
    assert_eq!(named(&on("rb4011", &arm("v7", Elf { attributes: &[(6, 10)], ..ARM }))), Vec::<String>::new());
    assert!(
        found(&on("E50UG", &arm("v5", Elf { attributes: &[], ..ARM })), "arm-v5")
            .is_some_and(|f| f.severity == Severity::Info)
    );
    assert!(found(&on("rb5009", &Image::good()), "config-architecture").is_some());
    // pages matter on the CPU that has large ones
    let pages =
        Image::of(Layer::default().dir("bin").file("bin/app", 0o755, Elf { align: 4096, ..ARM64 }.bytes()).end());
    let pages = pages.platform("arm64", "");
    assert!(
        found(&on("ccr2116", &pages), "page-align").is_some() && found(&on("rb5009", &pages), "page-align").is_none()
    );
    // 16 MB of flash hold nothing of 4 MB, and 128 MB of RAM no program of 70
    let large = Image::of(base().file("data", 0o644, vec![1; 4 << 20]).end()).platform("arm", "v7");
    let size = on("hap-ac2", &large);
    assert!(found(&size, "size").unwrap().message.contains("16 MiB"), "{:?}", named(&size));
    let options = Options { disk: Some(2 << 30), device: Some(devices::find("hap-ac2").unwrap()), ..bench.options() };
    assert!(found(&bench.check(&large.pack(), &options), "size").is_none(), "a disk counts instead of the flash");
}
